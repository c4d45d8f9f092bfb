#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "messages/check.hpp"
#include "runtime/accounts.hpp"

// A user's words, then passwd and group of a container, each up to a NUL: what comes out are
// numbers that the kernel takes, and what is refused is said in one line.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view parts[3];
  for (auto& part : parts) {
    const size_t end = std::min(text.find('\0'), text.size());
    part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto groups = runtime::find_groups({std::string(parts[0])}, parts[2]);
  if (groups)
    GANTRY_CHECK(groups->size() == 1 && groups->front() != 0xffffffff);
  else
    GANTRY_CHECK(groups.why().text().find('\n') == std::string::npos);
  const auto words = runtime::parse_user(parts[0]);
  if (!words) {
    GANTRY_CHECK(words.why().message.starts_with("user: "));
    GANTRY_CHECK(words.why().text().find('\n') == std::string::npos);
    return 0;
  }
  const auto ids = runtime::find_user(*words, parts[1], parts[2]);
  if (!ids) {
    GANTRY_CHECK(!words->complete());
    GANTRY_CHECK(ids.why().text().find('\n') == std::string::npos);
    return 0;
  }
  GANTRY_CHECK(ids->uid != 0xffffffff && ids->gid != 0xffffffff);
  GANTRY_CHECK(!words->uid || *words->uid == ids->uid);
  GANTRY_CHECK(!words->gid || *words->gid == ids->gid);
  GANTRY_CHECK(ids->groups.size() <= 1024);
  GANTRY_CHECK(std::is_sorted(ids->groups.begin(), ids->groups.end()));
  GANTRY_CHECK(words->group.empty() || ids->groups.empty());
  return 0;
}
