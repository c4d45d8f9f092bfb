#include "io/arena.hpp"

#include <cstring>
#include <new>

#include "messages/check.hpp"

namespace gantry::io {

namespace {

constexpr uint64_t line = 64;   // what the kernel and the two sides share is kept apart by lines
constexpr uint64_t page = 4096; // what is given back to the kernel (MADV_REMOVE) is whole pages
constexpr uint64_t largest_part = uint64_t{1} << 40;

constexpr uint64_t round_up(uint64_t bytes, uint64_t unit) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

/// Where the parts begin, in bytes from the start.
struct layout {
  uint64_t dead, logs, journal, journal_bytes, small, large, end;
};

constexpr layout layout_of(const arena_shape& s) noexcept {
  layout at{};
  at.dead = round_up(sizeof(arena_header), line);
  at.logs = round_up(at.dead + uint64_t{s.dead_entries} * sizeof(dead_entry), line);
  at.journal = round_up(at.logs + uint64_t{s.log_slots} * sizeof(log_slot), line);
  at.journal_bytes = round_up(at.journal + sizeof(journal_ring), page);
  at.small = round_up(at.journal_bytes + s.journal_bytes, page);
  at.large = at.small + uint64_t{s.small_blocks} * s.small_block_bytes;
  at.end = round_up(at.large + uint64_t{s.large_blocks} * s.large_block_bytes, page);
  return at;
}

/// Whether the sums of `layout_of` cannot overflow and the blocks are whole pages.
bool possible(const arena_shape& s) noexcept {
  return s.dead_entries > 0 && s.small_block_bytes % page == 0 && s.large_block_bytes % page == 0
         && uint64_t{s.small_blocks} * s.small_block_bytes <= largest_part
         && uint64_t{s.large_blocks} * s.large_block_bytes <= largest_part
         && uint64_t{s.small_blocks} + s.large_blocks <= INT32_MAX;
}

bool aligned(const std::byte* at) noexcept {
  return reinterpret_cast<uintptr_t>(at) % line == 0;
}

} // namespace

size_t arena::size_for(const arena_shape& shape) noexcept {
  return possible(shape) ? layout_of(shape).end : 0;
}

arena arena::make(std::span<std::byte> memory, const arena_shape& shape,
                  const char* boot_id) noexcept {
  auto need = size_for(shape);
  if (need == 0 || memory.size() < need || !aligned(memory.data()))
    return {};
  auto* h = ::new (memory.data()) arena_header{};
  h->version = arena_version;
  h->shape = shape;
  std::strncpy(h->boot_id, boot_id, sizeof(h->boot_id) - 1);
  h->last_status.store(-1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  h->magic = arena_magic; // last: a half-made arena does not open
  return arena{memory.data()};
}

arena arena::open(std::span<std::byte> memory) noexcept {
  if (memory.size() < sizeof(arena_header) || !aligned(memory.data()))
    return {};
  const auto* h = reinterpret_cast<const arena_header*>(memory.data());
  if (h->magic != arena_magic || h->version != arena_version)
    return {};
  auto need = size_for(h->shape);
  if (need == 0 || memory.size() < need)
    return {};
  return arena{memory.data()};
}

arena_header& arena::header() const noexcept {
  GANTRY_CHECK(base_ != nullptr);
  return *reinterpret_cast<arena_header*>(base_);
}

std::span<dead_entry> arena::dead() const noexcept {
  const auto& s = header().shape;
  return {reinterpret_cast<dead_entry*>(base_ + layout_of(s).dead), s.dead_entries};
}

std::span<log_slot> arena::logs() const noexcept {
  const auto& s = header().shape;
  return {reinterpret_cast<log_slot*>(base_ + layout_of(s).logs), s.log_slots};
}

journal_ring& arena::journal() const noexcept {
  return *reinterpret_cast<journal_ring*>(base_ + layout_of(header().shape).journal);
}

std::span<char> arena::journal_bytes() const noexcept {
  const auto& s = header().shape;
  return {reinterpret_cast<char*>(base_ + layout_of(s).journal_bytes), s.journal_bytes};
}

std::span<char> arena::block(int32_t index) const noexcept {
  GANTRY_CHECK(index >= 0 && index < block_count());
  const auto& s = header().shape;
  auto at = layout_of(s);
  auto i = static_cast<uint32_t>(index);
  if (i < s.small_blocks)
    return {reinterpret_cast<char*>(base_ + at.small + uint64_t{i} * s.small_block_bytes),
            s.small_block_bytes};
  auto large = uint64_t{i} - s.small_blocks;
  return {reinterpret_cast<char*>(base_ + at.large + large * s.large_block_bytes),
          s.large_block_bytes};
}

int32_t arena::block_count() const noexcept {
  const auto& s = header().shape;
  return static_cast<int32_t>(s.small_blocks + s.large_blocks);
}

bool arena::is_large(int32_t index) const noexcept {
  return static_cast<uint32_t>(index) >= header().shape.small_blocks;
}

} // namespace gantry::io
