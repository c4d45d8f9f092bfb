#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "messages/result.hpp"

namespace gantry::cli {

/// What --format understands of docker's (Go's) templates: text, `{{.Field.sub}}`, `{{.}}`,
/// `{{json .Field}}`, `{{upper …}}`, `{{lower …}}`, `{{len …}}`, `{{index .Labels "key"}}`,
/// `{{range .List}}…{{end}}`, `{{if .Field}}…{{else}}…{{end}}`. A field is named as in the
/// JSON, or in Go's way (`.StartedAt` is started_at). `\t` and `\n` are a tab and a new line.
class text_template {
public:
  /// @returns An error that shows the place.
  static result<text_template> parse(std::string_view text);

  /// @returns An error that names the field which is not there, and those that are.
  [[nodiscard]] result<std::string> apply(const nlohmann::json& to) const;

  struct node;

private:
  std::shared_ptr<const std::vector<node>> nodes_;
};

} // namespace gantry::cli
