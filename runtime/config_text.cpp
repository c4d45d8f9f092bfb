#include <algorithm>

#include "runtime/config_parts.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/seccomp.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr int max_depth = 100;

/// Deepest nesting of a text that may be JSON. Writing JSON is recursive: a config of a
/// million brackets must not come so far.
int depth_of(std::string_view text) noexcept {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == '"')
      in_string = true;
    else if (c == '{' || c == '[')
      deepest = std::max(deepest, ++depth);
    else if (c == '}' || c == ']')
      --depth;
  }
  return deepest;
}

std::string place_of(std::string_view text, size_t byte) {
  auto before = text.substr(0, std::min(byte, text.size()));
  auto line = std::count(before.begin(), before.end(), '\n') + 1;
  size_t newline = before.rfind('\n');
  size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// The library's default dump throws on bytes that are no UTF-8; a replacement is better
/// than that, and the checks have refused such bytes before.
std::string dumped(const json& x) {
  return x.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

std::string config_text(const json& config, bool seccomp) {
  static const std::string part = "\"seccomp\":" + dumped(default_seccomp()) + ",";
  std::string out = dumped(config);
  if (!seccomp)
    return out;
  // The same 4 KiB for each container: put in as text, which saves building it again. The
  // key can stand nowhere before linux as a whole word with its brace but as that object:
  // quotes within strings are escaped.
  constexpr std::string_view anchor = "\"linux\":{";
  size_t at = out.find(anchor);
  GANTRY_CHECK(at != std::string::npos);
  out.insert(at + anchor.size(), part);
  return out;
}

result<json> parse_json(std::string_view text, std::string_view thing) {
  if (depth_of(text) > max_depth)
    return error{ec::invalid_argument,
                 std::string(thing) + ": is nested deeper than " + std::to_string(max_depth)
                   + " levels",
                 "an OCI config has about ten"};
  try {
    return json::parse(text);
  } catch (const json::parse_error& e) { // the library's only way to say where
    return error{ec::invalid_argument,
                 std::string(thing) + ": is not JSON: unexpected content at "
                   + place_of(text, e.byte),
                 "mend the file; `python3 -m json.tool` shows the place"};
  } catch (const json::exception& e) { // a number beyond all bounds
    return error{ec::invalid_argument, std::string(thing) + ": is not usable JSON: " + e.what(),
                 "mend the file"};
  }
}

} // namespace gantry::runtime
