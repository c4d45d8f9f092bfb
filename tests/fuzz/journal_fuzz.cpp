#include <cstddef>
#include <cstdint>
#include <string>

#include "messages/check.hpp"
#include "runtime/journal_dump.hpp"
#include "runtime/journal_segment.hpp"
#include "runtime/world.hpp"

// A segment file of any bytes: it is refused, or read up to a place that is named; what was
// read makes a world that can be saved; no record is read twice or out of order.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  using namespace gantry::runtime;
  std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  auto header = decode_segment_header(bytes, "fuzz");
  if (!header && size < segment_header_bytes)
    return 0;
  // Nearly no input has a right CRC: the walk is tried behind a refused header, too.
  world w;
  uint64_t last = 0;
  size_t behind = segment_header_bytes;
  auto end = walk_records(bytes, segment_header_bytes, 0,
                          [&](const journal::Record& r, size_t offset) {
                            GANTRY_CHECK(r.seq() > last);
                            GANTRY_CHECK(offset > behind && offset <= size);
                            last = r.seq();
                            behind = offset;
                            w.apply(r);
                            (void)event_of(r);
                            GANTRY_CHECK(!record_text(r).empty());
                            GANTRY_CHECK(!record_json(r).empty());
                          });
  GANTRY_CHECK(end.offset == behind && end.last_seq == last);
  GANTRY_CHECK(end.resume == 0 || end.resume > end.offset);
  world again;
  again.load(w.save());
  GANTRY_CHECK(again.all().size() == w.all().size());

  // The same bytes as the payload of a whole record: what a CRC cannot keep out.
  journal::Record r;
  if (r.ParseFromArray(bytes.data(), int(size))) {
    w.apply(r);
    (void)event_of(r);
    again.load(w.save());
  }
  return 0;
}
