#include "apps/keeper/keeper.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::keeper {

using wire::refusal;
using wire::word;

namespace {

/// A `start` is taken apart where it was received: two places, so that one that is refused
/// does not spoil the program that is in use.
struct request {
  char packet[wire::max_packet];
  program what;
};
request requests[2];
size_t spare = 0;

struct received {
  ssize_t size = -1; ///< As recvmsg: 0 at the end, -1 with errno.
  bool cut = false;
  int fds[wire::max_fds];
  size_t count = 0;
};

received receive(int from, void* into, size_t room) noexcept {
  received out;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(out.fds))];
  iovec part{into, room};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof(control);
  do
    out.size = ::recvmsg(from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (out.size < 0 && (errno == EINTR || errno == ECONNRESET)); // reset: the queue stays
  if (out.size < 0)
    return out;
  out.cut = (m.msg_flags & MSG_CTRUNC) != 0;
  for (auto* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
      out.count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::memcpy(out.fds, CMSG_DATA(c), out.count * sizeof(int));
    }
  return out;
}

bool send(int to, const wire::message& what, std::span<const int> fds) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::max_fds)] = {};
  iovec part{const_cast<wire::message*>(&what), sizeof(what)};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  if (!fds.empty()) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    auto* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void refuse(int to, refusal why, const wire::message& about, uint64_t serial,
            const char* text) noexcept {
  wire::message m{.what = word::error, .value = static_cast<uint32_t>(why),
                  .aux = wire::version, .kind = about.kind, .serial = serial};
  std::strncpy(m.note, text, sizeof(m.note) - 1);
  send(to, m, {});
}

const char* text_of(refusal why) noexcept {
  switch (why) {
  case refusal::version:
    return "this keeper speaks another version";
  case refusal::fds_lost:
    return "descriptors were lost: raise the limit of open files";
  default:
    return "malformed message";
  }
}

void close_all(std::span<const int> fds) noexcept {
  for (int fd : fds)
    ::close(fd);
}

} // namespace

bool keeper::open_control() noexcept {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  char lock[sizeof(at.sun_path) + 8] = {};
  if (std::strlen(how_.control) >= sizeof(at.sun_path)) {
    say({"the path is too long for a socket: ", how_.control});
    return false;
  }
  std::strcpy(at.sun_path, how_.control);
  std::strcat(std::strcpy(lock, how_.control), ".lock");
  const int held = ::open(lock, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600); // for ever
  if (held < 0 || ::flock(held, LOCK_EX | LOCK_NB) != 0) {
    say({"cannot lock ", lock, ": ",
         errno == EWOULDBLOCK ? "another keeper holds this state" : ::strerrordesc_np(errno)});
    return false;
  }
  ::unlink(how_.control);
  const auto mask = ::umask(0177);
  listener_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool ok = listener_ >= 0
                  && ::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0
                  && ::listen(listener_, 8) == 0;
  ::umask(mask);
  if (!ok)
    say({"cannot listen on ", how_.control, ": ", ::strerrordesc_np(errno)});
  return ok;
}

void keeper::take_messages() noexcept {
  while (socket_ >= 0 && !listing_) {
    std::byte packet[sizeof(wire::message) + 1]; // one more, to see that it is too long
    const auto got = receive(socket_, packet, sizeof(packet));
    const std::span fds{got.fds, got.count};
    if (got.size > 0) {
      obey(judge({packet, static_cast<size_t>(got.size)}, got.count, got.cut), fds);
      continue;
    }
    close_all(fds);
    // Of a gantryd that lives, an empty queue is no end.
    if (got.size < 0 && errno == EAGAIN && pid_ > 0)
      return;
    ::close(socket_);
    socket_ = -1;
  }
}

void keeper::obey(const verdict& v, std::span<const int> fds) noexcept {
  const auto& m = v.what;
  if (!v.ok) {
    close_all(fds);
    refuse(socket_, v.why, m, m.serial, text_of(v.why));
    return;
  }
  switch (m.what) {
  case word::hello:
    send(socket_, {.what = word::welcome, .value = static_cast<uint32_t>(::getpid()),
                   .serial = arena_.header().generation.load()}, {});
    return;
  case word::ready:
    ready_ = ever_ready_ = true;
    tell_launcher(word::serving, pid_);
    return;
  case word::put:
    if (!shelf_.put(m.kind, m.serial, m.note, fds)) {
      close_all(fds);
      refuse(socket_, refusal::table_full, m, m.serial, "the keeper's shelf is full");
    }
    return;
  case word::drop:
    shelf_.drop(m.kind, m.serial);
    return;
  case word::list:
    listing_ = pid_ > 0;
    listed_ = 0;
    list_on();
    return;
  case word::freed:
    reap();
    return;
  case word::farewell:
    farewell_ = true;
    stay_ = m.value == 1;
    return;
  default:
    return;
  }
}

void keeper::list_on() noexcept {
  const auto size = static_cast<uint32_t>(shelf_.size());
  for (; listing_ && listed_ < size; ++listed_) {
    const auto& slot = shelf_.at(listed_);
    wire::message m{.what = word::entry, .kind = shelf_.kind(listed_),
                    .serial = shelf_.serial(listed_)};
    std::memcpy(m.note, slot.note, sizeof(m.note));
    if (!send(socket_, m, {slot.fds, slot.count})) {
      listing_ = errno == EAGAIN;
      return;
    }
  }
  const wire::message last{.what = word::end, .value = size, .aux = size};
  listing_ = listing_ && !send(socket_, last, {}) && errno == EAGAIN;
}

void keeper::take_launcher() noexcept {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  ucred peer{};
  socklen_t size = sizeof(peer);
  const bool ours = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
                    && peer.uid == ::geteuid();
  if (ours && pid_ < 0) {
    ::close(launcher_);
    launcher_ = fd;
    return;
  }
  if (ours)
    refuse(fd, refusal::busy, {}, static_cast<uint64_t>(pid_), "a gantryd is running");
  ::close(fd);
}

void keeper::take_request() noexcept {
  auto& r = requests[spare];
  const auto got = receive(launcher_, r.packet, sizeof(r.packet));
  const std::span fds{got.fds, got.count};
  if (got.size > 0) {
    const auto size = static_cast<size_t>(got.size);
    const auto v = judge_control(std::as_bytes(std::span{r.packet, size}), got.count, got.cut);
    if (!v.ok)
      refuse(launcher_, v.why, v.what, 0, text_of(v.why));
    else if (v.what.what == word::signal && pid_ > 0)
      forward(static_cast<int>(v.what.value));
    else if (v.what.what == word::start)
      run_request(v.what, size, fds);
  } else if (got.size == 0 || errno != EAGAIN) {
    ::close(launcher_);
    launcher_ = -1;
  }
  close_all(fds);
}

void keeper::run_request(const wire::message& what, size_t size,
                         std::span<const int> fds) noexcept {
  auto& r = requests[spare];
  const std::span strings{r.packet + sizeof(what), size - sizeof(what)};
  if (pid_ > 0 || !take_apart(what, strings, r.what)) {
    refuse(launcher_, pid_ > 0 ? refusal::busy : refusal::malformed, what,
           static_cast<uint64_t>(pid_), "not now, or not a program");
    return;
  }
  for (int i = 0; i < 3; ++i)
    ::dup2(fds[static_cast<size_t>(i)], i);
  program_ = &r.what;
  spare = 1 - spare;
  short_lives_ = 0;
  start();
}

void keeper::tell_launcher(word what, int value) noexcept {
  if (launcher_ >= 0)
    send(launcher_, {.what = what, .value = static_cast<uint32_t>(value)}, {});
}

} // namespace gantry::keeper
