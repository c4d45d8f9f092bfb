#include "io/keeper_shelf.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>

#include "io/log.hpp"

namespace gantry::io {

namespace wire = keeper_wire;
using namespace std::chrono_literals;
using wire::word;

namespace {

constexpr nanoseconds read_patience = 5s;

void close_all(const keeper_packet& x) noexcept {
  for (size_t i = 0; i < x.count; ++i)
    ::close(x.fds[i]);
}

std::string text_of(const wire::message& refusal) {
  return {refusal.note, ::strnlen(refusal.note, sizeof(refusal.note))};
}

} // namespace

// Only the start waits like this: the loop does not run yet.
bool keeper_shelf::wait_for(short events, nanoseconds deadline) noexcept {
  while (true) {
    const auto left = deadline - loop_.sys().monotonic();
    if (left <= 0ns)
      return false;
    pollfd p{socket_, events, 0};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    if (::poll(&p, 1, static_cast<int>(ms)) > 0)
      return true;
  }
}

result<keeper_packet> keeper_shelf::next_packet(nanoseconds deadline) {
  while (true) {
    auto packet = receive_packet(socket_);
    if (packet.size == sizeof(wire::message) && packet.what.magic == wire::magic)
      return packet;
    close_all(packet);
    if (packet.size == 0) {
      lose();
      return error{ec::unavailable, "the keeper has gone", "start gantryd again"};
    }
    if (packet.size != -EAGAIN && packet.size < 0)
      return from_errno(static_cast<int>(-packet.size), "read from", "the keeper");
    if (packet.size == -EAGAIN && !wait_for(POLLIN, deadline))
      return error{ec::deadline_exceeded, "the keeper did not answer within 5 s",
                   "is it stopped?"};
  }
}

result<std::vector<shelf_entry>> keeper_shelf::list() {
  const auto deadline = loop_.sys().monotonic() + read_patience;
  if (auto sent = send({.what = word::list}, {}); !sent)
    return std::move(sent).why();
  while (!waiting_.empty() && wait_for(POLLOUT, deadline) && alive_)
    flush();
  std::vector<shelf_entry> out;
  while (true) {
    auto packet = next_packet(deadline);
    if (!packet)
      return std::move(packet).why();
    const auto& m = packet->what;
    if (m.what == word::entry) {
      shelf_entry entry{{m.kind, m.serial}, {}, {}};
      std::memcpy(entry.note.data(), m.note, sizeof(m.note));
      for (size_t i = 0; i < packet->count; ++i)
        entry.fds.emplace_back(loop_.sys(), packet->fds[i]);
      if (packet->cut)
        return error{ec::resource_exhausted, "descriptors on the keeper's shelf were lost",
                     "raise LimitNOFILE (ulimit -n)"};
      out.push_back(std::move(entry));
      continue;
    }
    close_all(*packet);
    if (m.what == word::error)
      refusal(m);
    if (m.what != word::end)
      continue;
    if (m.value != out.size())
      return error{ec::data_loss, "the keeper's list is not whole", "start gantryd again"};
    return out;
  }
}

void keeper_shelf::listen() {
  auto heard = [this](int32_t) {
    read_all();
    if (alive_)
      listen();
  };
  if (!alive_)
    return;
  if (readable_.started())
    readable_.start(loop_, socket_, POLLIN, heard);
  else
    readable_.start(loop_, fd{loop_.sys(), socket_}, POLLIN, heard);
}

void keeper_shelf::read_all() {
  while (alive_) {
    auto packet = receive_packet(socket_);
    close_all(packet); // nothing that comes by itself has any
    if (packet.size == -EAGAIN)
      return;
    if (packet.size <= 0)
      return lose();
    if (packet.size == sizeof(wire::message) && packet.what.what == word::error)
      refusal(packet.what);
  }
}

void keeper_shelf::refusal(const wire::message& m) {
  ++refused_;
  io::log_error("the keeper refuses kind={} serial={}: {}", m.kind, m.serial, text_of(m));
  const auto full = wire::refusal(m.value) == wire::refusal::fds_lost
                    || wire::refusal(m.value) == wire::refusal::table_full;
  if (on_refused_)
    on_refused_({m.kind, m.serial}, {full ? ec::resource_exhausted : ec::internal,
                                     "the keeper: " + text_of(m), ""});
}

void keeper_shelf::lose() {
  if (!std::exchange(alive_, false))
    return;
  waiting_.clear();
  again_.cancel();
  std::weak_ptr<int> life = life_;
  loop_.post([this, life] {
    if (life.expired())
      return;
    auto listeners = std::move(on_lost_);
    for (auto& f : listeners)
      f();
  });
}

} // namespace gantry::io
