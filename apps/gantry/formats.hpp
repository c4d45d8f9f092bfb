#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/gantry/template.hpp"
#include "messages/gantry.pb.h"

namespace gantry::cli {

/// What --format asks for: a template for each object, or `table TEMPLATE`, columns apart by
/// `\t`, with a line of names above them. (`table` and `json` alone are no templates.)
class row_format {
public:
  static result<row_format> parse(const std::string& text);

  /// Whole lines for these objects.
  [[nodiscard]] result<std::string> rows(const std::vector<nlohmann::json>& objects) const;

private:
  bool table_ = false;
  std::vector<text_template> columns_;
  std::vector<std::string> heads_;
};

// Objects for templates: the JSON of a thing, with docker's names for docker's users beside it.
nlohmann::json row_of(const v1::Container& c, int64_t now_ns);
nlohmann::json row_of(const v1::Stats& x, std::optional<double> cpu_percent);

/// Prints objects that are JSON already by the template of --format.
/// @returns The exit code.
int print_rows(const std::string& format, const std::vector<nlohmann::json>& objects);

} // namespace gantry::cli
