#include "runtime/journal.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>

#include "runtime/journal_impl.hpp"
#include "runtime/journal_reader.hpp"
#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

using impl = journal_file::impl;

impl::impl(io::loop& l, io::arena a, std::string directory_, std::string boot, journal_policy p)
  : loop(l), memory(a), dir(std::move(directory_)), boot_hash(hash_boot_id(boot)),
    boot_id(std::move(boot)), policy(p), bytes(a.journal_bytes()), flush_timer(l), retry_timer(l),
    open_op(l), write_op(l), sync_op(l), name_op(l), spare_timer(l), spare_open(l), spare_op(l),
    retain_op(l) {}

impl::~impl() {
  GANTRY_CHECK(!busy && !spare_busy && !snapshot_busy && !retain_busy && readers.empty());
}

void impl::begin(recovered r) {
  auto& ring = memory.journal();
  segments = std::move(r.segments);
  snapshots = std::move(r.snapshots);
  last_seq = ring_seq = r.last_seq;
  flushed_seq = r.flushed_seq;
  epoch = r.epoch;
  tail = ring.tail.load();
  flushed = ring.flushed.load();
  directory = io::fd(loop.sys(), loop.sys().open(dir, O_RDONLY | O_DIRECTORY));
  names_dirty = true;
  if (!segments.empty()) {
    auto last = path(segment_name(segments.back().first_seq));
    io::fd file(loop.sys(), loop.sys().open(last, O_WRONLY));
    if (file && r.go_on) {
      segment = std::move(file);
      base = flushed - segments.back().bytes;
      ring.segment.store(segments.back().first_seq);
      ring.segment_base.store(base + segment_header_bytes);
    } else if (file) {
      unsynced.push_back(std::move(file));
    }
  }
  make_spare();
  if (pending() > 0)
    schedule();
}

uint64_t impl::append(journal::Record& r) {
  r.set_seq(++last_seq);
  r.set_epoch(epoch);
  r.set_time_ns(loop.sys().realtime().count());
  if (r.body_case() == journal::Record::kCreating && r.instance() == 0)
    r.set_instance(last_seq);
  size_t payload = r.ByteSizeLong();
  size_t total = record_header_bytes + payload;
  if (!overflow.empty() || total > bytes.size() - pending()) {
    append_to_overflow(r, payload);
  } else if (size_t place = tail % bytes.size(); place + total <= bytes.size()) {
    char* to = bytes.data() + place;
    r.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(to) + record_header_bytes);
    seal_record(to, uint32_t(payload), last_seq);
    publish(total, last_seq);
  } else {
    scratch.resize(total);
    r.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(scratch.data()) +
                                      record_header_bytes);
    seal_record(scratch.data(), uint32_t(payload), last_seq);
    size_t first = bytes.size() - place;
    std::memcpy(bytes.data() + place, scratch.data(), first);
    std::memcpy(bytes.data(), scratch.data() + first, total - first);
    publish(total, last_seq);
  }
  schedule();
  return last_seq;
}

// The one store that makes a record be there, or all that belong together.
void impl::publish(size_t size, uint64_t seq) {
  tail += size;
  ring_seq = seq;
  if (held == 0)
    memory.journal().tail.store(tail, std::memory_order_release);
}

journal_file::together::together(journal_file& j) : impl_(*j.impl_) { ++impl_.held; }

journal_file::together::~together() {
  if (--impl_.held == 0)
    impl_.memory.journal().tail.store(impl_.tail, std::memory_order_release);
}

void impl::append_to_overflow(const journal::Record& r, size_t payload) {
  std::string frame(record_header_bytes + payload, '\0');
  r.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(frame.data()) +
                                    record_header_bytes);
  seal_record(frame.data(), uint32_t(payload), r.seq());
  overflow_bytes += frame.size();
  overflow.push_back({r.seq(), std::move(frame)});
}

// One write for a burst: the first record starts the clock. A ring that fills up in less
// time than that does not wait for it.
void impl::schedule() {
  if (wanted || ended || retry_timer.armed())
    return; // After the end the arena keeps it for the next start.
  if (pending() > bytes.size() / 4 || !overflow.empty()) {
    wanted = true;
    flush_timer.cancel();
    loop.post([this] { step(); });
  } else if (!flush_timer.armed()) {
    flush_timer.start(policy.flush_delay, [this] {
      wanted = true;
      step();
    });
  }
}

void impl::durable(std::function<void(result<void>)> f) {
  if (last_seq <= synced_seq && !names_dirty && unsynced.empty()) {
    loop.post([f = std::move(f)] { f({}); });
    return;
  }
  waiters.push_back({last_seq, std::move(f)});
  wanted = true;
  // A disk in trouble is tried once more for this one; its failure is the answer.
  retry_timer.cancel();
  flush_timer.cancel();
  loop.post([this] { step(); });
}

result<void> impl::room() const {
  if (full)
    return error{ec::disk_full, "the disk of the journal (" + dir + ") is full",
                 "free some space there"};
  if (trouble)
    return *trouble;
  if (!overflow.empty() || pending() > bytes.size() / 2)
    return error{ec::resource_exhausted,
                 "the journal's disk (" + dir + ") does not keep up: " +
                   std::to_string(pending() + overflow_bytes) + " bytes wait for it",
                 "try again; if it stays so, look at the disk"};
  return {};
}

void impl::stop(std::function<void()> f) {
  GANTRY_CHECK(!stopping);
  stopping = true;
  on_stopped = std::move(f);
  waiters.push_back({last_seq, [](const result<void>&) {}}); // An orderly end is synced.
  wanted = true;
  retry_timer.cancel();
  flush_timer.cancel();
  spare_timer.cancel();
  loop.post([this] { step(); });
}

// -- the outside ---------------------------------------------------------------------

journal_file::journal_file(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
journal_file::~journal_file() = default;

result<std::unique_ptr<journal_file>>
journal_file::open(io::loop& l, io::arena a, std::string dir, std::string boot_id,
                   journal_policy policy, std::function<void(journal::Snapshot)> snapshot,
                   std::function<void(const journal::Record&)> record, recovery_report& report) {
  auto i = std::make_unique<impl>(l, a, dir, boot_id, policy);
  auto found = recover({l.sys(), a, std::move(dir), std::move(boot_id), std::move(snapshot),
                        std::move(record)},
                       report);
  if (!found)
    return std::move(found).why();
  i->begin(*std::move(found));
  return std::unique_ptr<journal_file>(new journal_file(std::move(i)));
}

uint64_t journal_file::append(journal::Record& r) { return impl_->append(r); }
void journal_file::durable(std::function<void(result<void>)> f) { impl_->durable(std::move(f)); }
result<void> journal_file::room() const { return impl_->room(); }
void journal_file::stop(std::function<void()> f) { impl_->stop(std::move(f)); }

uint64_t journal_file::last_seq() const noexcept { return impl_->last_seq; }
uint64_t journal_file::epoch() const noexcept { return impl_->epoch; }
bool journal_file::disk_full() const noexcept { return impl_->full; }
uint64_t journal_file::at_risk() const noexcept { return impl_->overflow.size(); }

uint64_t journal_file::first_kept_seq() const noexcept {
  return impl_->segments.empty() ? impl_->flushed_seq + 1 : impl_->segments.front().first_seq;
}

uint64_t journal_file::pending_bytes() const noexcept {
  return impl_->pending() + impl_->overflow_bytes;
}

uint64_t journal_file::disk_bytes() const noexcept {
  uint64_t sum = 0;
  for (const auto& s : impl_->segments)
    sum += s.bytes;
  return sum;
}

uint64_t journal_file::epoch_end(uint64_t epoch) const noexcept {
  for (const auto& s : impl_->segments)
    if (s.epoch > epoch)
      return s.first_seq - 1;
  return epoch < impl_->epoch ? impl_->flushed_seq : impl_->last_seq;
}

void journal_file::on_snapshot(std::function<std::unique_ptr<snapshot_pieces>()> f) {
  impl_->snapshot_source = std::move(f);
}

void journal_file::read(uint64_t after, size_t max_bytes,
                        std::function<void(result<std::vector<journal::Record>>)> f) {
  auto& r = impl_->readers.emplace_back(
    std::make_unique<journal_reader>(*impl_, after, max_bytes, std::move(f)));
  r->start();
}

} // namespace gantry::runtime
