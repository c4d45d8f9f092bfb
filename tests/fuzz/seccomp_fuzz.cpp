#include <cstddef>
#include <cstdint>
#include <string>

#include "messages/check.hpp"
#include "runtime/seccomp.hpp"

// A client's seccomp profile: what is accepted has the OCI's shape.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json capabilities = nlohmann::json::array({"CAP_KILL"});
  for (const char* agent : {"", "/run/agent.sock"}) {
    auto made = runtime::seccomp_of(text, agent, &capabilities);
    if (!made) {
      GANTRY_CHECK(made.why().code == ec::invalid_argument);
      GANTRY_CHECK(made.why().text().find('\n') == std::string::npos);
      continue;
    }
    GANTRY_CHECK(made->contains("defaultAction") && (*made)["architectures"].is_array());
    for (const auto& rule : (*made)["syscalls"]) {
      GANTRY_CHECK(rule["names"].is_array() && !rule["names"].empty());
      GANTRY_CHECK(!rule.contains("includes") && !rule.contains("excludes"));
      GANTRY_CHECK(rule["action"] != "SCMP_ACT_NOTIFY" || made->contains("listenerPath"));
    }
  }
  return 0;
}
