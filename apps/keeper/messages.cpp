#include "apps/keeper/keeper.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace gantry::keeper {

using wire::refusal;
using wire::word;

namespace {

/// A `start` is taken apart where it was received: two places, so that one that is refused
/// does not spoil the program that is in use.
struct request {
  char strings[wire::max_packet];
  program what;
};
request requests[2];
size_t spare = 0;
constexpr size_t stdio_count = 3;

bool send(int to, const wire::message& what, std::span<const int> fds = {}) noexcept {
  return io::send_packet(to, what, fds) == 0;
}

void refuse(int to, refusal why, const wire::message& about, uint64_t serial,
            const char* text) noexcept {
  wire::message m{.what = word::error, .value = static_cast<uint32_t>(why),
                  .aux = wire::version, .kind = about.kind, .serial = serial};
  std::strncpy(m.note, text, sizeof(m.note) - 1);
  send(to, m);
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
  const auto length = std::strlen(how_.control);
  if (length >= sizeof(at.sun_path)) {
    say({"the path is too long for a socket: ", how_.control});
    return false;
  }
  std::memcpy(at.sun_path, how_.control, length);
  std::memcpy(lock, how_.control, length);
  std::memcpy(lock + length, ".lock", sizeof(".lock"));
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
    char more = 0;
    const auto got = io::receive_packet(socket_, {&more, 1});
    if (got.size > 0) {
      obey(judge(got), {got.fds, got.count});
      continue;
    }
    close_all({got.fds, got.count});
    // Of a gantryd that lives, an empty queue is no end.
    if (got.size == -EAGAIN && pid_ > 0)
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
                   .serial = arena_.header().generation.load()});
    return;
  case word::ready:
    ready_ = ever_ready_ = served_ = true;
    tell_launcher(word::serving, pid_);
    if (owed_ != 0)
      forward(std::exchange(owed_, 0));
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
    if (const int res = io::send_packet(socket_, m, {slot.fds, slot.count}); res < 0) {
      listing_ = res == -EAGAIN;
      return;
    }
  }
  const wire::message last{.what = word::end, .value = size, .aux = size};
  listing_ = listing_ && io::send_packet(socket_, last, {}) == -EAGAIN;
}

void keeper::take_launcher() noexcept {
  const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  ucred peer{};
  socklen_t size = sizeof(peer);
  const bool ours = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
                    && peer.uid == ::geteuid();
  if (ours && (pid_ < 0 || launcher_ < 0)) {
    ::close(launcher_);
    launcher_ = fd;
    asked_ = false;
    return;
  }
  if (ours)
    refuse(fd, refusal::busy, {}, static_cast<uint64_t>(pid_), "a gantryd is running");
  ::close(fd);
}

void keeper::take_request() noexcept {
  const auto got = io::receive_packet(launcher_, requests[spare].strings);
  std::span fds{got.fds, got.count};
  if (got.size > 0) {
    const auto v = judge_control(got);
    if (!v.ok)
      refuse(launcher_, v.why, v.what, 0, text_of(v.why));
    else if (v.what.what == word::signal)
      pass_on(static_cast<int>(v.what.value));
    else if (v.what.what == word::start
             && run_request(v.what, static_cast<size_t>(got.size) - sizeof(v.what), fds))
      fds = fds.first(stdio_count); // The rest lies on the shelf now.
  } else if (got.size != -EAGAIN) {
    ::close(launcher_);
    launcher_ = -1;
    over_ = over_ || program_ == nullptr; // Nobody else knows of us.
  }
  close_all(fds);
}

/// What came with a `start` behind its stdio; whether that lies on the shelf now.
bool keeper::shelve(const wire::message& what, std::span<const int> fds) noexcept {
  const auto more = fds.subspan(stdio_count);
  if (what.kind == 0)
    return false;
  if (!more.empty())
    return shelf_.put(what.kind, 0, what.note, more);
  if (pid_ < 0)
    shelf_.drop(what.kind, 0);
  return false;
}

/// @returns whether what came behind the stdio is ours now.
bool keeper::run_request(const wire::message& what, size_t size,
                         std::span<const int> fds) noexcept {
  auto& r = requests[spare];
  if (pid_ > 0 && what.serial == 1) {
    asked_ = true;
    const bool shelved = shelve(what, fds);
    tell_launcher(word::started, pid_);
    if (ready_)
      tell_launcher(word::serving, pid_);
    return shelved;
  }
  if (pid_ > 0 || !take_apart(what, {r.strings, size}, r.what)) {
    refuse(launcher_, pid_ > 0 ? refusal::busy : refusal::malformed, what,
           static_cast<uint64_t>(pid_), "not now, or not a program");
    ::close(launcher_);
    launcher_ = -1;
    return false;
  }
  const bool shelved = shelve(what, fds);
  for (int i = 0; i < 3; ++i)
    ::dup2(fds[static_cast<size_t>(i)], i);
  program_ = &r.what;
  spare = 1 - spare;
  short_lives_ = 0;
  asked_ = true;
  served_ = false;
  start();
  return shelved;
}

void keeper::tell_launcher(word what, int value) noexcept {
  if (launcher_ >= 0)
    send(launcher_, {.what = what, .value = static_cast<uint32_t>(value)});
}

} // namespace gantry::keeper
