#include "gateways/bus/fd_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <poll.h>
#include <sys/socket.h>
#include <vector>

#include "io/ops.hpp"

namespace gantry::bus {

namespace {

constexpr size_t max_packet = 512;
constexpr size_t max_users_counted = 1024;

/// One packet, with a descriptor beside it where there is one; whether the peer took it.
bool send_packet(int to, const std::string& bytes, int fd) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  if (fd >= 0) {
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    auto* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof(int));
  }
  ssize_t n = 0;
  do
    n = ::sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == ssize_t(bytes.size());
}

struct fd_client {
  fd_client(io::loop& l, io::fd s, peer p)
    : socket(std::move(s)), who(std::move(p)), poll(l), patience(l) {}

  io::fd socket;
  peer who;
  io::poll_op poll;
  io::timer patience;
  bool over = false;
};

} // namespace

struct fd_server::impl {
  impl(io::loop& l, actors::front& f, fd_server_policy p)
    : loop(l), front(f), policy(std::move(p)), listener(l) {}

  void accepted(int32_t res);
  void arm(fd_client& c);
  void on_readable(fd_client& c, int32_t res);
  void close(fd_client& c);
  void sweep();
  result<io::fd> answer(const fd_client& c, std::span<const char> packet);
  result<void> still_heard(uid_t uid);
  void count_bad(uid_t uid);

  struct bad_tickets {
    io::nanoseconds since{0};
    size_t count = 0;
  };

  io::loop& loop;
  actors::front& front;
  const fd_server_policy policy;
  io::accept_op listener;
  std::vector<std::unique_ptr<fd_client>> clients;
  std::map<uid_t, bad_tickets> bad;
  bool sweeping = false;
  bool stopping = false;
  std::function<void()> on_stopped;
};

void fd_server::impl::accepted(int32_t res) {
  if (res < 0) {
    sweep(); // Perhaps the end of the listening.
    return;
  }
  io::fd socket(loop.sys(), res);
  auto who = peer_of(res);
  if (stopping || !who || clients.size() >= policy.max_connections)
    return;
  const auto theirs = std::count_if(clients.begin(), clients.end(), [&who](const auto& c) {
    return c->who.by.uid() == who->by.uid();
  });
  if (size_t(theirs) >= policy.max_user_connections)
    return;
  auto& c = *clients.emplace_back(
    std::make_unique<fd_client>(loop, std::move(socket), std::move(*who)));
  c.patience.start(policy.patience, [this, &c] { close(c); });
  arm(c);
}

void fd_server::impl::arm(fd_client& c) {
  c.poll.start(c.socket.get(), POLLIN, [this, &c](int32_t res) { on_readable(c, res); });
}

void fd_server::impl::on_readable(fd_client& c, int32_t res) {
  if (c.over || res < 0)
    return close(c);
  std::array<char, max_packet> packet;
  const auto n = ::recv(c.socket.get(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return arm(c);
  if (n <= 0)
    return close(c);
  auto found = size_t(n) > packet.size()
                 ? result<io::fd>{error{ec::invalid_argument,
                                        std::to_string(n) + " bytes are no FdRequest",
                                        "send one v1.FdRequest in each packet"}}
                 : answer(c, std::span(packet).first(size_t(n)));
  v1::FdReply reply;
  if (!found) {
    reply.set_code(std::string(name_of(found.why().code)));
    reply.set_message(found.why().message);
    reply.set_cure(found.why().cure);
    count_bad(c.who.by.uid());
  }
  if (!send_packet(c.socket.get(), reply.SerializeAsString(), found ? found->get() : -1) || !found)
    return close(c);
  arm(c);
}

result<io::fd> fd_server::impl::answer(const fd_client& c, std::span<const char> packet) {
  if (auto may = check_right(role_of(policy.roles, c.who), right::read, c.who.by, "fds.sock"); !may)
    return std::move(may).why();
  if (auto heard = still_heard(c.who.by.uid()); !heard)
    return std::move(heard).why();
  v1::FdRequest request;
  if (!request.ParseFromArray(packet.data(), int(packet.size())))
    return error{ec::invalid_argument, "the packet is no FdRequest",
                 "send one v1.FdRequest in each packet"};
  return front.redeem(c.who.by, request.ticket());
}

/// Whoever guesses gets no answer but this one for a while.
result<void> fd_server::impl::still_heard(uid_t uid) {
  const auto at = bad.find(uid);
  if (at == bad.end())
    return {};
  if (loop.now() - at->second.since > policy.bad_window) {
    bad.erase(at);
    return {};
  }
  if (at->second.count < policy.max_bad_tickets)
    return {};
  return error{ec::resource_exhausted,
               "user " + std::to_string(uid) + " has presented "
                 + std::to_string(at->second.count) + " bad tickets",
               "wait some seconds; a ticket is good once, and only for who asked for it"};
}

void fd_server::impl::count_bad(uid_t uid) {
  if (bad.size() >= max_users_counted)
    std::erase_if(bad, [this](const auto& x) {
      return loop.now() - x.second.since > policy.bad_window;
    });
  if (bad.size() >= max_users_counted && !bad.contains(uid))
    return;
  auto& mine = bad[uid];
  if (mine.count++ == 0)
    mine.since = loop.now();
}

void fd_server::impl::close(fd_client& c) {
  c.over = true;
  c.patience.cancel();
  if (c.poll.in_flight())
    c.poll.cancel();
  sweep();
}

/// Destroys what is over, later: nobody stands in it then.
void fd_server::impl::sweep() {
  if (std::exchange(sweeping, true))
    return;
  loop.post([this] {
    sweeping = false;
    std::erase_if(clients, [](const auto& c) { return c->over && !c->poll.in_flight(); });
    if (stopping && clients.empty() && !listener.in_flight() && on_stopped)
      loop.post(std::exchange(on_stopped, nullptr));
  });
}

fd_server::fd_server(io::loop& l, actors::front& behind, fd_server_policy policy)
  : impl_(std::make_unique<impl>(l, behind, std::move(policy))) {}

fd_server::~fd_server() {
  GANTRY_CHECK(impl_->clients.empty() && !impl_->listener.in_flight() && !impl_->sweeping);
}

void fd_server::listen(int listener) {
  impl_->listener.start(listener, [x = impl_.get()](int32_t res) { x->accepted(res); });
}

void fd_server::stop(std::function<void()> f) {
  impl_->stopping = true;
  impl_->on_stopped = std::move(f);
  if (impl_->listener.in_flight())
    impl_->listener.cancel();
  for (auto& c : impl_->clients)
    impl_->close(*c);
  impl_->sweep();
}

size_t fd_server::connections() const noexcept {
  return impl_->clients.size();
}

std::string fds_socket_beside(const std::string& bus_socket) {
  const auto slash = bus_socket.rfind('/') + 1;
  return bus_socket.substr(slash) == "gantry.sock" ? bus_socket.substr(0, slash) + "fds.sock"
                                                   : bus_socket + ".fds";
}

} // namespace gantry::bus
