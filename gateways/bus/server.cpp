#include "gateways/bus/server.hpp"

#include <algorithm>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "gateways/bus/connection.hpp"
#include "io/log.hpp"

namespace gantry::bus {

namespace {

/// What one read may bring at most: shared by all connections, as it is digested at once.
constexpr size_t scratch_bytes = 64u << 10;

/// After the grace of a stop: how long the last words may take to be read.
constexpr auto last_words = std::chrono::milliseconds(250);

} // namespace

struct server::impl final : connection_owner, io::turn_hook {
  impl(io::loop& l, actors::front& f, server_policy p)
    : loop(l), front(f), policy(std::move(p)), requests(policy.max_request_bytes), patience(l),
      buffer(scratch_bytes) {
    loop.add_hook(*this);
  }
  ~impl() override { loop.remove_hook(*this); }

  void touch(connection& c) override;
  std::span<char> scratch() noexcept override { return buffer; }

  // The end of each turn, behind the actors: what they said in it goes out with the next
  // submission, and nothing that is only posted comes before it.
  void run_some() override {
    if (!due.empty())
      flush();
  }
  [[nodiscard]] bool ready() const noexcept override { return !due.empty(); }
  [[nodiscard]] io::nanoseconds deadline() const noexcept override {
    return io::nanoseconds::max();
  }

  void flush();
  void accepted(int32_t res);
  [[nodiscard]] bool room_for(uid_t uid) const;
  void end_of_grace();
  void look_whether_stopped();
  [[nodiscard]] bool accepting() const noexcept;

  io::loop& loop;
  actors::front& front;
  const server_policy policy;
  byte_budget requests;
  std::vector<std::unique_ptr<io::accept_op>> listeners;
  std::unordered_map<connection*, std::unique_ptr<connection>> connections;
  std::vector<connection*> due;
  bool accept_failed = false;
  bool stopping = false;
  io::timer patience;
  std::function<void()> on_stopped;
  std::vector<char> buffer;
};

void server::impl::touch(connection& c) {
  if (std::exchange(c.touched, true))
    return;
  due.push_back(&c);
}

void server::impl::flush() {
  for (auto* c : std::exchange(due, {})) {
    c->touched = false;
    c->flush();
    if (c->at_rest() && !c->touched)
      connections.erase(c);
  }
  if (stopping)
    look_whether_stopped();
}

void server::impl::accepted(int32_t res) {
  if (res < 0) {
    // Said once for each time of trouble: the op goes on trying by itself.
    if (res != -ECANCELED && !std::exchange(accept_failed, true))
      io::log_warn("bus: {}", from_errno(-res, "accept", "a client").text());
    return;
  }
  accept_failed = false;
  io::fd socket(loop.sys(), res);
  const auto who = peer_of(res);
  if (stopping || !who || !room_for(who->by.uid()))
    return; // closed: the client sees the end of the connection and may try again
  auto made =
    std::make_unique<connection>(*this, loop, std::move(socket), front, policy, *who, requests);
  auto* c = made.get();
  connections.emplace(c, std::move(made));
  c->start();
}

/// Nobody keeps others out by connecting often, least of all the administrator.
bool server::impl::room_for(uid_t uid) const {
  if (uid == 0 || uid == ::geteuid())
    return connections.size() < policy.max_connections;
  const auto theirs = std::count_if(connections.begin(), connections.end(), [uid](const auto& c) {
    return c.first->by.uid() == uid;
  });
  return size_t(theirs) < policy.max_user_connections
         && connections.size() + policy.kept_connections < policy.max_connections;
}

bool server::impl::accepting() const noexcept {
  for (const auto& op : listeners)
    if (op->in_flight())
      return true;
  return false;
}

void server::impl::end_of_grace() {
  const error why{ec::unavailable, "the supervisor is stopping", "try again when it is back"};
  for (auto& [c, owned] : connections)
    c->fail_calls(why);
  patience.start(last_words, [this] {
    for (auto& [c, owned] : connections)
      c->close();
  });
}

void server::impl::look_whether_stopped() {
  if (!stopping || !due.empty() || !connections.empty() || on_stopped == nullptr)
    return;
  if (accepting()) // its cancel is on the way: the next turn brings it
    return loop.post([this] { look_whether_stopped(); });
  patience.cancel();
  loop.post(std::exchange(on_stopped, nullptr));
}

server::server(io::loop& l, actors::front& behind, server_policy policy)
  : impl_(std::make_unique<impl>(l, behind, std::move(policy))) {}

server::~server() {
  GANTRY_CHECK(impl_->connections.empty() && impl_->due.empty() && !impl_->accepting());
}

void server::listen(int listener) {
  auto& op = impl_->listeners.emplace_back(std::make_unique<io::accept_op>(impl_->loop));
  op->start(listener, [x = impl_.get()](int32_t res) { x->accepted(res); });
}

void server::stop(io::nanoseconds grace, std::function<void()> f) {
  GANTRY_CHECK(!impl_->stopping);
  impl_->stopping = true;
  impl_->on_stopped = std::move(f);
  for (auto& op : impl_->listeners)
    op->cancel();
  for (auto& [c, owned] : impl_->connections)
    c->go_away();
  impl_->patience.start(grace, [x = impl_.get()] { x->end_of_grace(); });
  impl_->loop.post([x = impl_.get()] { x->look_whether_stopped(); });
}

size_t server::connections() const noexcept {
  return impl_->connections.size();
}

} // namespace gantry::bus
