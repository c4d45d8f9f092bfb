#include "actors/output_hub.hpp"

#include "io/pump.hpp"

namespace gantry::actors {

void output_hub::forget_empty(uint64_t serial) {
  const auto at = entries_.find(serial);
  if (at != entries_.end() && at->second.pump == nullptr && at->second.taps.empty())
    entries_.erase(at);
}

void output_hub::remove_pump(uint64_t serial) {
  if (const auto at = entries_.find(serial); at != entries_.end())
    at->second.pump = nullptr;
  forget_empty(serial);
}

io::pump* output_hub::pump_of(uint64_t serial) const {
  const auto at = entries_.find(serial);
  return at != entries_.end() ? at->second.pump : nullptr;
}

void output_hub::remove(uint64_t serial, output_tap& tap) {
  hold(serial, tap, false);
  if (const auto at = entries_.find(serial); at != entries_.end())
    at->second.taps.erase(&tap);
  forget_empty(serial);
}

void output_hub::offer(uint64_t serial, int stream, uint64_t offset,
                       std::span<const char> bytes) const {
  const auto at = entries_.find(serial);
  if (at == entries_.end())
    return;
  for (auto* tap : at->second.taps)
    tap->came(stream, offset, bytes);
}

void output_hub::hold(uint64_t serial, output_tap& tap, bool on) {
  const auto at = entries_.find(serial);
  if (at == entries_.end())
    return;
  auto& e = at->second;
  if (on)
    e.holders.insert(&tap);
  else if (e.holders.erase(&tap) == 0)
    return;
  if (e.pump != nullptr)
    e.pump->hold(!e.holders.empty());
}

} // namespace gantry::actors
