#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "messages/check.hpp"
#include "runtime/runtime_errors.hpp"

// The log and the last words of an OCI runtime: always one line of bounded length.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t half = text.find('\0');
  runtime::failed_command what;
  what.step = "create";
  what.runtime = "/usr/sbin/runc";
  what.id = "default.x";
  what.status = {true, 1, 0, false};
  what.log = text.substr(0, half);
  if (half != std::string_view::npos)
    what.output = text.substr(half + 1);
  auto why = runtime::runtime_error(what);
  GANTRY_CHECK(why.message.size() < 4096);
  GANTRY_CHECK(why.message.find('\n') == std::string::npos);
  GANTRY_CHECK(runtime::last_error_in_log(what.log).size() <= 2048);
  (void)runtime::is_not_stopped_yet(why);
  return 0;
}
