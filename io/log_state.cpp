#include "io/log_state.hpp"

#include <algorithm>
#include <cstring>

#include "io/pump.hpp"

namespace gantry::io {

void (*pump_step_hook)() = nullptr;

namespace {

void step() {
  if (pump_step_hook != nullptr)
    pump_step_hook();
}

/// How many slots were ever taken stands in the first one. Looking at the others would
/// make the kernel give memory to them.
std::atomic_ref<uint32_t> slots_used_in(const arena& a) noexcept {
  return std::atomic_ref<uint32_t>(a.logs().front().reserved);
}

} // namespace

size_t log_state::slots_used(const arena& a) noexcept {
  return std::min<size_t>(slots_used_in(a).load(std::memory_order_acquire), a.logs().size());
}

log_state log_state::take(const arena& a, uint64_t serial) {
  const std::span<log_slot> slots = a.logs();
  const size_t used = slots_used(a);
  size_t i = 0;
  while (i < used && slots[i].serial.load(std::memory_order_acquire) != 0)
    ++i;
  if (i == slots.size())
    return {};
  log_slot& slot = slots[i];
  slot.at[0] = {};
  slot.at[0].block[0] = slot.at[0].block[1] = -1;
  slot.at[0].file_seq = 1;
  slot.now.store(0, std::memory_order_release);
  if (i == used)
    slots_used_in(a).store(static_cast<uint32_t>(i + 1), std::memory_order_release);
  step();
  slot.stdin_taken.store(0, std::memory_order_relaxed);
  for (auto& n : slot.relayed)
    n.store(0, std::memory_order_relaxed);
  slot.serial.store(serial, std::memory_order_release);
  step();
  return log_state(slot);
}

log_state log_state::find(const arena& a, uint64_t serial) noexcept {
  for (log_slot& slot : a.logs().first(slots_used(a)))
    if (slot.serial.load(std::memory_order_acquire) == serial)
      return log_state(slot);
  return {};
}

const log_position& log_state::position_of(const log_slot& slot) noexcept {
  return slot.at[slot.now.load(std::memory_order_acquire) & 1];
}

void log_state::become(const log_position& next) noexcept {
  const uint32_t other = (slot_->now.load(std::memory_order_relaxed) & 1) ^ 1;
  slot_->at[other] = next;
  step();
  slot_->now.store(other, std::memory_order_release);
  step();
}

void log_state::free() noexcept {
  step();
  slot_->serial.store(0, std::memory_order_release);
  slot_ = nullptr;
  step();
}

bool log_state::sound(const arena& a) const noexcept {
  const log_position& p = at();
  if (p.batch_stream > 1 || p.file_seq == 0 || p.staged > p.batch_bytes ||
      p.discard_stream > 1)
    return false;
  for (size_t s = 0; s < 2; ++s) {
    const uint64_t batch = p.batch_stream == s ? p.batch_bytes : 0;
    const uint64_t end = uint64_t(p.head[s]) + p.tail[s] + batch;
    if (p.block[s] < -1 || p.block[s] >= a.block_count())
      return false;
    if (p.block[s] < 0 ? end != 0 : end > a.block(p.block[s]).size())
      return false;
  }
  return true;
}

uint32_t log_state::recover(const arena& a) noexcept {
  log_position p = at();
  if (p.batch_bytes == 0 && p.discard_bytes == 0)
    return 0;
  const size_t s = p.batch_stream;
  uint32_t unread = 0;
  if (p.by_nonce != 0 && p.batch_bytes != 0) {
    const char* landing = a.block(p.block[s]).data() + p.head[s] + p.tail[s];
    const bool was_read =
      std::memcmp(landing, p.nonce, std::min<size_t>(p.batch_bytes, nonce_bytes)) != 0;
    (was_read ? p.tail[s] : unread) += p.batch_bytes;
  }
  p.discard_bytes = 0;
  p.dropped[s] += p.staged;
  p.batch_bytes = p.staged = p.by_nonce = 0;
  become(p);
  return unread;
}

bool totals_in_arena(const arena& a, uint64_t serial, log_totals& out) {
  const log_state state = log_state::find(a, serial);
  if (!state)
    return false;
  fill_totals(state.at(), out);
  return true;
}

void fill_totals(const log_position& p, log_totals& out) noexcept {
  for (size_t s = 0; s < 2; ++s) {
    out.bytes[s] = p.bytes[s];
    out.dropped[s] = p.dropped[s];
    out.closed[s] = p.closed[s] != 0;
  }
  out.file_seq = p.file_seq;
  out.file_offset = p.file_offset;
}

slot_state look_at_slot(const arena& a, uint64_t serial) noexcept {
  const log_state state = log_state::find(a, serial);
  if (!state)
    return slot_state::missing;
  return state.sound(a) ? slot_state::sound : slot_state::damaged;
}

void forget_slot(const arena& a, uint64_t serial) noexcept {
  if (log_state state = log_state::find(a, serial))
    state.free();
}

void discard_slot(const arena& a, block_pool& pool, uint64_t serial) {
  log_state state = log_state::find(a, serial);
  if (!state)
    return;
  const log_position p = state.at();
  state.free();
  for (const int32_t block : p.block)
    if (block >= 0 && block < a.block_count())
      pool.give(block);
}

} // namespace gantry::io
