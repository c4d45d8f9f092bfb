#include <array>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/pressure.hpp"

namespace gantry::runtime {

namespace {

using resource = pressure_trigger::resource;

constexpr std::array<std::string_view, 4> names{"cpu", "io", "memory", "memory.high"};
constexpr int64_t us = 1000;
constexpr int64_t ms = 1'000'000;
constexpr int64_t least_window = 500 * ms;
constexpr int64_t longest_window = 10'000 * ms;
constexpr std::string_view cure = "say memory:some:150ms/2s, io:full:1s/5s, cpu:300ms/1s or "
                                  "memory.high";

/// Digits with µs, us, ms or s behind them. 0: it is none, or none above zero.
int64_t duration_of(std::string_view text) {
  uint64_t n = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 9 && text[digits] >= '0' && text[digits] <= '9')
    n = n * 10 + static_cast<uint64_t>(text[digits++] - '0');
  const auto unit = text.substr(digits);
  if (digits == 0)
    return 0;
  const int64_t one = unit == "us" || unit == "µs" ? us : unit == "ms" ? ms
                    : unit == "s"                  ? 1000 * ms
                                                   : 0;
  return static_cast<int64_t>(n) * one;
}

std::string duration_text(int64_t ns) {
  if (ns % (1000 * ms) == 0)
    return std::to_string(ns / (1000 * ms)) + "s";
  return ns % ms == 0 ? std::to_string(ns / ms) + "ms" : std::to_string(ns / us) + "us";
}

result<void> check_trigger(const pressure_trigger& x, std::string_view said) {
  if (x.what == resource::memory_high)
    return {};
  if (x.window_ns < least_window || x.window_ns > longest_window)
    return bad("pressure", shown(said), "the window is 500ms to 10s");
  if (x.stall_ns < us || x.stall_ns > x.window_ns)
    return bad("pressure", shown(said), "the stall is above 0 and no longer than the window");
  return {};
}

} // namespace

result<pressure_trigger> parse_pressure(std::string_view text) {
  pressure_trigger out;
  if (text == names[3]) {
    out.what = resource::memory_high;
    return out;
  }
  const size_t colon = text.find(':');
  const auto name = text.substr(0, colon);
  const size_t last = text.rfind(':');
  const size_t slash = text.find('/', last == std::string_view::npos ? 0 : last);
  size_t found = 0;
  while (found < 3 && names[found] != name)
    ++found;
  if (found == 3 || colon == std::string_view::npos || slash == std::string_view::npos)
    return bad("pressure", shown(text), cure);
  if (last != colon) {
    const auto kind = text.substr(colon + 1, last - colon - 1);
    if (kind != "some" && kind != "full")
      return bad("pressure", shown(text), cure);
    out.full = kind == "full";
  }
  out.what = static_cast<resource>(found);
  out.stall_ns = duration_of(text.substr(last + 1, slash - last - 1));
  out.window_ns = duration_of(text.substr(slash + 1));
  if (out.stall_ns == 0 || out.window_ns == 0)
    return bad("pressure", shown(text), cure);
  if (auto fine = check_trigger(out, text); !fine)
    return fine.why();
  return out;
}

std::string text_of(const pressure_trigger& x) {
  std::string name(names[static_cast<size_t>(x.what)]);
  if (x.what == resource::memory_high)
    return name;
  return name + (x.full ? ":full:" : ":some:") + duration_text(x.stall_ns) + "/"
         + duration_text(x.window_ns);
}

result<std::vector<pressure_trigger>> pressure_of(const v1::ContainerSpec& spec) {
  if (static_cast<size_t>(spec.pressure_size()) > max_pressure_triggers)
    return bad("pressure", std::to_string(spec.pressure_size()) + " of them",
               "a container has at most " + std::to_string(max_pressure_triggers));
  std::vector<pressure_trigger> out;
  for (const auto& text : spec.pressure()) {
    auto x = parse_pressure(text);
    if (!x)
      return x.why();
    out.push_back(*x);
  }
  return out;
}

} // namespace gantry::runtime
