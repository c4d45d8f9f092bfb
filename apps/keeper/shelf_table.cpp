#include "apps/keeper/shelf_table.hpp"

#include <cstring>
#include <unistd.h>

namespace gantry::keeper {

namespace {

void close_all(const shelf_slot& slot) noexcept {
  for (uint32_t i = 0; i < slot.count; ++i)
    ::close(slot.fds[i]);
}

} // namespace

size_t shelf_table::find(uint64_t kind, uint64_t serial) const noexcept {
  size_t i = 0;
  while (i < size_ && (keys_[i].serial != serial || keys_[i].kind != kind))
    ++i;
  return i;
}

bool shelf_table::put(uint64_t kind, uint64_t serial, const char (&note)[64],
                      std::span<const int> fds) noexcept {
  auto i = find(kind, serial);
  if (i == capacity || fds.size() > wire::max_fds)
    return false;
  auto& slot = slots_[i];
  if (i == size_)
    keys_[size_++] = {kind, serial};
  else
    close_all(slot);
  std::memcpy(slot.note, note, sizeof(note));
  slot.count = static_cast<uint32_t>(fds.size());
  for (size_t k = 0; k < fds.size(); ++k)
    slot.fds[k] = fds[k];
  return true;
}

bool shelf_table::drop(uint64_t kind, uint64_t serial) noexcept {
  auto i = find(kind, serial);
  if (i == size_)
    return false;
  close_all(slots_[i]);
  --size_; // the last one moves into the gap
  keys_[i] = keys_[size_];
  slots_[i] = slots_[size_];
  return true;
}

} // namespace gantry::keeper
