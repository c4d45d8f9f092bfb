// Fuzzes what is read byte by byte before protobuf is asked: the message frame, the
// percent-encoding, the timeout. libFuzzer calls the entry point.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gateways/bus/grpc_frame.hpp"
#include "messages/check.hpp"

using namespace gantry;

namespace {

/// The same bytes, cut differently, must mean the same.
void feed_both_ways(std::span<const char> bytes, size_t cut) {
  constexpr size_t limit = 4096;
  bus::frame_reader whole(limit);
  const auto once = whole.feed(bytes);
  bus::frame_reader cut_up(limit);
  result<void> twice;
  for (size_t at = 0; at < bytes.size() && twice.ok(); at += cut)
    twice = cut_up.feed(bytes.subspan(at, std::min(cut, bytes.size() - at)));
  GANTRY_CHECK(once.ok() == twice.ok());
  if (!once.ok()) {
    GANTRY_CHECK(once.why().code == twice.why().code);
    return;
  }
  GANTRY_CHECK(whole.whole() == cut_up.whole());
  GANTRY_CHECK(whole.message() == cut_up.message());
  GANTRY_CHECK(whole.message().size() <= limit);
}

/// The messages of a stream that comes in pieces, and whether it broke.
std::pair<std::vector<std::string>, bool> stream_in_pieces(std::span<const char> bytes,
                                                           size_t piece) {
  std::vector<std::string> seen;
  bus::frame_reader reader(4096);
  for (size_t at = 0; at < bytes.size();) {
    const auto taken = reader.feed_one(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    if (!taken)
      return {seen, true};
    GANTRY_CHECK(*taken > 0);
    at += *taken;
    if (!reader.whole())
      continue;
    seen.emplace_back(reader.message());
    reader.next();
  }
  return {seen, false};
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const size_t cut = 1 + data[0] % 16;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  feed_both_ways(text, cut);
  GANTRY_CHECK(stream_in_pieces(text, text.size() + 1) == stream_in_pieces(text, cut));

  const auto encoded = bus::percent_encode(text, 3 * text.size() + 16);
  for (const char c : encoded)
    GANTRY_CHECK(c >= 0x20 && c <= 0x7e);
  GANTRY_CHECK(bus::percent_decode(encoded) == text);
  GANTRY_CHECK(bus::percent_encode(text, 64).size() <= 64 + 3);
  (void)bus::percent_decode(text);

  if (const auto timeout = bus::parse_timeout(text))
    GANTRY_CHECK(timeout->count() >= 0);
  return 0;
}
