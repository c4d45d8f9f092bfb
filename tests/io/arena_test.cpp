#include "io/arena.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <sys/mman.h>

using namespace gantry::io;

namespace {

/// Zeroed memory of whole pages.
struct zeroed {
  explicit zeroed(size_t size)
    : bytes{static_cast<std::byte*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
            size} {}
  ~zeroed() { ::munmap(bytes.data(), bytes.size()); }
  std::span<std::byte> bytes;
};

constexpr arena_shape small{.dead_entries = 3, .log_slots = 5, .journal_bytes = 10'000,
                            .small_block_bytes = 4096, .small_blocks = 4,
                            .large_block_bytes = 8192, .large_blocks = 2};

template <class T>
std::span<const std::byte> bytes_of(std::span<T> part) {
  return std::as_bytes(part);
}

} // namespace

TEST_CASE("arena: its parts lie inside, in order, and touch nothing of each other") {
  for (const auto& shape : {small, arena_shape{}}) {
    zeroed memory(arena::size_for(shape));
    auto a = arena::make(memory.bytes, shape, "boot");
    REQUIRE(bool(a));
    std::vector<std::span<const std::byte>> parts{
      std::as_bytes(std::span{&a.header(), 1}), bytes_of(a.dead()), bytes_of(a.logs()),
      std::as_bytes(std::span{&a.journal(), 1}), bytes_of(a.journal_bytes())};
    for (int32_t i = 0; i < a.block_count(); ++i)
      parts.push_back(bytes_of(a.block(i)));
    const std::byte* end = memory.bytes.data();
    for (const auto& part : parts) {
      REQUIRE(part.data() >= end);
      REQUIRE(reinterpret_cast<uintptr_t>(part.data()) % 64 == 0);
      end = part.data() + part.size();
    }
    CHECK(end <= memory.bytes.data() + memory.bytes.size());
    CHECK(memory.bytes.data() + memory.bytes.size() - end < 4096);
  }
}

TEST_CASE("arena: blocks are whole pages of the size that the shape says") {
  zeroed memory(arena::size_for(small));
  auto a = arena::make(memory.bytes, small, "boot");
  REQUIRE(a.block_count() == 6);
  for (int32_t i = 0; i < 6; ++i) {
    CHECK(a.is_large(i) == (i >= 4));
    CHECK(a.block(i).size() == (i >= 4 ? 8192u : 4096u));
    CHECK(reinterpret_cast<uintptr_t>(a.block(i).data()) % 4096 == 0);
  }
}

TEST_CASE("arena: what one view writes another one finds") {
  zeroed memory(arena::size_for(small));
  auto a = arena::make(memory.bytes, small, "0123456789-boot-id");
  a.dead()[2].pid = 77;
  a.logs()[4].serial = 9;
  a.journal().tail = 11;
  auto b = arena::open(memory.bytes);
  REQUIRE(bool(b));
  CHECK(b.dead()[2].pid == 77);
  CHECK(b.logs()[4].serial == 9);
  CHECK(b.journal().tail == 11);
  CHECK(b.header().last_status == -1);
  CHECK(std::strcmp(b.header().boot_id, "0123456789-boot-id") == 0);
}

TEST_CASE("arena: a boot id that is too long is cut, and ends") {
  zeroed memory(arena::size_for(small));
  auto a = arena::make(memory.bytes, small, std::string(100, 'x').c_str());
  CHECK(std::strlen(a.header().boot_id) == sizeof(arena_header::boot_id) - 1);
}

TEST_CASE("arena: memory that does not fit opens as an empty view") {
  zeroed memory(arena::size_for(small));
  CHECK_FALSE(bool(arena::open(memory.bytes))); // never made
  auto a = arena::make(memory.bytes, small, "boot");
  REQUIRE(bool(a));
  CHECK_FALSE(bool(arena::open(memory.bytes.first(memory.bytes.size() - 1))));
  CHECK_FALSE(bool(arena::open(memory.bytes.first(10))));
  CHECK_FALSE(bool(arena::open({})));
  CHECK_FALSE(bool(arena::open(memory.bytes.subspan(8))));
  SECTION("another magic") { a.header().magic ^= 1; }
  SECTION("another version") { a.header().version = arena_version + 1; }
  SECTION("a larger shape") { a.header().shape.small_blocks = 5; }
  SECTION("a shape whose size overflows") {
    a.header().shape.large_blocks = a.header().shape.large_block_bytes = 0xfffff000;
  }
  SECTION("blocks that are no pages") { a.header().shape.small_block_bytes = 4097; }
  SECTION("no room for the dead") { a.header().shape.dead_entries = 0; }
  CHECK_FALSE(bool(arena::open(memory.bytes)));
}

TEST_CASE("arena: is not made in memory that is too small or crooked") {
  zeroed memory(arena::size_for(small) + 64);
  auto size = arena::size_for(small);
  CHECK_FALSE(bool(arena::make(memory.bytes.first(size - 1), small, "boot")));
  CHECK_FALSE(bool(arena::make(memory.bytes.subspan(8), small, "boot")));
  auto crooked = small;
  crooked.large_block_bytes = 100;
  CHECK(arena::size_for(crooked) == 0);
  CHECK_FALSE(bool(arena::make(memory.bytes, crooked, "boot")));
}
