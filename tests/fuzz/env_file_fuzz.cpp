#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "apps/gantry/spec_words.hpp"
#include "messages/check.hpp"

// An environment file, and the small languages of run's options: what comes out is text that
// an exec can carry, and what is refused is named in one line.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ours = [](const std::string& name) { return name.size() < 3 ? "value" : nullptr; };
  if (auto entries = cli::parse_env_file(text, "file.env", ours)) {
    for (const auto& entry : *entries) {
      const size_t equals = entry.find('=');
      GANTRY_CHECK(equals != std::string::npos && equals > 0);
      GANTRY_CHECK(entry.find('\n') == std::string::npos);
      GANTRY_CHECK(entry.find('\0') == std::string::npos);
      GANTRY_CHECK(entry.substr(0, equals).find_first_of(" \t\r") == std::string::npos);
    }
  } else {
    GANTRY_CHECK(entries.why().message.starts_with("file.env, line "));
    GANTRY_CHECK(entries.why().text().find('\n') == std::string::npos);
  }
  for (auto parse : {cli::parse_volume, cli::parse_mount, cli::parse_tmpfs})
    if (auto mount = parse(text)) {
      GANTRY_CHECK(!mount->target().empty());
      GANTRY_CHECK(mount->type() == "tmpfs" || mount->source().starts_with('/'));
    } else {
      GANTRY_CHECK(mount.why().text().find('\n') == std::string::npos);
    }
  if (auto limit = cli::parse_ulimit(text))
    GANTRY_CHECK(limit->soft() <= limit->hard() && limit->type().starts_with("RLIMIT_"));
  if (auto device = cli::parse_device(text))
    GANTRY_CHECK(device->host_path().starts_with('/'));
  return 0;
}
