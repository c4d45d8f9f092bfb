#include <cerrno>
#include <poll.h>

#include "actors/fifos.hpp"
#include "io/pump.hpp"

namespace gantry::actors {

namespace {

constexpr size_t piece_bytes = 64u << 10;
/// So long the readers of a process that has ended may take for its last words.
constexpr auto last_patience = std::chrono::seconds(10);

} // namespace

fifo_relay::fifo_relay(services& host, process_names who, fifo_set fifos, input in)
  : host_(host), who_(std::move(who)), in_fifo_(std::move(fifos[0])), in_(std::move(in)),
    patience_(host.loop) {
  out_[0].fifo = std::move(fifos[1]);
  out_[1].fifo = std::move(fifos[2]);
  host_.outputs.add(who_.serial, *this);
}

fifo_relay::~fifo_relay() {
  if (!left_)
    host_.outputs.remove(who_.serial, *this);
  in_poll_.drop();
  for (auto& out : out_)
    out.poll.drop();
  // The kernel may hear of the polls' end in the next turn only: the numbers stay until then.
  auto held = std::make_shared<fifo_set>(
    fifo_set{std::move(in_fifo_), std::move(out_[0].fifo), std::move(out_[1].fifo)});
  host_.loop.post([l = &host_.loop, held] { l->post([held] {}); });
}

void fifo_relay::begin() {
  auto* pump = host_.outputs.pump_of(who_.serial);
  for (int s = 0; s < 2; ++s) {
    auto& out = out_[size_t(s)];
    if (!out.fifo)
      continue;
    const auto totals = pump->totals();
    const auto rest = pump->unlogged(s);
    const uint64_t came = totals.bytes[size_t(s)] + totals.dropped[size_t(s)] + rest.size();
    out.relayed = pump->relayed(s)->load(std::memory_order_relaxed);
    const uint64_t behind = came - std::min(came, out.relayed);
    const uint64_t there = std::min<uint64_t>(behind, rest.size());
    if (behind > there)
      lost(s, behind - there, "gantryd died before it had passed them on to their FIFO");
    out.relayed = came - there;
    out.waiting = rest.substr(rest.size() - there);
    pass(s);
  }
  watch_input();
}

void fifo_relay::came(int stream, uint64_t offset, std::span<const char> bytes) {
  auto& out = out_[size_t(stream)];
  if (!out.fifo)
    return;
  out.relayed = offset - out.waiting.size(); // The log's policy may have given some up unread.
  out.waiting.append(bytes.data(), bytes.size());
  pass(stream);
}

/// Writes what the FIFO takes. First it is said that the bytes may be written, then they are:
/// none comes twice after a crash.
void fifo_relay::pass(int stream) {
  auto& out = out_[size_t(stream)];
  auto* pump = left_ ? nullptr : host_.outputs.pump_of(who_.serial);
  auto* kept = pump != nullptr ? pump->relayed(stream) : nullptr;
  while (!out.waiting.empty() && !out.poll.waiting()) {
    const auto piece = std::span<const char>(out.waiting).first(
      std::min(out.waiting.size(), piece_bytes));
    if (kept != nullptr)
      kept->store(out.relayed + piece.size(), std::memory_order_release);
    const auto n = host_.loop.sys().write(out.fifo.get(), piece);
    if (n > 0) {
      out.relayed += uint64_t(n);
      out.waiting.erase(0, size_t(n));
    }
    if (kept != nullptr)
      kept->store(out.relayed, std::memory_order_release);
    if (n < 0 && n != -EINTR) // -EAGAIN: it is full. Others cannot be: both ends are ours.
      watch_output(stream);
  }
  if (!left_)
    host_.outputs.hold(who_.serial, *this, waits());
}

bool fifo_relay::waits() const {
  return !out_[0].waiting.empty() || !out_[1].waiting.empty();
}

void fifo_relay::watch_output(int stream) {
  auto& out = out_[size_t(stream)];
  out.poll.start(host_.loop, out.fifo.get(), POLLOUT, [weak = weak_from_this(), stream](int32_t) {
    auto me = weak.lock();
    if (!me)
      return;
    me->pass(stream);
    if (me->left_ && !me->waits())
      me->host_.lingering.erase(me);
  });
}

void fifo_relay::watch_input() {
  if (!in_fifo_ || in_over_ || in_poll_.waiting())
    return;
  in_poll_.start(host_.loop, in_fifo_.get(), POLLIN, [weak = weak_from_this()](int32_t n) {
    if (auto me = weak.lock(); me && n > 0)
      me->read_input();
  });
}

void fifo_relay::read_input() {
  std::string bytes(piece_bytes, '\0');
  const auto n = host_.loop.sys().read(in_fifo_.get(), bytes);
  if (n <= 0)
    return watch_input();
  bytes.resize(size_t(n));
  in_(std::move(bytes));
}

void fifo_relay::end_input() {
  in_over_ = true;
  in_poll_.drop();
}

void fifo_relay::leave() {
  host_.outputs.remove(who_.serial, *this);
  left_ = true;
  end_input();
  if (!waits())
    return;
  host_.lingering.insert(shared_from_this());
  patience_.start(last_patience, [weak = weak_from_this()] {
    const auto me = weak.lock();
    for (int s = 0; s < 2; ++s)
      if (const auto n = me->out_[size_t(s)].waiting.size(); n > 0)
        me->lost(s, n, "nobody read the FIFO of a process that has ended");
    me->host_.lingering.erase(me);
  });
}

void fifo_relay::lost(int stream, uint64_t bytes, const std::string& why) {
  auto r = record_for(who_);
  r.mutable_output_gap()->set_at_most_bytes(bytes);
  r.mutable_output_gap()->set_reason(std::to_string(bytes) + " bytes of "
                                     + (stream == 0 ? "stdout" : "stderr")
                                     + " did not reach their FIFO (the log has them): " + why);
  host_.ledger.record(r);
}

} // namespace gantry::actors
