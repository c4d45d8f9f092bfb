#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "runtime/crc32c.hpp"
#include "runtime/journal_impl.hpp"
#include "runtime/journal_reader.hpp"
#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

using impl = journal_file::impl;

namespace {

constexpr io::nanoseconds spare_pause = std::chrono::seconds(2);
constexpr mode_t file_mode = 0600;
constexpr size_t snapshots_kept = 2; ///< A damaged one has the one before to stand in.

} // namespace

// A segment begins with the first record that is not on disk. With `spare`, its blocks are
// the preallocated ones: a full disk takes it all the same.
void impl::open_segment(bool spare) {
  busy = true;
  auto name = spare ? path("spare") : path(segment_name(flushed_seq + 1));
  int flags = spare ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC;
  open_op.start(AT_FDCWD, name, flags, file_mode, false, [this, spare](int32_t res) {
    busy = false;
    if (res < 0)
      return fail(res, spare ? "open the spare of" : "begin a segment of");
    opening = io::fd(loop.sys(), res);
    write_header(spare, res);
  });
}

void impl::write_header(bool spare, int file) {
  segment_header h;
  h.version = journal_format;
  h.first_seq = flushed_seq + 1;
  h.epoch = epoch;
  h.boot_hash = boot_hash;
  h.created_ns = loop.sys().realtime().count();
  auto encoded = encode(h);
  header.assign(encoded.data(), encoded.size());
  busy = true;
  write_op.start(file, header, 0, [this, spare](int32_t res) {
    busy = false;
    if (res < 0) {
      opening.reset();
      return fail(res, "begin a segment of");
    }
    if (!spare)
      return begun(false);
    busy = true;
    name_op.rename(path("spare"), path(segment_name(flushed_seq + 1)), [this](int32_t renamed) {
      busy = false;
      if (renamed < 0) {
        opening.reset();
        return fail(renamed, "rename the spare of");
      }
      begun(true);
    });
  });
}

void impl::begun(bool spare) {
  segment_info s;
  s.first_seq = flushed_seq + 1;
  s.epoch = epoch;
  s.created_ns = loop.sys().realtime().count();
  s.bytes = segment_header_bytes;
  if (!segments.empty() && segments.back().first_seq == s.first_seq)
    segments.back() = s; // The one before took no record: this one took its name.
  else
    segments.push_back(s);
  segment = std::move(opening);
  full = full || spare;
  names_dirty = true;
  base = flushed - segment_header_bytes;
  memory.journal().segment.store(s.first_seq);
  memory.journal().segment_base.store(flushed);
  wanted = true;
  step();
}

// The segment is full: it is synced, the next record begins another one, and a snapshot
// makes the old ones dispensable.
void impl::rotate() {
  unsynced.push_back(std::move(segment));
  take_snapshot();
  step();
}

void impl::make_spare() {
  spare_busy = true;
  auto again = [this] {
    spare_busy = false;
    if (stopping)
      return step();
    full = true;
    spare_timer.start(spare_pause, [this] { make_spare(); });
  };
  spare_open.start(
    AT_FDCWD, path("spare"), O_WRONLY | O_CREAT, file_mode, false, [this, again](int32_t res) {
      if (res < 0)
        return again();
      spare_file = io::fd(loop.sys(), res);
      spare_op.allocate(res, policy.spare_bytes, [this, again](int32_t allocated) {
        spare_file.reset();
        if (allocated < 0 && allocated != -EOPNOTSUPP)
          return again();
        spare_busy = false;
        spare_ready = allocated >= 0; // Without fallocate a full disk finds us without.
        if (full && spare_ready && !trouble)
          full = false;
        step();
      });
    });
}

void impl::take_snapshot() {
  if (snapshot_busy || stopping || !snapshot_source)
    return;
  snapshot_busy = true;
  pieces = snapshot_source();
  packed_seq = last_seq;
  packed.reserve(packed_before + packed_before / 4);
  packed.assign(snapshot_header_bytes, '\0');
  journal::Snapshot head;
  head.set_seq(packed_seq);
  head.set_epoch(epoch);
  head.set_boot_id(boot_id);
  head.AppendToString(&packed);
  packed_crc = crc32c(std::string_view(packed).substr(snapshot_header_bytes));
  loop.post([this] { pack_more(); });
}

// A piece a turn: many containers would hold everything up otherwise.
void impl::pack_more() {
  if (stopping) { // The segments have it all.
    pieces.reset();
    packed = {};
    snapshot_busy = false;
    return step();
  }
  const auto from = packed.size();
  const bool last = !pieces->more(packed, policy.snapshot_piece);
  packed_crc = crc32c(std::string_view(packed).substr(from), packed_crc);
  if (!last)
    return loop.post([this] { pack_more(); });
  pieces.reset();
  packed_before = packed.size();
  write_snapshot();
}

void impl::write_snapshot() {
  const auto head = encode(snapshot_header{journal_format, packed_seq},
                           packed.size() - snapshot_header_bytes, packed_crc);
  std::copy(head.begin(), head.end(), packed.begin());
  auto content = std::make_shared<std::string>(std::move(packed));
  packed = {};
  // Never ahead of the records that it sums up: they are on disk before it is.
  durable([this, seq = packed_seq, content](const result<void>& how) {
    if (!how)
      return snapshot_done(seq, how);
    io::write_file(loop, path(snapshot_name(seq)), std::move(*content), file_mode, true,
                   [this, seq](const result<void>& written) { snapshot_done(seq, written); });
  });
}

void impl::snapshot_done(uint64_t seq, const result<void>& how) {
  snapshot_busy = false;
  if (how) {
    names_dirty = true;
    if (snapshots.empty() || snapshots.back() != seq)
      snapshots.push_back(seq);
    retain();
  }
  step(); // Without it, the segments of before stay: nothing is lost, only room.
}

// Removes one file at a time: snapshots but the newest, then segments that no kept snapshot
// needs and that are beyond the bounds.
void impl::retain() {
  if (retain_busy || stopping)
    return;
  std::string victim;
  if (snapshots.size() > snapshots_kept) {
    victim = snapshot_name(snapshots.front());
    snapshots.erase(snapshots.begin());
  } else if (snapshots.size() == snapshots_kept && segments.size() > 1 &&
             segments[1].first_seq <= snapshots.front() + 1) {
    uint64_t sum = 0;
    for (const auto& s : segments)
      sum += s.bytes;
    auto age = loop.sys().realtime().count() - segments[1].created_ns;
    if (sum <= policy.keep_bytes && age <= policy.keep_age.count())
      return;
    victim = segment_name(segments.front().first_seq);
    segments.erase(segments.begin());
  } else {
    return;
  }
  retain_busy = true;
  retain_op.unlink(path(victim), [this](int32_t) {
    retain_busy = false;
    retain();
    step();
  });
}

} // namespace gantry::runtime
