#include <algorithm>
#include <array>

#include "actors/gate.hpp"
#include "io/log_reader.hpp"

// Exec, wait, output: three steps in one call. The steps are those that a client could take
// one by one, so that a repeat after a crash goes on where it was.

namespace gantry::actors {

namespace {

constexpr uint64_t usual_end = 32u << 10;
constexpr uint64_t largest_end = 1u << 20;
constexpr size_t batch_bytes = 256u << 10;
constexpr int most_damages = 100; ///< Records that cannot be read; then the rest is left out.

/// The two ends of a stream, within their bounds.
class two_ends {
public:
  void bound(uint64_t head, uint64_t tail) {
    most_head_ = head;
    most_tail_ = tail;
  }

  void put(std::string_view bytes) {
    seen_ += bytes.size();
    const auto n = std::min<uint64_t>(bytes.size(), most_head_ - head_.size());
    head_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
    if (most_tail_ == 0)
      return;
    tail_.append(bytes.substr(bytes.size() - std::min<uint64_t>(bytes.size(), most_tail_)));
    if (tail_.size() > 2 * most_tail_) // Not for each piece.
      tail_.erase(0, tail_.size() - most_tail_);
  }

  void give(uint64_t total, v1::Output& out) {
    if (tail_.size() > most_tail_)
      tail_.erase(0, tail_.size() - most_tail_);
    out.set_total_bytes(std::max(total, seen_));
    out.set_omitted_bytes(out.total_bytes() - head_.size() - tail_.size());
    out.set_head(std::move(head_));
    out.set_tail(std::move(tail_));
  }

private:
  uint64_t most_head_ = 0;
  uint64_t most_tail_ = 0;
  uint64_t seen_ = 0;
  std::string head_;
  std::string tail_;
};

} // namespace

/// One call. It lives as long as its client is there; what comes later finds nobody.
class gate::sync_exec final : public std::enable_shared_from_this<gate::sync_exec> {
public:
  sync_exec(gate& door, answer<v1::ExecSyncReply> f)
    : door_(door), here_(door.here_), f_(std::move(f)) {}
  ~sync_exec() {
    if (serial_ != 0 && *here_ != nullptr)
      door_.host_.logs.remove(serial_, &on_news_);
  }

  void begin(const v1::By& by, const v1::ExecSyncRequest& req) {
    const auto head = req.has_head_bytes() ? req.head_bytes() : usual_end;
    const auto tail = req.has_tail_bytes() ? req.tail_bytes() : usual_end;
    if (head > largest_end || tail > largest_end) {
      finish(error{ec::invalid_argument,
                   "head_bytes and tail_bytes: " + std::to_string(std::max(head, tail))
                     + " is too much",
                   "at most 1048576 each; the whole output is in the log"});
      return;
    }
    for (auto& s : ends_)
      s.bound(head, tail);
    by_ = by;
    v1::ExecRequest r;
    *r.mutable_ref() = req.ref();
    r.set_process(req.process());
    *r.mutable_spec() = req.spec();
    r.set_request_id(req.request_id());
    ref_ = req.ref();
    door_.call(by, r, [weak = weak_from_this()](result<v1::ExecReply> x) {
      if (auto me = weak.lock())
        me->on_exec(std::move(x));
    });
  }

private:
  void on_exec(result<v1::ExecReply> x) {
    if (!x)
      return finish(x.why());
    reply_.set_process(x->process());
    reply_.set_pid(x->pid());
    reply_.set_instance(x->instance());
    v1::WaitRequest r;
    *r.mutable_ref() = ref_;
    r.set_process(x->process());
    r.set_instance(x->instance());
    r.set_hold(true);
    wait_ = door_.wait(by_, r, [weak = weak_from_this()](result<v1::WaitReply> w) {
      if (auto me = weak.lock())
        me->on_exit(std::move(w));
    });
  }

  void on_exit(result<v1::WaitReply> w) {
    if (!w)
      return finish(w.why());
    *reply_.mutable_exit() = w->exit();
    auto name = runtime::checked_name(ref_);
    const auto* c = door_.host_.ledger.now().find(*name);
    const auto* p = c != nullptr && c->instance == reply_.instance()
                      ? c->process(reply_.process()) : nullptr;
    if (p == nullptr)
      return give(); // Its container went, and the log with it.
    serial_ = p->serial;
    door_.host_.logs.add(serial_, &on_news_); // The files stay for us.
    reader_ = std::make_unique<io::log_reader>(door_.host_.loop, door_.host_.log_dir(serial_),
                                               io::log_place{});
    read();
  }

  void read() {
    reader_->next(batch_bytes, [weak = weak_from_this()](result<io::log_reader::batch> b) {
      if (auto me = weak.lock())
        me->on_batch(std::move(b));
    });
  }

  void on_batch(result<io::log_reader::batch> b) {
    if (!b) {
      if (b.why().code == ec::data_loss && ++damages_ < most_damages)
        return read(); // It goes on behind the damage.
      return give();
    }
    for (const auto& piece : b->pieces)
      ends_[piece.stream == 2 ? 1 : 0].put(piece.bytes);
    if (b->at_end && b->pieces.empty())
      return give();
    read();
  }

  void give() {
    ends_[0].give(reply_.exit().stdout_bytes(), *reply_.mutable_stdout());
    ends_[1].give(reply_.exit().stderr_bytes(), *reply_.mutable_stderr());
    finish(std::move(reply_));
  }

  void finish(result<v1::ExecSyncReply> x) {
    wait_.reset();
    door_.later<v1::ExecSyncReply>(std::move(f_), std::move(x));
  }

  gate& door_;
  std::shared_ptr<gate*> here_;
  answer<v1::ExecSyncReply> f_;
  v1::By by_;
  v1::Ref ref_;
  v1::ExecSyncReply reply_;
  std::unique_ptr<pending_wait> wait_;
  std::unique_ptr<io::log_reader> reader_;
  uint64_t serial_ = 0;
  int damages_ = 0;
  std::function<void()> on_news_ = [] {};
  std::array<two_ends, 2> ends_;
};

std::unique_ptr<pending_wait> gate::exec_sync(const v1::By& by, const v1::ExecSyncRequest& req,
                                              answer<v1::ExecSyncReply> f) {
  /// What the client's call owns.
  struct owned final : pending_wait {
    explicit owned(std::shared_ptr<sync_exec> e) : exec(std::move(e)) {}
    std::shared_ptr<sync_exec> exec;
  };
  auto exec = std::make_shared<sync_exec>(*this, std::move(f));
  exec->begin(by, req);
  return std::make_unique<owned>(std::move(exec));
}

} // namespace gantry::actors
