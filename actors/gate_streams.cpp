#include <charconv>

#include "actors/attach.hpp"
#include "actors/gate.hpp"

// Streams: events from the ledger, logs from the files. Both are pulled by their reader.

namespace gantry::actors {

namespace {

class feed_source final : public event_source {
public:
  feed_source(runtime::ledger& l, v1::FollowRequest req) : feed_(l, std::move(req)) {}
  void next(size_t max_bytes, answer<std::vector<v1::FollowItem>> f) override {
    feed_.next(max_bytes, std::move(f));
  }

private:
  runtime::event_feed feed_;
};

/// "FILE:OFFSET".
std::string cursor_text(const io::log_place& at) {
  return std::to_string(at.file_seq) + ":" + std::to_string(at.offset);
}

result<io::log_place> parse_cursor(const std::string& text) {
  io::log_place at;
  if (text.empty())
    return at;
  const auto* end = text.data() + text.size();
  auto [colon, e1] = std::from_chars(text.data(), end, at.file_seq);
  if (e1 == std::errc{} && colon != end && *colon == ':') {
    auto [rest, e2] = std::from_chars(colon + 1, end, at.offset);
    if (e2 == std::errc{} && rest == end)
      return at;
  }
  return error{ec::invalid_argument, "log cursor \"" + text + "\" is not one of ours",
               "use the cursor of a chunk, or none"};
}

/// Reads one process's log to its end, and with follow until the process has exited.
class follower final : public log_follower, public std::enable_shared_from_this<follower> {
public:
  follower(services& host, runtime::container_name name, uint64_t instance, std::string process,
           uint64_t serial, bool follow)
    : host_(host), name_(std::move(name)), instance_(instance), process_(std::move(process)),
      serial_(serial), follow_(follow) {
    on_news_ = [this] { wake(); };
    host_.logs.add(serial_, &on_news_);
  }
  ~follower() override { host_.logs.remove(serial_, &on_news_); }

  void begin(io::log_place from) {
    reader_ = std::make_unique<io::log_reader>(host_.loop, host_.log_dir(serial_), from);
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
    if (p == nullptr || p->serial != serial_ || p->phase == phase::exited)
      return true;
    // Removed before it was ever started: it has no exit.
    return c->state == v1::DELETING && p->phase == phase::died && p->started_at_ns == 0;
  }

  void read() {
    reading_ = true;
    news_ = false;
    const bool was_ended = ended(); // Looked at before the read: what came until then is in it.
    reader_->next(max_bytes_,
                  [weak = weak_from_this(), was_ended](result<io::log_reader::batch> b) {
                    if (auto me = weak.lock())
                      me->on_batch(std::move(b), was_ended);
                  });
  }

  void on_batch(result<io::log_reader::batch> b, bool was_ended) {
    reading_ = false;
    if (!b) {
      answer_with(b.why());
      return;
    }
    if (b->pieces.empty() && b->missing_files == 0) {
      if (!b->at_end || news_ || (follow_ && !was_ended && ended())) {
        read();
        return;
      }
      if (!follow_ || was_ended)
        answer_with(std::vector<v1::LogChunk>{});
      return; // Else the log's next growth goes on.
    }
    std::vector<v1::LogChunk> out;
    for (auto& piece : b->pieces) {
      auto& c = out.emplace_back();
      c.set_stream(piece.stream);
      c.set_time_ns(piece.time_ns);
      c.set_data(std::move(piece.bytes));
      c.set_cursor(cursor_text(piece.next)); // The connection may end after any of them.
    }
    if (out.empty())
      out.emplace_back();
    out.front().set_missing_files(b->missing_files);
    out.back().set_cursor(cursor_text(b->next));
    answer_with(std::move(out));
  }

  void answer_with(result<std::vector<v1::LogChunk>> x) {
    if (auto f = std::exchange(waiting_, nullptr))
      f(std::move(x));
  }

  void wake() {
    news_ = true;
    if (waiting_ && reader_ && !reading_)
      read();
  }

  services& host_;
  runtime::container_name name_;
  uint64_t instance_;
  std::string process_;
  uint64_t serial_;
  bool follow_;
  bool reading_ = false;
  bool news_ = false;
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

} // namespace

result<std::unique_ptr<event_source>> gate::follow(v1::FollowRequest req) {
  return std::unique_ptr<event_source>{
    std::make_unique<feed_source>(host_.ledger, std::move(req))};
}

result<std::unique_ptr<attachment>> gate::attach(const v1::By& by, const v1::AttachOpen& open) {
  return attach_to(host_, *this, by, open);
}

result<std::unique_ptr<log_follower>> gate::read_log(const v1::ReadLogRequest& req) {
  auto name = runtime::checked_name(req.ref());
  if (!name)
    return std::move(name).why();
  auto from = parse_cursor(req.cursor());
  if (!from)
    return std::move(from).why();
  const auto* c = host_.ledger.now().find(*name);
  if (c == nullptr || (req.instance() != 0 && req.instance() != c->instance))
    return error{ec::not_found,
                 "no such container \"" + name->id + "\", or its log has gone with it",
                 "gantry ps -a lists them"};
  const auto process = req.process().empty() ? std::string{runtime::init_id} : req.process();
  const auto* p = c->process(process);
  if (p == nullptr)
    return error{ec::not_found,
                 "container \"" + name->id + "\" has no process \"" + process + "\"",
                 "gantry inspect " + name->id + " lists them"};
  auto f = std::make_shared<follower>(host_, *name, c->instance, process, p->serial, req.follow());
  if (req.tail() > 0 && req.cursor().empty())
    f->begin_at_tail(req.tail());
  else
    f->begin(*from);
  return std::unique_ptr<log_follower>{std::make_unique<owned_follower>(std::move(f))};
}

} // namespace gantry::actors
