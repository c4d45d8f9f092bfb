#include "actors/log_forward.hpp"

#include <cerrno>
#include <deque>
#include <poll.h>
#include <sys/socket.h>

#include "actors/log_cursor.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "io/log_reader.hpp"
#include "io/poll.hpp"
#include "messages/unix_address.hpp"

namespace gantry::actors {

namespace {

constexpr size_t batch_bytes = 256u << 10;
/// A longer line goes in several datagrams: more than this many sockets do not take.
constexpr size_t most_journal = 48u << 10;
constexpr size_t most_syslog = 7u << 10;
constexpr size_t cursor_limit = 256;
/// Datagrams of one turn.
constexpr int most_at_once = 64;
constexpr auto first_pause = std::chrono::milliseconds(200);
constexpr auto last_pause = std::chrono::seconds(5);
/// How often the place is written down while lines go out.
constexpr auto note_pause = std::chrono::milliseconds(200);

/// Keeps itself while it is in the services' table, or an op of it is under way.
class forwarder final : public std::enable_shared_from_this<forwarder> {
public:
  forwarder(services& host, process_names who, io::log_format format, forward_target to)
    : host_(host), who_(std::move(who)), format_(format), to_(std::move(to)),
      dir_(host.log_dir(who_.serial)), room_(host.loop), pause_(host.loop), note_(host.loop) {
    on_news_ = [this] { wake(); };
    host_.logs.add(who_.serial, &on_news_);
  }
  ~forwarder() {
    if (!life_.expired())
      host_.logs.remove(who_.serial, &on_news_);
  }

  void begin();
  /// Ends at once: what is not sent stays so.
  void stop();

private:
  struct datagram {
    std::string bytes;
    io::log_place after; ///< The place behind its piece; file 0: more of it follows.
  };

  void go_on();
  void read();
  void on_batch(result<io::log_reader::batch> b, bool was_ended);
  void add(const io::log_piece& piece);
  void add_loss(uint64_t files);
  bool connect();
  void send_next();
  void wait_for_room();
  void try_later();
  void note_place(bool now);
  void write_place();
  void end();
  void leave();
  [[nodiscard]] bool process_ended() const;
  void wake();

  services& host_;
  std::weak_ptr<int> life_{host_.life};
  process_names who_;
  io::log_format format_;
  forward_target to_;
  std::string dir_;
  std::function<void()> on_news_;
  std::unique_ptr<io::log_reader> reader_;
  std::deque<datagram> queue_;
  io::fd socket_;
  io::poll_op room_; ///< For the next datagram.
  io::timer pause_;
  io::timer note_;
  io::log_place place_; ///< Everything before it was sent.
  int refusals_ = 0;
  bool busy_ = false;    ///< A read, a wait or a pause is under way.
  bool news_ = false;
  bool noting_ = false;  ///< The place is being written.
  bool moved_ = false;   ///< It has changed since.
  bool ending_ = false;
};

std::string place_file(const std::string& dir) { return dir + "/forwarded"; }

void forwarder::begin() {
  busy_ = true;
  io::read_file(host_.loop, place_file(dir_), cursor_limit, place_file(dir_),
                [self = shared_from_this()](result<std::string> text) {
                  if (self->life_.expired())
                    return;
                  if (text) {
                    auto place = parse_cursor(*text);
                    if (place)
                      self->place_ = *place;
                    else // The whole log once more is better than a hole.
                      io::log_warn("container={}: {}: {}", self->who_.container.id,
                                   place_file(self->dir_), place.why().text());
                  }
                  self->reader_ = std::make_unique<io::log_reader>(
                    self->host_.loop, self->dir_, self->place_, self->format_);
                  self->busy_ = false;
                  self->go_on();
                });
}


void forwarder::stop() {
  ending_ = true;
  pause_.cancel();
  note_.cancel();
  if (room_.in_flight())
    room_.cancel();
}

void forwarder::wake() {
  news_ = true;
  if (!busy_ && reader_)
    host_.loop.post([weak = weak_from_this()] {
      if (auto me = weak.lock(); me && !me->busy_ && !me->life_.expired())
        me->go_on();
    });
}

void forwarder::go_on() {
  if (ending_)
    return;
  if (queue_.empty())
    read();
  else
    send_next();
}

bool forwarder::process_ended() const {
  const auto* c = host_.ledger.now().find(who_.container);
  if (c == nullptr || c->instance != who_.instance)
    return true;
  const auto* p = c->process(who_.process);
  return p == nullptr || p->serial != who_.serial ||
         (p->phase == runtime::process_view::phase_t::exited && !host_.pumps.contains(who_.serial));
}

void forwarder::read() {
  busy_ = true;
  news_ = false;
  const bool ended = process_ended();
  reader_->next(batch_bytes, [self = shared_from_this(), ended](result<io::log_reader::batch> b) {
    if (!self->life_.expired())
      self->on_batch(std::move(b), ended);
  });
}

void forwarder::on_batch(result<io::log_reader::batch> b, bool was_ended) {
  busy_ = false;
  if (ending_)
    return;
  if (!b) {
    io::log_warn("container={}: the log is not forwarded whole: {}", who_.container.id,
                 b.why().text());
    if (b.why().code == ec::data_loss)
      return go_on(); // Behind the damage.
    return try_later();
  }
  if (b->missing_files != 0)
    add_loss(b->missing_files);
  for (const auto& piece : b->pieces)
    add(piece);
  if (!queue_.empty())
    return send_next();
  if (!b->at_end || news_)
    return go_on();
  if (was_ended)
    end();
}

void forwarder::add(const io::log_piece& piece) {
  const bool journal = to_.what == forward_target::kind::journald;
  const size_t most = journal ? most_journal : most_syslog;
  const std::string_view all = piece.bytes;
  for (size_t from = 0; from < all.size();) { // A piece of a raw log may hold many lines.
    const size_t newline = std::min(all.find('\n', from), all.size());
    const size_t size = std::min(newline - from, most);
    const auto text = all.substr(from, size);
    const bool whole = from + size == newline && newline < all.size();
    from += size + (whole ? 1 : 0);
    queue_.push_back({journal ? journal_datagram(who_, piece, text, !whole)
                              : syslog_datagram(who_, piece, text),
                      from >= all.size() ? piece.next : io::log_place{}});
  }
}

void forwarder::add_loss(uint64_t files) {
  io::log_piece piece;
  piece.stream = 2;
  piece.time_ns = host_.loop.sys().realtime().count();
  piece.next = place_;
  piece.bytes = "gantry: " + std::to_string(files) +
                " log files were rotated away before they could be forwarded\n";
  io::log_warn("container={}: {} log files were rotated away before they could be forwarded",
               who_.container.id, files);
  add(piece);
}

bool forwarder::connect() {
  if (socket_)
    return true;
  io::fd made{host_.loop.sys(), ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  const auto at = unix_address_of(to_.path);
  // Of a datagram socket this only looks the other one up.
  if (!made || !at || ::connect(made.get(), at->get(), at->size) != 0)
    return false;
  socket_ = std::move(made);
  return true;
}

/// Sends until the socket is full, or others shall have their turn.
void forwarder::send_next() {
  if (!connect())
    return try_later();
  for (int i = 0; i < most_at_once && !queue_.empty(); ++i) {
    const auto res = host_.loop.sys().write(socket_.get(), queue_.front().bytes);
    if (res == -EAGAIN)
      return wait_for_room();
    if (res < 0 && res != -EMSGSIZE) {
      socket_.reset();
      return try_later();
    }
    if (res < 0)
      io::log_warn("container={}: {} takes no line of {} bytes: left out", who_.container.id,
                   to_.path, queue_.front().bytes.size());
    if (std::exchange(refusals_, 0) != 0)
      io::log_info("container={}: {} takes lines again", who_.container.id, to_.path);
    if (queue_.front().after.file_seq != 0) {
      place_ = queue_.front().after;
      note_place(false);
    }
    queue_.pop_front();
  }
  busy_ = true;
  host_.loop.post([self = shared_from_this()] {
    self->busy_ = false;
    if (!self->life_.expired())
      self->go_on();
  });
}

void forwarder::wait_for_room() {
  busy_ = true;
  room_.start(socket_.get(), POLLOUT, [self = shared_from_this()](int32_t res) {
    self->busy_ = false;
    if (self->life_.expired() || self->ending_)
      return;
    if (res < 0 || (res & (POLLERR | POLLHUP)) != 0)
      self->socket_.reset();
    self->go_on();
  });
}

void forwarder::try_later() {
  if (refusals_ == 0)
    io::log_warn("container={}: {} does not take the log's lines: they wait in the log",
                 who_.container.id, to_.path);
  busy_ = true;
  pause_.start(std::min<io::nanoseconds>(first_pause * (1 << std::min(refusals_, 5)), last_pause),
               [self = shared_from_this()] {
                 self->busy_ = false;
                 if (!self->life_.expired())
                   self->go_on();
               });
  ++refusals_;
}

/// Writes the place down, soon or now; one write at a time.
void forwarder::note_place(bool now) {
  moved_ = true;
  if (noting_)
    return;
  if (now)
    return write_place();
  if (!note_.armed())
    note_.start(note_pause, [self = shared_from_this()] {
      if (!self->life_.expired() && self->moved_ && !self->noting_)
        self->write_place();
    });
}

void forwarder::write_place() {
  noting_ = true;
  moved_ = false;
  io::write_file(host_.loop, place_file(dir_), cursor_text(place_), 0600, false,
                 [self = shared_from_this()](result<void> done) {
                   self->noting_ = false;
                   if (self->life_.expired())
                     return;
                   if (!done)
                     io::log_warn("container={}: {}", self->who_.container.id, done.why().text());
                   if (self->moved_)
                     return self->note_place(self->ending_);
                   if (self->ending_)
                     self->leave();
                 });
}

/// Gone, unless the log has begun to go on with another run meanwhile.
void forwarder::leave() {
  host_.forwards.erase(who_.serial);
  if (process_ended())
    return;
  auto next = std::make_shared<forwarder>(host_, who_, format_, to_);
  host_.forwards[who_.serial] = [next] { next->stop(); };
  next->begin();
}

/// All is sent: the last place is written, then it is over.
void forwarder::end() {
  ending_ = true;
  note_place(true);
}

} // namespace

result<forward_target> parse_forward(const std::string& text) {
  using kind = forward_target::kind;
  if (text.empty())
    return forward_target{};
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  forward_target out;
  out.what = name == "journald" ? kind::journald : name == "syslog" ? kind::syslog : kind::none;
  out.path = colon != std::string::npos    ? text.substr(colon + 1)
             : out.what == kind::journald ? "/run/systemd/journal/socket"
                                          : "/dev/log";
  const bool fits = out.path.starts_with('/') && unix_address_of(out.path);
  if (out.what == kind::none || !fits)
    return error{ec::invalid_argument, "log.forward: \"" + text + "\" is not valid",
                 "use journald or syslog, with :/PATH behind it for a socket elsewhere"};
  return out;
}

void log_forward::start(services& host, const process_names& who, const v1::LogOptions& log) {
  auto to = parse_forward(log.forward());
  if (!to || to->what == forward_target::kind::none || host.forwards.contains(who.serial))
    return;
  auto f = std::make_shared<forwarder>(host, who, format_of(log), *std::move(to));
  host.forwards[who.serial] = [f] { f->stop(); };
  f->begin();
}

} // namespace gantry::actors
