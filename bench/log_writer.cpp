#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <unistd.h>

// log_writer BYTES BLOCK: writes numbered lines of 100 bytes to stdout until BYTES are out
// (0: for ever), BLOCK bytes a write (of whole lines). Its first words on stderr are the
// monotonic time at which it began. Linked statically: it runs inside containers.

namespace {

constexpr size_t line_bytes = 100;
constexpr size_t most_lines = 655; // 64 KiB

char block[most_lines * line_bytes];

void put_number(char* at, uint64_t n) {
  for (int i = 11; i >= 0; --i, n /= 10)
    at[i] = static_cast<char>('0' + n % 10);
}

bool put_all(const char* at, size_t size) {
  while (size > 0) {
    const auto n = ::write(1, at, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

} // namespace

int main(int argc, char** argv) {
  const uint64_t bytes = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 0;
  const uint64_t size = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : sizeof block;
  uint64_t lines = size / line_bytes;
  lines = lines < 1 ? 1 : lines > most_lines ? most_lines : lines;
  for (size_t i = 0; i < sizeof block; ++i)
    block[i] =
      i % line_bytes == line_bytes - 1 ? '\n' : static_cast<char>('a' + i % line_bytes % 26);
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  char words[64];
  const int n = std::snprintf(words, sizeof words, "began %lld\n",
                              static_cast<long long>(t.tv_sec) * 1'000'000'000 + t.tv_nsec);
  if (::write(2, words, static_cast<size_t>(n)) != n)
    return 1;
  const uint64_t all = bytes / line_bytes;
  for (uint64_t next = 0; all == 0 || next < all;) {
    const uint64_t count = all == 0 || all - next > lines ? lines : all - next;
    for (uint64_t i = 0; i < count; ++i)
      put_number(block + i * line_bytes, next + i);
    if (!put_all(block, count * line_bytes))
      return 1;
    next += count;
  }
  return 0;
}
