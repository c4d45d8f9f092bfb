#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>

namespace gantry::io {
class pump;
}

namespace gantry::actors {

/// Somebody who is given the output of a process as it comes.
class output_tap {
public:
  virtual ~output_tap() = default;
  /// Bytes came; `offset` counts the stream's bytes. The span dies with the return. Neither
  /// taps nor pumps are added or taken away from here.
  virtual void came(int stream, uint64_t offset, std::span<const char> bytes) = 0;
};

/// The living pumps, by process serial, and who listens to them. Everything on the loop.
class output_hub {
public:
  void add_pump(uint64_t serial, io::pump& p) { entries_[serial].pump = &p; }
  void remove_pump(uint64_t serial);
  /// Null where nothing is pumped (not yet, or not any more).
  [[nodiscard]] io::pump* pump_of(uint64_t serial) const;

  void add(uint64_t serial, output_tap& tap) { entries_[serial].taps.insert(&tap); }
  void remove(uint64_t serial, output_tap& tap);
  void offer(uint64_t serial, int stream, uint64_t offset, std::span<const char> bytes) const;

  /// While anybody holds, the pump reads nothing: the writer waits.
  void hold(uint64_t serial, output_tap& tap, bool on);

private:
  struct entry {
    io::pump* pump = nullptr;
    std::set<output_tap*> taps;
    std::set<output_tap*> holders;
  };
  void forget_empty(uint64_t serial);

  std::map<uint64_t, entry> entries_;
};

} // namespace gantry::actors
