// Feeds the log's parser with anything, and its formatter with anything: what was
// formatted is read back exactly, what was read is formatted and read back the same.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/json_log.hpp"
#include "messages/check.hpp"

namespace {

using namespace gantry::io;

void check_round_trip(std::string_view bytes, const record_style& style) {
  page_buffer out;
  std::string joined;
  for (std::string_view rest = bytes; !rest.empty();) {
    out.clear();
    const size_t taken = append_records(rest, 0, style, out);
    GANTRY_CHECK(taken != 0);
    rest.remove_prefix(taken);
    std::string_view text = out.text();
    while (!text.empty()) {
      const size_t end = text.find('\n');
      GANTRY_CHECK(end != std::string_view::npos);
      log_piece piece;
      GANTRY_CHECK(parse_record(text.substr(0, end), piece));
      GANTRY_CHECK(piece.stream == style.stream + 1);
      joined += piece.bytes;
      text.remove_prefix(end + 1);
    }
  }
  GANTRY_CHECK(joined == bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  log_piece piece;
  if (parse_record(bytes, piece))
    check_round_trip(
      piece.bytes,
      {.stream = static_cast<uint8_t>(piece.stream - 1), .time_ns = piece.time_ns, .to_end = true});
  const size_t most = size == 0 ? 16 : 8 + data[0];
  check_round_trip(bytes, {.time_ns = 1, .max_line = most, .enough = 200, .to_end = true});
  return 0;
}
