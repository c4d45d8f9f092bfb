#include <cstddef>
#include <cstdint>
#include <string_view>

#include "messages/check.hpp"
#include "runtime/ids.hpp"

// Names and signals from outside: what is accepted must be harmless as a file name.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  v1::Ref ref;
  size_t half = text.find('\n');
  ref.set_id(std::string(text.substr(0, half)));
  if (half != std::string_view::npos)
    ref.set_namespace_(std::string(text.substr(half + 1)));
  if (auto name = runtime::checked_name(ref)) {
    for (const auto& part : {name->ns, name->id}) {
      GANTRY_CHECK(!part.empty() && part.size() <= 128 && part.front() != '.');
      GANTRY_CHECK(part.find('/') == std::string::npos);
      GANTRY_CHECK(part.find('\0') == std::string::npos);
    }
    GANTRY_CHECK(name->ns.find('.') == std::string::npos);
  } else {
    GANTRY_CHECK(name.why().code == ec::invalid_argument);
    GANTRY_CHECK(name.why().message.find('\n') == std::string::npos);
  }
  if (auto signal = runtime::parse_signal(text))
    GANTRY_CHECK(*signal >= 1 && *signal <= 64);
  (void)runtime::checked_process(text).ok();
  return 0;
}
