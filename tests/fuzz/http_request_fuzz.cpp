// Fuzzes the head of an HTTP request to the metrics. libFuzzer calls the entry point.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gateways/metrics/http_request.hpp"
#include "messages/check.hpp"

using namespace gantry;

namespace {

struct heard {
  std::vector<std::string> requests;
  int status = 0;
  bool operator==(const heard&) const = default;
};

/// All requests in the bytes, which come in pieces of this size.
heard hear(std::string_view bytes, size_t piece) {
  heard out;
  metrics::http_reader reader;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    auto state = reader.feed(bytes.substr(at, piece));
    while (state == metrics::http_reader::state::ready) {
      const auto x = reader.take();
      GANTRY_CHECK(!x.path.empty() && x.path.front() == '/' && !x.method.empty());
      out.requests.push_back(x.method + " " + x.path + (x.keep_alive ? " k" : "")
                             + (x.openmetrics ? " o" : ""));
      state = reader.again();
    }
    if (state == metrics::http_reader::state::bad) {
      out.status = reader.status();
      GANTRY_CHECK(out.status >= 400 && out.status < 600);
      break;
    }
  }
  return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The same bytes, cut differently, mean the same.
  GANTRY_CHECK(hear(text, metrics::http_reader::max_piece) == hear(text, 1 + data[0] % 32));
  return 0;
}
