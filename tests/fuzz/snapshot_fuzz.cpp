#include <cstddef>
#include <cstdint>
#include <string>

#include "messages/check.hpp"
#include "runtime/crc32c.hpp"
#include "runtime/journal.hpp"
#include "runtime/journal_segment.hpp"
#include "runtime/world.hpp"

// A snapshot file of any bytes: it is refused, or makes a world that says the same when it is
// saved and loaded once more.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  using namespace gantry::runtime;
  std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  (void)decode_snapshot(bytes, "fuzz");

  // With the header put right, so that the content is reached.
  std::string_view payload(bytes.data(), size);
  auto header = encode(snapshot_header{journal_format, 7}, payload.size(), crc32c(payload));
  std::string whole(header.data(), header.size());
  whole += payload;
  auto s = decode_snapshot(whole, "fuzz");
  if (!s)
    return 0;
  GANTRY_CHECK(s->seq() == 7);
  world w;
  w.load(*s);
  world again;
  again.load(w.save());
  GANTRY_CHECK(again.all().size() == w.all().size());
  for (const auto& [name, c] : w.all()) {
    const auto* twin = again.find(name);
    GANTRY_CHECK(twin != nullptr && twin->processes.size() == c->processes.size());
    (void)w.summary(*c);
  }
  return 0;
}
