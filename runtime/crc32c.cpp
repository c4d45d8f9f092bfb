#include "runtime/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace gantry::runtime {

namespace {

constexpr uint32_t polynomial = 0x82f63b78; // 0x1edc6f41, bits reflected

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> out{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t x = i;
    for (int bit = 0; bit < 8; ++bit)
      x = (x >> 1) ^ ((x & 1) != 0 ? polynomial : 0);
    out[i] = x;
  }
  return out;
}

constexpr auto table = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(std::span<const char> bytes,
                                                          uint32_t from) noexcept {
  uint64_t x = ~from;
  const char* p = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word = 0;
    std::memcpy(&word, p, 8);
    x = _mm_crc32_u64(x, word);
  }
  auto y = uint32_t(x);
  for (; left > 0; --left, ++p)
    y = _mm_crc32_u8(y, uint8_t(*p));
  return ~y;
}

bool has_instruction() noexcept {
  static const bool has = __builtin_cpu_supports("sse4.2");
  return has;
}
#endif

} // namespace

uint32_t crc32c_by_table(std::span<const char> bytes, uint32_t from) noexcept {
  uint32_t x = ~from;
  for (char c : bytes)
    x = table[(x ^ uint8_t(c)) & 0xff] ^ (x >> 8);
  return ~x;
}

uint32_t crc32c(std::span<const char> bytes, uint32_t from) noexcept {
#if defined(__x86_64__)
  if (has_instruction())
    return by_instruction(bytes, from);
#endif
  return crc32c_by_table(bytes, from);
}

} // namespace gantry::runtime
