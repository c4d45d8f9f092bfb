#pragma once

#include <string>
#include <vector>

namespace gantry::cli {

/// Columns as wide as their widest cell, three spaces between them, nothing behind the
/// last. Cells are made printable: they may come from a container.
class table {
public:
  explicit table(std::vector<std::string> head) { add(std::move(head)); }

  void add(std::vector<std::string> row);

  [[nodiscard]] std::string text() const;

private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> widths_;
};

/// `text` cut to `most` characters, the last of them `…` where something is missing.
std::string shortened(const std::string& text, size_t most);

} // namespace gantry::cli
