#include "apps/gantry/detach_keys.hpp"

#include <algorithm>

#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

constexpr size_t most_keys = 16;
constexpr std::string_view control = "ctrl-";

/// The byte of a key, or nothing.
std::optional<char> byte_of(std::string_view key) {
  if (key.size() == 1)
    return key[0];
  if (!key.starts_with(control) || key.size() != control.size() + 1)
    return std::nullopt;
  const char c = key.back();
  if (c >= 'a' && c <= 'z')
    return static_cast<char>(c - 'a' + 1);
  if (c == '@' || (c >= '[' && c <= '_'))
    return static_cast<char>(c - '@');
  return std::nullopt;
}

} // namespace

result<std::string> parse_detach_keys(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const auto byte = byte_of(text.substr(0, end));
    if (!byte)
      return error{ec::invalid_argument,
                   "\"" + printable(text.substr(0, end)) + "\" is no key",
                   "keys with commas between: a character, or ctrl- and one of a-z @ [ \\ ] ^ _"};
    out.push_back(*byte);
    if (end + 1 == text.size())
      return error{ec::invalid_argument, "the keys end with a comma", "leave it out"};
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (out.size() > most_keys)
    return error{ec::invalid_argument, "more than 16 keys", "choose fewer"};
  return out;
}

detach_filter::outcome detach_filter::feed(std::string_view typed) {
  outcome out;
  if (keys_.empty()) {
    out.pass = typed;
    return out;
  }
  for (const char c : typed) {
    // The longest beginning of the sequence that what came ends with.
    while (held_ > 0 && keys_[held_] != c) {
      size_t shorter = held_ - 1;
      while (shorter > 0
             && keys_.compare(0, shorter, keys_, held_ - shorter, shorter) != 0)
        --shorter;
      out.pass.append(keys_, 0, held_ - shorter);
      held_ = shorter;
    }
    if (keys_[held_] != c) {
      out.pass.push_back(c);
      continue;
    }
    if (++held_ == keys_.size()) {
      held_ = 0;
      out.detached = true;
      return out;
    }
  }
  return out;
}

std::string detach_filter::let_go() {
  return keys_.substr(0, std::exchange(held_, 0));
}

} // namespace gantry::cli
