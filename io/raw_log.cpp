#include "io/raw_log.hpp"

#include <cstring>

namespace gantry::io {

std::array<char, raw_entry_bytes> raw_entry_text(const raw_entry& x) noexcept {
  std::array<char, raw_entry_bytes> out;
  const uint64_t end = x.end * 2 + x.stream;
  std::memcpy(out.data(), &end, sizeof(end));
  std::memcpy(out.data() + sizeof(end), &x.time_ns, sizeof(x.time_ns));
  return out;
}

raw_entry read_raw_entry(const char* from) noexcept {
  uint64_t end = 0;
  raw_entry out;
  std::memcpy(&end, from, sizeof(end));
  std::memcpy(&out.time_ns, from + sizeof(end), sizeof(out.time_ns));
  out.end = end / 2;
  out.stream = static_cast<uint8_t>(end % 2);
  return out;
}

size_t raw_part(std::string_view pending, uint64_t room) noexcept {
  if (pending.size() <= room)
    return pending.size();
  const auto most = static_cast<size_t>(room);
  const void* newline = most != 0 ? ::memrchr(pending.data(), '\n', most) : nullptr;
  return newline == nullptr
           ? most
           : static_cast<size_t>(static_cast<const char*>(newline) - pending.data()) + 1;
}

} // namespace gantry::io
