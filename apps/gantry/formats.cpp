#include "apps/gantry/formats.hpp"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/table.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

using nlohmann::json;

namespace {

constexpr std::string_view table_word = "table";

/// Pieces between `\t` (as typed) and tabs.
std::vector<std::string> columns_of(std::string_view text) {
  std::vector<std::string> out(1);
  for (size_t i = 0; i < text.size(); ++i) {
    const bool typed = text.substr(i, 2) == "\\t";
    if (typed || text[i] == '\t') {
      out.emplace_back();
      i += typed ? 1 : 0;
    } else {
      out.back() += text[i];
    }
  }
  return out;
}

/// `{{.CreatedAt}}` → `CREATEDAT`: the last name in it.
std::string head_of(const std::string& column) {
  const size_t dot = column.rfind('.');
  if (dot == std::string::npos)
    return column;
  std::string out;
  for (size_t i = dot + 1; i < column.size(); ++i) {
    const char c = column[i];
    const bool word =
      (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    if (!word)
      break;
    out += c == '_' ? ' ' : c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  }
  return out;
}

std::string labels_text(const google::protobuf::Map<std::string, std::string>& labels) {
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  std::string out;
  for (const auto& [key, value] : sorted)
    out.append(out.empty() ? "" : ",").append(key).append("=").append(value);
  return out;
}

std::string percent(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", x);
  return text;
}

} // namespace

result<row_format> row_format::parse(const std::string& text) {
  row_format out;
  std::string rest = text;
  out.table_ = rest.starts_with(std::string(table_word) + " ");
  if (out.table_)
    rest.erase(0, table_word.size() + 1);
  for (const auto& column : out.table_ ? columns_of(rest) : std::vector<std::string>{rest}) {
    auto made = text_template::parse(column);
    if (!made)
      return std::move(made).why();
    out.columns_.push_back(*std::move(made));
    out.heads_.push_back(head_of(column));
  }
  return out;
}

result<std::string> row_format::rows(const std::vector<json>& objects) const {
  table t(heads_);
  std::string out;
  for (const auto& object : objects) {
    std::vector<std::string> cells;
    for (const auto& column : columns_) {
      auto cell = column.apply(object);
      if (!cell)
        return cell;
      cells.push_back(*std::move(cell));
    }
    if (!table_)
      out += cells.front() + "\n";
    t.add(std::move(cells));
  }
  return table_ ? t.text() : out;
}

json row_of(const v1::Container& c, int64_t now_ns) {
  json out = json::parse(to_json(c));
  const auto age = [now_ns](int64_t ns) { return age_text(now_ns - ns) + " ago"; };
  out["ID"] = c.id();
  out["Names"] = c.id();
  out["Command"] = command_text(c.command());
  out["Status"] = container_state_text(c, now_ns);
  out["RunningFor"] = age(c.created_at_ns());
  out["Labels"] = labels_text(c.labels());
  return out;
}

json row_of(const v1::Stats& x, std::optional<double> cpu_percent) {
  json out = json::parse(to_json(x, false));
  const uint64_t limit = x.memory_limit_bytes();
  out["ID"] = x.id();
  out["Name"] = x.id();
  out["CPUPerc"] = cpu_percent ? percent(*cpu_percent) : "--";
  out["MemUsage"] = size_text(x.memory_bytes()) + " / " + (limit > 0 ? size_text(limit) : "--");
  out["MemPerc"] = limit > 0 ? percent(100.0 * double(x.memory_bytes()) / double(limit)) : "--";
  out["BlockIO"] = size_text(x.io_read_bytes()) + " / " + size_text(x.io_write_bytes());
  out["PIDs"] = x.pids();
  return out;
}

int print_rows(const std::string& format, const std::vector<json>& objects) {
  auto rows = row_format::parse(format);
  auto text = rows ? rows->rows(objects) : result<std::string>(rows.why());
  if (!text) {
    const auto& why = text.why();
    say_error({why.code, "--format: " + why.message, why.cure});
    return 1;
  }
  print(*text);
  return 0;
}

} // namespace gantry::cli
