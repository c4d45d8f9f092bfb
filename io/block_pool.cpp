#include <algorithm>
#include <sys/mman.h>
#include <unistd.h>

#include "io/log_state.hpp"
#include "io/pump.hpp"

namespace gantry::io {

namespace {

/// Gives the pages that lie wholly in `memory` back to the kernel. An arena that is no
/// shared memory (a test's) keeps them: only memory is lost by that.
void remove_pages(std::span<char> memory) noexcept {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(memory.data()) + page - 1) & ~(page - 1);
  const auto end = reinterpret_cast<uintptr_t>(memory.data() + memory.size()) & ~(page - 1);
  if (begin < end)
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_REMOVE);
}

} // namespace

block_pool::block_pool(arena a) : arena_(a), busy_(static_cast<size_t>(a.block_count())) {
  for (size_t i = 0; i < log_state::slots_used(a); ++i) {
    const log_slot& slot = a.logs()[i];
    if (slot.serial.load(std::memory_order_acquire) == 0)
      continue;
    for (const int32_t block : log_state::position_of(slot).block)
      if (block >= 0 && block < a.block_count())
        claim(block);
  }
  // The lowest numbers are taken first: they are the warm ones.
  std::span<char> idle;
  for (int32_t i = a.block_count(); i-- > 0;) {
    if (busy_[static_cast<size_t>(i)])
      continue;
    (a.is_large(i) ? free_large_ : free_small_).push_back(i);
    const std::span<char> block = a.block(i);
    if (!idle.empty() && block.data() + block.size() == idle.data()) {
      idle = {block.data(), block.size() + idle.size()};
      continue;
    }
    remove_pages(idle);
    idle = block;
  }
  remove_pages(idle);
}

int32_t block_pool::take(bool large) {
  std::vector<int32_t>& from = large ? free_large_ : free_small_;
  if (from.empty())
    return -1;
  const int32_t index = from.back();
  from.pop_back();
  busy_[static_cast<size_t>(index)] = true;
  ++used_;
  return index;
}

void block_pool::give(int32_t index) {
  GANTRY_CHECK(busy_.at(static_cast<size_t>(index)));
  busy_[static_cast<size_t>(index)] = false;
  --used_;
  remove_pages(arena_.block(index));
  (arena_.is_large(index) ? free_large_ : free_small_).push_back(index);
}

void block_pool::claim(int32_t index) {
  if (busy_.at(static_cast<size_t>(index)))
    return;
  busy_[static_cast<size_t>(index)] = true;
  ++used_;
  std::erase(arena_.is_large(index) ? free_large_ : free_small_, index);
}

bool block_pool::scarce() const noexcept {
  return free_small_.size() * 4 < arena_.header().shape.small_blocks;
}

} // namespace gantry::io
