#include "gateways/metrics/exposition.hpp"

#include <charconv>

namespace gantry::metrics {

namespace {

/// Both formats escape the same three in a label's value, and the first and last in a help.
std::string escaped(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

std::string number(double x) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof(text), x).ptr;
  return {text, end};
}

constexpr double second = 1e9; // in nanoseconds

} // namespace

std::string_view content_type(format f) noexcept {
  return f == format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                  : "text/plain; version=0.0.4; charset=utf-8";
}

void exposition::family(std::string_view type, std::string_view name, std::string_view help) {
  name_ = name;
  const bool suffixed = format_ == format::prometheus && type == "counter";
  const auto shown = suffixed ? name_ + "_total" : name_;
  out_.append("# HELP ").append(shown).append(" ").append(
    escaped(help, format_ == format::openmetrics));
  out_.append("\n# TYPE ").append(shown).append(" ").append(type).append("\n");
}

void exposition::sample(std::string_view suffix, labels l, std::string_view extra,
                        std::string_view value) {
  out_.append(name_).append(suffix);
  char before = '{';
  for (const auto& [key, text] : l) {
    out_.push_back(before);
    out_.append(key).append("=\"").append(escaped(text, true)).append("\"");
    before = ',';
  }
  if (!extra.empty()) {
    out_.push_back(before);
    out_.append(extra);
    before = ',';
  }
  out_.append(before == ',' ? "} " : " ").append(value).append("\n");
}

void exposition::counter(labels l, uint64_t value) {
  sample("_total", l, {}, std::to_string(value));
}

void exposition::seconds(labels l, uint64_t nanoseconds) {
  sample("_total", l, {}, number(double(nanoseconds) / second));
}

void exposition::gauge(labels l, double value) { sample("", l, {}, number(value)); }

void exposition::histogram(labels l, const io::histogram& value) {
  uint64_t sum = 0;
  for (size_t i = 0; i < io::histogram::classes; ++i) {
    sum += value.counts[i];
    const auto limit = number(double(io::histogram::limit_ns(i)) / second);
    sample("_bucket", l, "le=\"" + limit + "\"", std::to_string(sum));
  }
  sample("_bucket", l, "le=\"+Inf\"", std::to_string(value.count));
  sample("_count", l, {}, std::to_string(value.count));
  sample("_sum", l, {}, number(double(value.sum_ns) / second));
}

std::string exposition::done() {
  if (format_ == format::openmetrics)
    out_.append("# EOF\n");
  return std::move(out_);
}

} // namespace gantry::metrics
