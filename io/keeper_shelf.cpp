#include "io/keeper_shelf.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gantry::io {

namespace wire = keeper_wire;
using namespace std::chrono_literals;
using wire::word;

namespace {

constexpr nanoseconds patience = 5s;   // of the calls that wait for the keeper
constexpr nanoseconds busy_pause = 2ms; // too many descriptors are on their way
constexpr size_t most_waiting = 16384;

error gone() {
  return {ec::unavailable, "the keeper has gone", "restart gantryd when it suits"};
}

wire::message about(word what, const shelf_key& key = {}) {
  return {.what = what, .kind = key.kind, .serial = key.serial};
}

} // namespace

keeper_shelf::keeper_shelf(loop& l, const keeper_fds& fds)
  : loop_(l), socket_(fds.socket), news_(l.sys(), fds.news), again_(l) {}

result<std::unique_ptr<keeper_shelf>> keeper_shelf::open(loop& l, const keeper_fds& fds) {
  std::unique_ptr<keeper_shelf> out{new keeper_shelf(l, fds)};
  out->listen();
  if (auto mapped = out->map(fds.arena); !mapped)
    return std::move(mapped).why();
  if (auto greeted = out->greet(); !greeted)
    return std::move(greeted).why();
  return out;
}

keeper_shelf::~keeper_shelf() {
  // A reaper's poll on the news may be queued still: closed only behind the next turn.
  loop_.post([news = std::make_shared<fd>(std::move(news_))] {});
  if (!memory_.empty())
    ::munmap(memory_.data(), memory_.size());
}

result<void> keeper_shelf::map(int number) {
  fd file{loop_.sys(), number};
  struct stat info{};
  if (::fstat(number, &info) != 0)
    return from_errno(errno, "look at", "the keeper's arena");
  const auto size = static_cast<size_t>(info.st_size);
  auto* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0);
  if (at == MAP_FAILED)
    return from_errno(errno, "map", "the keeper's arena");
  memory_ = {static_cast<std::byte*>(at), size};
  arena_ = arena::open(memory_);
  if (!arena_)
    return error{ec::unsupported, "the keeper's arena has another layout",
                 "stop all containers and the keeper, then start gantryd again"};
  return {};
}

result<void> keeper_shelf::greet() {
  if (auto sent = send(about(word::hello), {}); !sent)
    return sent;
  const auto deadline = loop_.sys().monotonic() + patience;
  while (true) {
    auto packet = next_packet(deadline);
    if (!packet)
      return std::move(packet).why();
    const auto& m = packet->what;
    if (m.what == word::welcome) {
      keeper_pid_ = static_cast<int>(m.value);
      generation_ = m.serial;
      return {};
    }
    if (m.what == word::error && wire::refusal(m.value) == wire::refusal::version)
      return error{ec::unsupported,
                   "the keeper speaks version " + std::to_string(m.aux)
                     + " of the protocol, this gantryd version " + std::to_string(wire::version),
                   "stop all containers and the keeper, then start gantryd again"};
  }
}

result<void> keeper_shelf::put(const shelf_key& key, const shelf_note& note,
                               std::span<const int> fds) {
  GANTRY_CHECK(fds.size() <= shelf_max_fds);
  auto m = about(word::put, key);
  std::memcpy(m.note, note.data(), note.size());
  return send(m, fds);
}

result<void> keeper_shelf::drop(const shelf_key& key) { return send(about(word::drop, key), {}); }

void keeper_shelf::freed() noexcept { (void)send(about(word::freed), {}); }

void keeper_shelf::farewell() noexcept { (void)send(about(word::farewell), {}); }

void keeper_shelf::farewell_for_now() noexcept {
  auto m = about(word::farewell);
  m.value = 1;
  (void)send(m, {});
}

void keeper_shelf::ready() noexcept { (void)send(about(word::ready), {}); }

result<void> keeper_shelf::send(const wire::message& what, std::span<const int> fds) {
  if (!alive_)
    return gone();
  int res = waiting_.empty() ? send_packet(socket_, what, fds) : -EAGAIN;
  if (res == 0)
    return {};
  if (res == -EPIPE || res == -ECONNRESET || res == -ENOTCONN) {
    lose();
    return gone();
  }
  if (res != -EAGAIN && res != -ETOOMANYREFS && res != -ENOBUFS && res != -ENOMEM)
    return from_errno(-res, "send to", "the keeper");
  if (waiting_.size() >= most_waiting)
    return error{ec::resource_exhausted, "the keeper does not take messages", "is it stopped?"};
  outgoing later{what, {}};
  for (int number : fds) {
    later.fds.emplace_back(loop_.sys(), ::fcntl(number, F_DUPFD_CLOEXEC, 0));
    if (!later.fds.back())
      return from_errno(errno, "duplicate", "a descriptor for the keeper");
  }
  waiting_.push_back(std::move(later));
  flush_later();
  return {};
}

int keeper_shelf::send_now(const outgoing& x) noexcept {
  int numbers[wire::max_fds];
  for (size_t i = 0; i < x.fds.size(); ++i)
    numbers[i] = x.fds[i].get();
  return send_packet(socket_, x.what, {numbers, x.fds.size()});
}

void keeper_shelf::flush() {
  while (alive_ && !waiting_.empty()) {
    const int res = send_now(waiting_.front());
    if (res == -EPIPE || res == -ECONNRESET || res == -ENOTCONN)
      return lose();
    if (res == -EAGAIN)
      return flush_later();
    if (res < 0) { // writable, but the kernel refuses for now
      again_.start(busy_pause, [this] { flush(); });
      return;
    }
    waiting_.pop_front();
  }
}

void keeper_shelf::flush_later() {
  if (!writable_.waiting() && !again_.armed())
    writable_.start(loop_, socket_, POLLOUT, [this](int32_t) { flush(); });
}

} // namespace gantry::io
