#include "runtime/crc32c.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <string>

using namespace gantry::runtime;

TEST_CASE("crc32c: the values of RFC 3720 come out, by instruction and by table") {
  std::string ascending(32, '\0');
  for (size_t i = 0; i < ascending.size(); ++i)
    ascending[i] = char(i);
  std::string descending(ascending.rbegin(), ascending.rend());
  const std::pair<std::string, uint32_t> known[] = {
    {"", 0},
    {"123456789", 0xe3069283},
    {std::string(32, '\0'), 0x8a9136aa},
    {std::string(32, '\xff'), 0x62a8ab43},
    {ascending, 0x46dd794e},
    {descending, 0x113fdb5c},
  };
  for (const auto& [bytes, crc] : known) {
    CHECK(crc32c(bytes) == crc);
    CHECK(crc32c_by_table(bytes) == crc);
  }
}

TEST_CASE("crc32c: both ways agree at every length and place, in one piece or two") {
  std::mt19937 random(7);
  std::string bytes(300, '\0');
  for (auto& c : bytes)
    c = char(random());
  for (size_t begin = 0; begin < 9; ++begin)
    for (size_t size = 0; size + begin < bytes.size(); size += 1 + size / 16) {
      std::span<const char> part(bytes.data() + begin, size);
      auto whole = crc32c(part);
      REQUIRE(whole == crc32c_by_table(part));
      auto cut = size / 3;
      REQUIRE(crc32c(part.subspan(cut), crc32c(part.first(cut))) == whole);
    }
}
