#pragma once

#include <span>

#include "io/arena.hpp"
#include "io/kernel.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// Called between any two steps that a crash could separate: null but in tests, which
/// count the steps and end the process at each of them in turn.
extern void (*pump_step_hook)();

/// One log's place in the arena. The position is a value: it is read with `at`, changed as
/// a copy, and made true by `become`, in one store. A crash sees the one or the other.
class log_state {
public:
  log_state() = default;

  /// Takes a free slot for `serial`; an empty state if all are taken.
  static log_state take(const arena& a, uint64_t serial);
  /// The slot that `serial` has; an empty state if it has none.
  static log_state find(const arena& a, uint64_t serial) noexcept;
  /// The valid position of a slot.
  static const log_position& position_of(const log_slot& slot) noexcept;
  /// Slots from the front that were ever taken: the others' memory was never touched.
  static size_t slots_used(const arena& a) noexcept;

  [[nodiscard]] explicit operator bool() const noexcept { return slot_ != nullptr; }
  [[nodiscard]] log_slot& slot() const noexcept { return *slot_; }
  [[nodiscard]] const log_position& at() const noexcept { return position_of(*slot_); }
  void become(const log_position& next) noexcept;
  /// Gives the slot back. Its blocks are the caller's to give.
  void free() noexcept;

  /// False if the position cannot have been written by us: a damaged arena.
  [[nodiscard]] bool sound(const arena& a) const noexcept;

  /// After a crash: decides by the nonce whether the batch under way of a terminal was read; what
  /// the stage did not finish of a pipe's is given up and counted.
  /// @returns the size of a terminal's batch that was not read.
  uint32_t recover(const arena& a) noexcept;

private:
  explicit log_state(log_slot& slot) noexcept : slot_(&slot) {}
  log_slot* slot_ = nullptr;
};

/// What the arena has of a log.
enum class slot_state : uint8_t { missing, sound, damaged };
slot_state look_at_slot(const arena& a, uint64_t serial) noexcept;

/// Frees a damaged slot. What its blocks may be is not known: they stay taken in this life.
void forget_slot(const arena& a, uint64_t serial) noexcept;

struct log_totals;

/// The totals that a position stands for.
void fill_totals(const log_position& p, log_totals& out) noexcept;

/// Bytes of a nonce.
inline constexpr size_t nonce_bytes = sizeof(log_position::nonce);

} // namespace gantry::io
