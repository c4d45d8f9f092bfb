#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "runtime/journal_impl.hpp"
#include "runtime/journal_reader.hpp"
#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

using impl = journal_file::impl;

namespace {

constexpr io::nanoseconds retry_pause = std::chrono::milliseconds(500);

bool is_full(int32_t res) noexcept { return res == -ENOSPC || res == -EDQUOT || res == -EFBIG; }

} // namespace

// Decides what the chain does next. Every completion comes back here.
void impl::step() {
  GANTRY_CHECK(held == 0);
  if (busy || ended || retry_timer.armed())
    return;
  bool something = pending() > 0 || !overflow.empty();
  wanted = wanted || (!waiters.empty() && waiters.back().seq > flushed_seq);
  if (wanted && something) {
    if (!segment)
      return open_segment(false);
    return pending() > 0 ? write_ring() : write_big();
  }
  wanted = false;
  if (!waiters.empty())
    return sync();
  if (segment && segments.back().bytes >= policy.segment_bytes)
    return rotate();
  if (stopping)
    finish();
}

void impl::write_ring() {
  busy = true;
  uint64_t to = tail;
  uint64_t to_seq = ring_seq;
  size_t place = flushed % bytes.size();
  size_t whole = to - flushed;
  size_t first = std::min(whole, bytes.size() - place);
  write_op.start(segment.get(), bytes.subspan(place, first), flushed - base,
                 [this, first, whole, to, to_seq](int32_t res) {
                   busy = false;
                   if (res < 0)
                     return fail(res, "write");
                   if (first < whole)
                     return write_rest(first, whole - first, to, to_seq);
                   wrote(to, to_seq);
                 });
}

// The part behind the ring's end. Only whole records count as flushed.
void impl::write_rest(size_t from, size_t size, uint64_t to, uint64_t to_seq) {
  busy = true;
  write_op.start(segment.get(), bytes.first(size), flushed + from - base,
                 [this, to, to_seq](int32_t res) {
                   busy = false;
                   if (res < 0)
                     return fail(res, "write");
                   wrote(to, to_seq);
                 });
}

void impl::wrote(uint64_t to, uint64_t to_seq) {
  flushed = to;
  flushed_seq = to_seq;
  segments.back().bytes = flushed - base;
  memory.journal().flushed.store(flushed, std::memory_order_release);
  worked();
  drain_overflow();
  // What came meanwhile waits for company again, unless somebody waits for it.
  wanted = !overflow.empty() || stopping;
  if (!wanted && pending() > 0)
    schedule();
  step();
}

// The ring is empty here. The file offset runs on without the ring's position.
void impl::write_big() {
  busy = true;
  const auto& frame = overflow.front().frame;
  write_op.start(segment.get(), frame, flushed - base, [this](int32_t res) {
    busy = false;
    if (res < 0)
      return fail(res, "write");
    auto done = std::move(overflow.front());
    overflow.pop_front();
    overflow_bytes -= done.frame.size();
    base -= done.frame.size();
    memory.journal().segment_base.store(base + segment_header_bytes);
    ring_seq = done.seq;
    wrote(flushed, done.seq);
  });
}

void impl::drain_overflow() {
  while (!overflow.empty() && overflow.front().frame.size() <= bytes.size() - pending()) {
    const auto& frame = overflow.front().frame;
    size_t place = tail % bytes.size();
    size_t first = std::min(frame.size(), bytes.size() - place);
    std::copy_n(frame.data(), first, bytes.data() + place);
    std::copy_n(frame.data() + first, frame.size() - first, bytes.data());
    publish(frame.size(), overflow.front().seq);
    overflow_bytes -= frame.size();
    overflow.pop_front();
  }
}

// Everything that waits is in a file; now down to the disk: first the segments that ended,
// then this one, then the names in the directory.
void impl::sync() {
  enum class what : uint8_t { ended, current, names };
  what now = what::names;
  int file = -1;
  if (!unsynced.empty()) {
    now = what::ended;
    file = unsynced.back().get();
  } else if (segment && synced_seq < flushed_seq) {
    now = what::current;
    file = segment.get();
  } else {
    synced_seq = std::max(synced_seq, flushed_seq);
    if (!names_dirty)
      return all_synced();
    if (!directory) // No descriptor was to be had when we began.
      directory = io::fd(loop.sys(), loop.sys().open(dir, O_RDONLY | O_DIRECTORY));
    if (!directory)
      return fail(directory.get(), "open the directory of");
    file = directory.get();
    names_dirty = false;
  }
  busy = true;
  sync_op.start(file, [this, now, to = flushed, seq = flushed_seq](int32_t res) {
    busy = false;
    if (res < 0 && !(now == what::names && res == -EINVAL)) { // No fsync for directories here.
      names_dirty = names_dirty || now == what::names;
      if (now == what::current)
        rewind();
      return fail(res, "sync");
    }
    if (now == what::ended)
      unsynced.pop_back();
    if (now == what::current) {
      synced_seq = seq;
      synced_to = to;
    }
    worked();
    step();
  });
}

void impl::all_synced() {
  while (!waiters.empty() && waiters.front().seq <= synced_seq) {
    auto w = std::move(waiters.front());
    waiters.pop_front();
    loop.post([f = std::move(w.f)] { f({}); });
  }
  step();
}

// After a failed fdatasync the kernel may have dropped the pages and called them clean: what
// the ring still holds of them is written once more.
void impl::rewind() {
  uint64_t begin = base + segment_header_bytes;
  uint64_t to = std::max(begin, synced_to);
  if (to >= flushed || tail - to > bytes.size())
    return;
  flushed = to;
  flushed_seq = to == begin ? segments.back().first_seq - 1 : synced_seq;
  segments.back().bytes = flushed - base;
  memory.journal().flushed.store(flushed, std::memory_order_release);
}

void impl::answer_waiters(const result<void>& how) {
  auto all = std::move(waiters);
  waiters.clear();
  for (auto& w : all)
    loop.post([f = std::move(w.f), how] { f(how); });
}

// The records stay in the arena; whoever waits for the disk hears of it; later once more.
void impl::fail(int32_t res, std::string_view deed) {
  bool no_room = is_full(res);
  if (no_room && spare_ready) {
    spare_ready = false;
    if (segment)
      unsynced.push_back(std::move(segment));
    return open_segment(true);
  }
  auto file = segments.empty() ? dir : path(segment_name(segments.back().first_seq));
  trouble = from_errno(-res, deed, "journal " + file);
  if (no_room) {
    trouble->code = ec::disk_full;
    full = true;
  }
  answer_waiters(*trouble);
  wanted = false;
  if (stopping)
    return finish();
  retry_timer.start(retry_pause, [this] {
    wanted = true;
    step();
  });
}

void impl::worked() {
  trouble.reset();
  if (full && !spare_timer.armed() && !spare_busy && !stopping)
    make_spare(); // Room again, if there is room for the next spare.
}

void impl::finish() {
  if (busy || spare_busy || snapshot_busy || retain_busy || !readers.empty() || ended)
    return; // Their completions come back here through `step`.
  if (pending() > 0 && !trouble) {
    wanted = true;
    return step();
  }
  ended = true;
  flush_timer.cancel();
  retry_timer.cancel();
  spare_timer.cancel();
  segment.reset();
  directory.reset();
  unsynced.clear();
  spare_file.reset();
  loop.post(std::move(on_stopped));
}

} // namespace gantry::runtime
