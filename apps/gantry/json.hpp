#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace gantry::cli {

/// `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

/// True when `text` is whole UTF-8, without overlong forms and surrogates.
bool is_utf8(std::string_view text) noexcept;

/// Standard base64 with padding.
std::string base64(std::string_view bytes);

/// The same JSON, on one line (`indent` 0) or readable. The text must be valid JSON.
std::string json_reformatted(std::string_view text, size_t indent);

/// Writes one JSON object, member by member, in the order of the calls.
class json_object {
public:
  json_object& text(std::string_view key, std::string_view value) {
    return raw(key, json_quoted(value));
  }
  json_object& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  json_object& null(std::string_view key) { return raw(key, "null"); }

  template <std::integral T>
  requires(!std::same_as<T, bool>) json_object& number(std::string_view key, T value) {
    return raw(key, std::to_string(value));
  }

  /// RFC 3339, or null for 0: "not yet".
  json_object& time(std::string_view key, int64_t ns);

  /// Any range of strings, as an array.
  template <class Range>
  json_object& texts(std::string_view key, const Range& values) {
    std::string out = "[";
    for (const auto& v : values)
      out.append(out.size() > 1 ? "," : "").append(json_quoted(v));
    return raw(key, out + "]");
  }

  /// Any range of messages, as an array; `f` gives the JSON of one.
  template <class Range, class F>
  json_object& array(std::string_view key, const Range& values, F f) {
    std::string out = "[";
    for (const auto& v : values)
      out.append(out.size() > 1 ? "," : "").append(f(v));
    return raw(key, out + "]");
  }

  /// A protobuf map<string, string>, sorted by key.
  template <class Map>
  json_object& map(std::string_view key, const Map& values) {
    // A protobuf map has no order; a reader and a test want one.
    const std::map<std::string, std::string> sorted(values.begin(), values.end());
    json_object inner;
    for (const auto& [k, v] : sorted)
      inner.text(k, v);
    return raw(key, inner.done());
  }

  /// `value` is JSON already.
  json_object& raw(std::string_view key, std::string_view value) {
    out_.append(out_.size() > 1 ? "," : "").append(json_quoted(key)).append(":").append(value);
    return *this;
  }

  [[nodiscard]] std::string done() const { return out_ + "}"; }

private:
  std::string out_ = "{";
};

} // namespace gantry::cli
