#include "apps/gantry/session.hpp"

#include <array>
#include <cerrno>

#include <sys/random.h>

#include "messages/check.hpp"

namespace gantry::cli {

namespace {

std::string random_hex(size_t digits) {
  std::array<uint8_t, 16> bytes{};
  GANTRY_CHECK(digits <= 2 * bytes.size());
  // Up to 256 bytes are never cut short (getrandom(2)).
  while (::getrandom(bytes.data(), bytes.size(), 0) < 0)
    GANTRY_CHECK(errno == EINTR);
  std::string out;
  for (size_t i = 0; i < digits; ++i)
    out.push_back("0123456789abcdef"[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15]);
  return out;
}

} // namespace

std::string fresh_request_id() {
  return random_hex(32);
}

std::string fresh_container_id() {
  return random_hex(12);
}

int failed(const error& why) {
  say_error(why);
  return exit_code_of(why.code);
}

int exit_code_of_exit(const v1::Exit& x) {
  if (x.has_exit_code())
    return x.exit_code();
  return x.signal() > 0 ? 128 + x.signal() : 125;
}

} // namespace gantry::cli
