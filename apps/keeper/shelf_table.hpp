#pragma once

#include <cstdint>
#include <span>

#include "io/keeper_wire.hpp"

namespace gantry::keeper {

namespace wire = io::keeper_wire;

/// What lies under one key. Descriptors are plain numbers.
struct shelf_slot {
  char note[64];
  int fds[wire::max_fds];
  uint32_t count;
};

/// The shelf: a dense table of fixed size, so that memory is touched only as far as it is
/// used. Keys lie apart, to be found quickly. A static object: it is a megabyte.
class shelf_table {
public:
  static constexpr size_t capacity = 8192;

  /// Keeps `fds` (owned from here) and closes what lay there; false if there is no room,
  /// and then `fds` are still the caller's.
  bool put(uint64_t kind, uint64_t serial, const char (&note)[64],
           std::span<const int> fds) noexcept;
  /// Closes and forgets; false if there was no such key.
  bool drop(uint64_t kind, uint64_t serial) noexcept;

  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] const shelf_slot& at(size_t i) const noexcept { return slots_[i]; }
  [[nodiscard]] uint64_t kind(size_t i) const noexcept { return keys_[i].kind; }
  [[nodiscard]] uint64_t serial(size_t i) const noexcept { return keys_[i].serial; }

private:
  struct key {
    uint64_t kind, serial;
  };
  [[nodiscard]] size_t find(uint64_t kind, uint64_t serial) const noexcept;

  size_t size_ = 0;
  key keys_[capacity];
  shelf_slot slots_[capacity];
};

} // namespace gantry::keeper
