#include "actors/log_filter.hpp"

namespace gantry::actors {

namespace {

/// A line that has no end is judged in parts of so many bytes: memory stays bounded.
constexpr size_t most_held = 1u << 20;

} // namespace

log_filter::log_filter(const v1::ReadLogRequest& req)
  : since_ns_(req.since_ns()), until_ns_(req.until_ns()), grep_(req.grep()),
    stream_(req.stream()) {}

void log_filter::take(io::log_piece piece, std::vector<io::log_piece>& out) {
  if (until_ns_ != 0 && piece.time_ns >= until_ns_)
    over_ = true;
  const bool other = stream_ != 0 && piece.stream != stream_;
  if (over_ || other || piece.time_ns < since_ns_)
    return;
  if (grep_.empty()) {
    out.push_back(std::move(piece));
    return;
  }
  // A piece of a raw log may hold many lines: each is judged by itself.
  for (size_t from = 0; from < piece.bytes.size();) {
    const size_t newline = piece.bytes.find('\n', from);
    const size_t end = newline == std::string::npos ? piece.bytes.size() : newline + 1;
    io::log_piece part = piece;
    part.bytes = piece.bytes.substr(from, end - from);
    from = end;
    take_line(std::move(part), out);
  }
}

void log_filter::take_line(io::log_piece piece, std::vector<io::log_piece>& out) {
  const size_t s = piece.stream - 1;
  const bool ends = piece.bytes.ends_with('\n');
  held_bytes_[s] += piece.bytes.size();
  held_[s].push_back(std::move(piece));
  if (!ends && held_bytes_[s] < most_held)
    return;
  judge(held_[s], out);
  held_bytes_[s] = 0;
}

void log_filter::end(std::vector<io::log_piece>& out) {
  for (auto& line : held_)
    judge(line, out);
}

void log_filter::judge(std::vector<io::log_piece>& line, std::vector<io::log_piece>& out) const {
  std::string whole;
  if (line.size() > 1)
    for (const auto& piece : line)
      whole += piece.bytes;
  const bool wanted =
    !line.empty() && (line.size() == 1 ? line[0].bytes : whole).find(grep_) != std::string::npos;
  if (wanted)
    std::move(line.begin(), line.end(), std::back_inserter(out));
  line.clear();
}

} // namespace gantry::actors
