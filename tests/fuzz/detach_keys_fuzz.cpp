#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "apps/gantry/detach_keys.hpp"
#include "messages/check.hpp"

// Detach keys: the first line are the keys, the rest is typed, in pieces as its own bytes say.
// Whatever the pieces: what is passed on and the sequence together are what was typed.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry::cli;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const auto keys = parse_detach_keys(text.substr(0, line));
  if (!keys) {
    GANTRY_CHECK(keys.why().message.find('\n') == std::string::npos);
    return 0;
  }
  GANTRY_CHECK(keys->size() <= 16);
  const auto typed = text.substr(std::min(line + 1, text.size()));
  detach_filter filter(*keys);
  std::string passed;
  for (size_t at = 0; at < typed.size();) {
    const size_t n = 1 + static_cast<unsigned char>(typed[at]) % 5;
    const auto piece = typed.substr(at, n);
    at += piece.size();
    const auto x = filter.feed(piece);
    passed += x.pass;
    GANTRY_CHECK(x.pass.find(*keys) == std::string::npos || keys->empty());
    if (x.detached) {
      // Up to the first place where the sequence is complete, and no further.
      const size_t end = typed.find(*keys);
      GANTRY_CHECK(end != std::string_view::npos && passed == typed.substr(0, end));
      return 0;
    }
  }
  GANTRY_CHECK(keys->empty() || typed.find(*keys) == std::string_view::npos);
  passed += filter.let_go();
  GANTRY_CHECK(!filter.holds() && passed == typed);
  return 0;
}
