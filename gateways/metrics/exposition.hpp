#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "io/histogram.hpp"

namespace gantry::metrics {

/// The two text formats that are in use. They differ in the names of counters' families, in
/// the last line, and in their content type.
enum class format { prometheus, openmetrics };

/// The content type of a reply in this format.
std::string_view content_type(format f) noexcept;

/// Writes families of metrics one behind the other: `family`, then its samples, and at the end
/// `done`. Specification: prometheus/docs, OpenMetrics 1.0 and "Exposition formats" 0.0.4.
class exposition {
public:
  using labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  explicit exposition(format f) : format_(f) {}

  /// @param type counter, gauge or histogram.
  /// @param name Without `_total`.
  void family(std::string_view type, std::string_view name, std::string_view help);
  void counter(labels l, uint64_t value);
  void seconds(labels l, uint64_t nanoseconds); ///< A counter of time.
  void gauge(labels l, double value);
  void histogram(labels l, const io::histogram& value); ///< In seconds.

  std::string done(); ///< The whole text.

private:
  void sample(std::string_view suffix, labels l, std::string_view extra, std::string_view value);

  format format_;
  std::string name_;
  std::string out_;
};

} // namespace gantry::metrics
