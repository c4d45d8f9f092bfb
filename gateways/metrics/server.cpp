#include "gateways/metrics/server.hpp"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <unordered_map>
#include <vector>

#include "gateways/metrics/http_request.hpp"
#include "io/log.hpp"
#include "io/ops.hpp"

namespace gantry::metrics {

namespace {

constexpr std::string_view plain = "text/plain; charset=utf-8";

class client;

/// What the connections of an endpoint share.
struct owner {
  virtual ~owner() = default;
  virtual std::string text(format f) = 0;
  virtual void at_rest(client& c) = 0; ///< It is closed: to be destroyed later.

  io::loop* loop = nullptr;
  endpoint_policy policy;
};

/// One connection: a request, its reply, and perhaps the next one. While it waits it holds a
/// poll and a timer.
class client {
public:
  client(owner& o, io::fd socket)
    : owner_(o), socket_(std::move(socket)), poll_(*o.loop), send_(*o.loop), limit_(*o.loop) {}

  void begin() {
    limit_.start(owner_.policy.head_time, [this] { late(); });
    arm();
  }

  void close() {
    if (std::exchange(closed_, true))
      return;
    limit_.cancel();
    if (poll_.in_flight())
      poll_.cancel();
    if (send_.in_flight())
      send_.cancel();
    rest();
  }

private:
  void rest() {
    if (closed_ && !poll_.in_flight() && !send_.in_flight())
      owner_.at_rest(*this);
  }

  void arm() {
    poll_.start(socket_.get(), POLLIN, [this](int32_t) { readable(); });
  }

  void readable() {
    if (closed_)
      return rest();
    char piece[http_reader::max_piece];
    const auto n = owner_.loop->sys().read(socket_.get(), piece);
    if (n == -EAGAIN || n == -EINTR)
      return arm();
    if (n <= 0)
      return close();
    if (refused_)
      return discard(size_t(n));
    if (!reader_.begun())
      limit_.start(owner_.policy.head_time, [this] { late(); });
    answer(reader_.feed({piece, size_t(n)}));
  }

  void answer(http_reader::state s) {
    if (s == http_reader::state::more)
      return arm();
    if (s == http_reader::state::bad)
      return refuse(reader_.status());
    const auto asked = reader_.take();
    keep_ = asked.keep_alive;
    const bool head = asked.method == "HEAD";
    if (asked.method != "GET" && !head)
      return refuse(405);
    if (asked.path != "/metrics")
      return say(http_reply(404, plain, "Not here: /metrics\n", keep_, !head));
    const auto f = asked.openmetrics ? format::openmetrics : format::prometheus;
    say(http_reply(200, content_type(f), owner_.text(f), keep_, !head));
  }

  /// The end of the connection; but first its client must be able to read why.
  void refuse(int status) {
    refused_ = true;
    keep_ = false;
    say(http_reply(status, plain, status == 405 ? "Only GET\n" : "Refused\n", false));
  }

  void late() {
    if (refused_ || sending_ || !reader_.begun())
      return close(); // It reads nothing, or asks for nothing.
    if (poll_.in_flight())
      poll_.cancel();
    refuse(408);
  }

  void say(std::string reply) {
    sending_ = true;
    reply_ = std::move(reply);
    sent_ = 0;
    limit_.start(owner_.policy.reply_time, [this] { late(); });
    send();
  }

  void send() {
    send_.start(socket_.get(), std::span(reply_).subspan(sent_), [this](int32_t n) { sent(n); });
  }

  void sent(int32_t n) {
    if (closed_)
      return rest();
    if (n < 0 && n != -EAGAIN && n != -EINTR)
      return close();
    sent_ += size_t(std::max(n, 0));
    if (sent_ < reply_.size())
      return send();
    sending_ = false;
    std::string().swap(reply_);
    if (refused_) {
      ::shutdown(socket_.get(), SHUT_WR);
      if (!poll_.in_flight())
        arm();
      return;
    }
    if (!keep_)
      return close();
    limit_.start(owner_.policy.idle_time, [this] { late(); });
    answer(reader_.again());
  }

  /// What a refused client still sends: unread, it would wipe out the reply.
  void discard(size_t n) {
    discarded_ += n;
    if (discarded_ > owner_.policy.max_discarded)
      return close();
    arm();
  }

  owner& owner_;
  io::fd socket_;
  io::poll_op poll_;
  io::send_op send_;
  io::timer limit_;
  http_reader reader_;
  std::string reply_;
  size_t sent_ = 0;
  size_t discarded_ = 0;
  bool keep_ = true;
  bool sending_ = false;
  bool refused_ = false;
  bool closed_ = false;
};

} // namespace

struct endpoint::impl final : owner {
  impl(io::loop& l, body f, endpoint_policy p) : make(std::move(f)) {
    loop = &l;
    policy = p;
  }

  std::string text(format f) override { return make(f); }

  void at_rest(client& c) override {
    loop->post([this, &c] {
      clients.erase(&c);
      look_whether_stopped();
    });
  }

  void accepted(int32_t res) {
    if (res < 0) {
      if (res != -ECANCELED && !std::exchange(accept_failed, true))
        io::log_warn("metrics: {}", from_errno(-res, "accept", "a client").text());
      return;
    }
    accept_failed = false;
    io::fd socket(loop->sys(), res);
    if (on_stopped || clients.size() >= policy.max_connections)
      return;
    auto made = std::make_unique<client>(*this, std::move(socket));
    auto* c = made.get();
    clients.emplace(c, std::move(made));
    c->begin();
  }

  void look_whether_stopped() {
    if (!on_stopped || !clients.empty())
      return;
    for (const auto& op : listeners)
      if (op->in_flight()) // Its cancel is on the way: the next turn brings it.
        return loop->post([this] { look_whether_stopped(); });
    loop->post(std::exchange(on_stopped, nullptr));
  }

  const body make;
  std::vector<std::unique_ptr<io::accept_op>> listeners;
  std::unordered_map<client*, std::unique_ptr<client>> clients;
  bool accept_failed = false;
  std::function<void()> on_stopped;
};

endpoint::endpoint(io::loop& l, body f, endpoint_policy policy)
  : impl_(std::make_unique<impl>(l, std::move(f), policy)) {}

endpoint::~endpoint() { GANTRY_CHECK(impl_->clients.empty()); }

void endpoint::listen(int listener) {
  auto& op = impl_->listeners.emplace_back(std::make_unique<io::accept_op>(*impl_->loop));
  op->start(listener, [x = impl_.get()](int32_t res) { x->accepted(res); });
}

void endpoint::stop(std::function<void()> f) {
  impl_->on_stopped = std::move(f);
  for (auto& op : impl_->listeners)
    op->cancel();
  std::vector<client*> all;
  for (auto& [c, owned] : impl_->clients)
    all.push_back(c);
  for (auto* c : all)
    c->close();
  impl_->loop->post([x = impl_.get()] { x->look_whether_stopped(); });
}

size_t endpoint::connections() const noexcept { return impl_->clients.size(); }

} // namespace gantry::metrics
