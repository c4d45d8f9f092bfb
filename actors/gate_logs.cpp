#include "actors/gate.hpp"
#include "actors/log_cursor.hpp"
#include "actors/log_filter.hpp"
#include "actors/run_bound.hpp"
#include "actors/stdio.hpp"
#include "io/log_files.hpp"
#include "runtime/policy_messages.hpp"

// Logs: read from their files, pulled by their reader; and the request to begin a new file.

namespace gantry::actors {

namespace {

/// A clock that is set is looked at again after this time.
constexpr io::nanoseconds longest_wait = std::chrono::seconds(60);
/// What was read from a process is in its log after this time.
constexpr io::nanoseconds settling = std::chrono::milliseconds(100);

/// Reads one process's log to its end, and with follow until the process has exited, or no
/// further run of it comes.
class follower final : public log_follower, public std::enable_shared_from_this<follower> {
public:
  follower(services& host, runtime::container_name name, uint64_t instance, std::string process,
           uint64_t serial, uint32_t run, io::log_format format, const v1::ReadLogRequest& req)
    : host_(host), name_(std::move(name)), instance_(instance), process_(std::move(process)),
      serial_(serial), format_(format), filter_(req), follow_(req.follow()),
      next_runs_(req.next_runs()), until_ns_(req.until_ns()), bound_(run), until_(host.loop) {
    on_news_ = [this] { wake(); };
    host_.logs.add(serial_, &on_news_);
    dropped_ = dropped_now();
    if (follow_)
      await_until();
  }
  ~follower() override { host_.logs.remove(serial_, &on_news_); }

  void begin(io::log_place from) {
    file_ = from.file_seq;
    reader_ = std::make_unique<io::log_reader>(host_.loop, host_.log_dir(serial_), from, format_);
  }

  void begin_at_tail(uint64_t lines) {
    io::find_tail(host_.loop, host_.log_dir(serial_), lines,
                  [weak = weak_from_this()](result<io::log_place> at) {
                    if (auto me = weak.lock()) {
                      me->begin(at ? *at : io::log_place{});
                      if (me->waiting_)
                        me->read();
                    }
                  });
  }

  void next(size_t max_bytes, answer<std::vector<v1::LogChunk>> f) override {
    max_bytes_ = max_bytes;
    waiting_ = std::move(f);
    if (reader_)
      read();
  }

private:
  [[nodiscard]] bool ended() const {
    const auto* c = host_.ledger.now().find(name_);
    if (c == nullptr || c->instance != instance_)
      return true;
    const auto* p = c->process(process_);
    using phase = runtime::process_view::phase_t;
    if (p == nullptr || p->serial != serial_ || (!next_runs_ && bound_.over(*c)))
      return true;
    if (p->phase == phase::exited)
      return !next_runs_ || process_ != runtime::init_id
             || !runtime::awaits_restart(*c, host_.loop.sys().realtime().count());
    // Removed before it was ever started: it has no exit.
    return c->state == v1::DELETING && p->phase == phase::died && p->started_at_ns == 0;
  }

  /// Of the time that the reader asked for, until what came before it is in the files.
  [[nodiscard]] io::nanoseconds time_left() const {
    return io::nanoseconds(until_ns_) + settling - host_.loop.sys().realtime();
  }

  /// A silent process does not keep a reader beyond that.
  void await_until() {
    if (until_ns_ != 0 && time_left().count() > 0)
      until_.start(std::min(time_left(), longest_wait), [this] {
        await_until(); // The clock may have been set.
        wake();
      });
  }

  [[nodiscard]] bool beyond_until() const { return until_ns_ != 0 && time_left().count() <= 0; }

  [[nodiscard]] bool done() const { return ended() || beyond_until(); }

  [[nodiscard]] uint64_t dropped_now() const {
    const auto at = host_.pumps.find(serial_);
    if (at == host_.pumps.end())
      return dropped_;
    const auto totals = at->second->totals();
    return totals.dropped[0] + totals.dropped[1];
  }

  void read() {
    if (filter_.over()) {
      answer_with(std::vector<v1::LogChunk>{});
      return;
    }
    reading_ = true;
    news_ = false;
    const bool was_ended = done(); // Looked at before the read: what came until then is in it.
    reader_->next(max_bytes_,
                  [weak = weak_from_this(), was_ended](result<io::log_reader::batch> b) {
                    if (auto me = weak.lock())
                      me->on_batch(std::move(b), was_ended);
                  });
  }

  void on_batch(result<io::log_reader::batch> b, bool was_ended) {
    reading_ = false;
    if (!b && b.why().code != ec::data_loss) {
      answer_with(b.why());
      return;
    }
    std::vector<v1::LogChunk> out;
    if (!b) { // Told in its place; what follows is read on.
      add_notice(out, "damaged").set_message(b.why().text());
      answer_with(std::move(out));
      return;
    }
    if (b->missing_files != 0)
      out.emplace_back().set_missing_files(b->missing_files);
    add_pieces(*b, out);
    const bool nothing = b->pieces.empty() && b->missing_files == 0;
    const bool all = beyond_ || (nothing && b->at_end && !news_ &&
                                 (!follow_ || (was_ended && done())));
    if (all && filter_.holds()) {
      std::vector<io::log_piece> rest;
      filter_.end(rest);
      for (auto& piece : rest)
        add_chunk(out, std::move(piece));
    }
    if (const uint64_t now = dropped_now(); now > dropped_ && b->at_end) {
      add_notice(out, "dropped").set_dropped(now - dropped_);
      dropped_ = now;
    }
    if (!out.empty() && !filter_.holds())
      out.back().set_cursor(cursor_text(b->next));
    if (!out.empty() || all)
      return answer_with(std::move(out));
    if (!nothing || !b->at_end || news_ || (follow_ && !was_ended && done()))
      return read();
    // Else the log's next growth goes on.
  }

  void add_pieces(io::log_reader::batch& b, std::vector<v1::LogChunk>& out) {
    std::vector<io::log_piece> passed;
    for (auto& piece : b.pieces) {
      const uint64_t file = piece.next.file_seq;
      beyond_ = beyond_ || (follow_ && !next_runs_ && bound_.beyond(file));
      if (beyond_)
        return;
      if (file_ != 0 && file != file_ && follow_)
        add_notice(out, "rotated");
      file_ = file;
      passed.clear();
      filter_.take(std::move(piece), passed);
      for (auto& one : passed)
        add_chunk(out, std::move(one));
    }
  }

  static void add_chunk(std::vector<v1::LogChunk>& out, io::log_piece piece) {
    auto& c = out.emplace_back();
    c.set_stream(piece.stream);
    c.set_time_ns(piece.time_ns);
    c.set_data(std::move(piece.bytes));
    c.set_seq(piece.seq);
    c.set_line(piece.line);
    c.set_cursor(cursor_text(piece.next)); // The connection may end after any of them.
  }

  static v1::LogChunk& add_notice(std::vector<v1::LogChunk>& out, const char* what) {
    auto& c = out.emplace_back();
    c.set_notice(what);
    return c;
  }

  void answer_with(result<std::vector<v1::LogChunk>> x) {
    if (auto f = std::exchange(waiting_, nullptr))
      f(std::move(x));
  }

  void wake() {
    news_ = true;
    const auto* c = host_.ledger.now().find(name_);
    if (c != nullptr && c->instance == instance_ && process_ == runtime::init_id)
      bound_.look(*c);
    if (waiting_ && reader_ && !reading_)
      read();
  }

  services& host_;
  runtime::container_name name_;
  uint64_t instance_;
  std::string process_;
  uint64_t serial_;
  io::log_format format_;
  log_filter filter_;
  bool follow_;
  bool next_runs_;
  int64_t until_ns_;
  run_bound bound_;
  io::timer until_;
  bool beyond_ = false; ///< What comes now is the next run's.
  bool reading_ = false;
  bool news_ = false;
  uint64_t file_ = 0;    ///< That the last piece came from.
  uint64_t dropped_ = 0; ///< Bytes given up that were told, or before our time.
  size_t max_bytes_ = 0;
  std::unique_ptr<io::log_reader> reader_;
  std::function<void()> on_news_;
  answer<std::vector<v1::LogChunk>> waiting_;
};

/// What the gateway owns: the follower lives as long as this or its read in flight.
class owned_follower final : public log_follower {
public:
  explicit owned_follower(std::shared_ptr<follower> f) : follower_(std::move(f)) {}
  void next(size_t max_bytes, answer<std::vector<v1::LogChunk>> f) override {
    follower_->next(max_bytes, std::move(f));
  }

private:
  std::shared_ptr<follower> follower_;
};

/// The process whose log is meant.
struct found_log {
  const runtime::container_view* container = nullptr;
  const runtime::process_view* process = nullptr;
};

result<found_log> find_log(services& host, const v1::Ref& ref, const std::string& wanted,
                           uint64_t instance) {
  auto name = runtime::checked_name(ref);
  if (!name)
    return std::move(name).why();
  const auto* c = host.ledger.now().find(*name);
  if (c == nullptr || (instance != 0 && instance != c->instance))
    return error{ec::not_found,
                 "no such container \"" + name->id + "\", or its log has gone with it",
                 "gantry ps -a lists them"};
  const auto process = wanted.empty() ? std::string{runtime::init_id} : wanted;
  const auto* p = c->process(process);
  if (p == nullptr)
    return error{ec::not_found,
                 "container \"" + name->id + "\" has no process \"" + process + "\"",
                 "gantry inspect " + name->id + " lists them"};
  return found_log{c, p};
}

} // namespace

result<std::unique_ptr<log_follower>> gate::read_log(const v1::ReadLogRequest& req) {
  auto from = parse_cursor(req.cursor());
  if (!from)
    return std::move(from).why();
  if (req.stream() > 2)
    return error{ec::invalid_argument, "stream: " + std::to_string(req.stream()) + " is not valid",
                 "use 1 for stdout, 2 for stderr, 0 for both"};
  if (req.grep().size() > 4096)
    return error{ec::invalid_argument, "grep: more than 4096 bytes", "give a shorter text"};
  const auto found = find_log(host_, req.ref(), req.process(), req.instance());
  if (!found)
    return found.why();
  const auto format = format_of(log_options_of(*found->container, *found->process));
  auto f = std::make_shared<follower>(host_, found->container->name, found->container->instance,
                                      found->process->id, found->process->serial,
                                      found->container->run, format, req);
  if (req.tail() > 0 && req.cursor().empty())
    f->begin_at_tail(req.tail());
  else
    f->begin(*from);
  return std::unique_ptr<log_follower>{std::make_unique<owned_follower>(std::move(f))};
}

void gate::call(const v1::By& by, v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) {
  const auto found = find_log(host_, req.ref(), req.process(), 0);
  if (!found)
    return later<v1::ReopenLogReply>(std::move(f), found.why());
  const auto serial = found->process->serial;
  const auto pump = host_.pumps.find(serial);
  const error complete{ec::wrong_state,
                       "the log of \"" + found->container->name.id + "\", process \"" +
                         found->process->id + "\", is complete: nothing more is written into it",
                       ""};
  if (pump == host_.pumps.end())
    return later<v1::ReopenLogReply>(std::move(f), complete);
  journal::Record r;
  r.set_namespace_(found->container->name.ns);
  r.set_container(found->container->name.id);
  r.set_instance(found->container->instance);
  r.set_run(found->container->run);
  r.set_process(found->process->id);
  *r.mutable_by() = by;
  pump->second->reopen([this, life = std::weak_ptr<int>{host_.life}, serial, complete, r,
                        f = std::move(f)](uint64_t file) mutable {
    if (life.expired())
      return;
    if (file == 0)
      return f(complete);
    r.mutable_log_reopened()->set_file(file);
    host_.ledger.record(r);
    host_.logs.notify(serial);
    v1::ReopenLogReply out;
    out.set_file(file);
    out.set_path(io::log_file_path(host_.log_dir(serial), file));
    f(std::move(out));
  });
}

} // namespace gantry::actors
