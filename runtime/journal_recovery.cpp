#include "runtime/journal_recovery.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t recovery_chunk = 1u << 20;
constexpr uint64_t file_limit = 1ull << 31; ///< No file of ours is larger.

const char* const repair_cure =
  "gantry journal --repair DIR sets the damaged file aside and keeps what is whole";

error lost(const std::string& file, size_t offset, const std::string& what) {
  return {ec::data_loss,
          "journal file " + file + " is damaged at byte " + std::to_string(offset) + ": " + what,
          repair_cure};
}

/// One recovery: reads, checks, tells.
class recovery {
public:
  recovery(recovery_input& in, recovery_report& report) : in_(in), report_(report) {}

  result<recovered> run();

private:
  result<void> look_around();
  result<void> load_snapshot();
  result<void> read_headers();
  result<void> read_records();
  result<void> read_segment(size_t i);
  result<void> judge_end(size_t i, const segment_end& end, size_t file_bytes);
  result<void> read_arena();
  result<void> tell_ring(std::span<const char> bytes, uint64_t at, uint64_t tail);
  void decide_epoch();
  void take_note(const journal::Record& r);

  result<std::string> slurp(const std::string& name, size_t limit);
  uint64_t size_of(int fd);
  [[nodiscard]] std::string path(const std::string& name) const { return in_.dir + "/" + name; }
  [[nodiscard]] bool has_past() const { return in_.memory.journal().tail.load() != 0; }

  recovery_input& in_;
  recovery_report& report_;
  recovered out_;
  std::vector<uint64_t> boots_; ///< Boot hash of each segment.
  uint64_t stored_epoch_ = 0;
  uint64_t last_epoch_ = 0; ///< Of the newest record.
  bool stopped_ = false;    ///< The newest record is SupervisorStopping.
  bool torn_ = false;
  bool from_arena_ = false;
};

result<recovered> recovery::run() {
  using step = result<void> (recovery::*)();
  for (step s : {&recovery::look_around, &recovery::load_snapshot, &recovery::read_headers,
                 &recovery::read_records, &recovery::read_arena})
    if (auto done = (this->*s)(); !done)
      return std::move(done).why();
  decide_epoch();
  return std::move(out_);
}

result<std::string> recovery::slurp(const std::string& name, size_t limit) {
  io::fd file(in_.sys, in_.sys.open(path(name), O_RDONLY));
  if (!file)
    return from_errno(-file.get(), "open", path(name));
  std::string bytes;
  while (bytes.size() < limit) {
    size_t had = bytes.size();
    bytes.resize(std::min(limit, had + recovery_chunk));
    auto n = in_.sys.pread(file.get(), {bytes.data() + had, bytes.size() - had}, had);
    if (n == -EINTR)
      bytes.resize(had);
    else if (n < 0)
      return from_errno(int(-n), "read", path(name));
    else if (bytes.resize(had + size_t(n)); n == 0)
      break;
  }
  return bytes;
}

// The kernel's door has no stat; a byte is there or it is not.
uint64_t recovery::size_of(int fd) {
  auto has = [&](uint64_t at) {
    char c = 0;
    return in_.sys.pread(fd, {&c, 1}, at) == 1;
  };
  uint64_t high = 1;
  while (high < file_limit && has(high - 1))
    high *= 2;
  uint64_t low = high / 2; // `low` bytes are there, byte high - 1 is not.
  while (low + 1 < high) {
    auto middle = low + (high - low) / 2;
    (has(middle - 1) ? low : high) = middle;
  }
  return low;
}

result<void> recovery::look_around() {
  if (int err = in_.sys.mkdir(in_.dir, 0700); err < 0 && err != -EEXIST)
    return from_errno(-err, "make", in_.dir);
  std::vector<std::string> names;
  if (int err = in_.sys.list(in_.dir, names); err < 0)
    return from_errno(-err, "list", in_.dir);
  for (const auto& name : names) {
    if (auto n = number_in(name, "segment")) {
      segment_info s;
      s.first_seq = *n;
      out_.segments.push_back(s);
    } else if (auto m = number_in(name, "snapshot")) {
      out_.snapshots.push_back(*m);
    } else if (name.ends_with(".tmp")) {
      in_.sys.unlink(path(name)); // Half-made: its rename never came.
    }
  }
  std::sort(out_.snapshots.begin(), out_.snapshots.end());
  std::sort(out_.segments.begin(), out_.segments.end(),
            [](const auto& a, const auto& b) { return a.first_seq < b.first_seq; });
  return {};
}

result<void> recovery::load_snapshot() {
  error first_failure;
  bool failed = false;
  while (!out_.snapshots.empty()) {
    auto name = snapshot_name(out_.snapshots.back());
    auto bytes = slurp(name, file_limit);
    auto s = bytes ? decode_snapshot(*bytes, path(name)) : result<journal::Snapshot>(bytes.why());
    if (s) {
      report_.snapshot_seq = out_.last_seq = s->seq();
      stored_epoch_ = last_epoch_ = s->epoch();
      in_.snapshot(std::move(*s));
      break;
    }
    if (s.why().code == ec::unsupported)
      return s.why();
    if (!failed)
      first_failure = s.why();
    failed = true;
    report_.notes.push_back(s.why().message + "; an older snapshot and the segments stand in");
    out_.snapshots.pop_back(); // Stays on disk until `retain` comes by: for the curious.
  }
  uint64_t begin = out_.segments.empty() ? 0 : out_.segments.front().first_seq;
  if (failed && begin > out_.last_seq + 1)
    return first_failure; // Nothing stands in for it.
  if (failed && out_.segments.empty())
    return first_failure;
  if (out_.snapshots.empty())
    in_.snapshot({});
  return {};
}

result<void> recovery::read_headers() {
  for (size_t i = 0; i < out_.segments.size();) {
    auto& s = out_.segments[i];
    bool last = i + 1 == out_.segments.size();
    bool needed = last || out_.segments[i + 1].first_seq > out_.last_seq + 1;
    auto name = segment_name(s.first_seq);
    io::fd file(in_.sys, in_.sys.open(path(name), O_RDONLY));
    if (!file)
      return from_errno(-file.get(), "open", path(name));
    char bytes[segment_header_bytes];
    auto n = in_.sys.pread(file.get(), bytes, 0);
    if (n < 0)
      return from_errno(int(-n), "read", path(name));
    auto header = decode_segment_header({bytes, size_t(n)}, path(name));
    if (header && header->first_seq == s.first_seq) {
      s.epoch = header->epoch;
      s.created_ns = header->created_ns;
      s.bytes = needed ? segment_header_bytes : size_of(file.get());
      boots_.push_back(header->boot_hash);
      ++i;
      continue;
    }
    if (!header && header.why().code == ec::unsupported)
      return header.why();
    if (last && size_t(n) < segment_header_bytes) {
      // Its making was interrupted: no record ever was in it.
      in_.sys.unlink(path(name));
      out_.segments.pop_back();
      break;
    }
    auto why = header ? lost(path(name), 16, "its name and its header differ") : header.why();
    if (needed)
      return why;
    report_.notes.push_back(why.message + "; only old events are affected");
    out_.segments.erase(out_.segments.begin() + long(i));
  }
  if (!out_.segments.empty())
    stored_epoch_ = std::max(stored_epoch_, out_.segments.back().epoch);
  return {};
}

result<void> recovery::read_records() {
  auto& all = out_.segments;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i + 1 < all.size() && all[i + 1].first_seq <= out_.last_seq + 1)
      continue; // The snapshot holds all of it.
    if (all[i].first_seq > out_.last_seq + 1)
      return error{ec::data_loss,
                   "journal " + in_.dir + ": records " + std::to_string(out_.last_seq + 1) +
                     " to " + std::to_string(all[i].first_seq - 1) + " are missing before " +
                     segment_name(all[i].first_seq),
                   repair_cure};
    if (auto done = read_segment(i); !done)
      return done;
  }
  out_.flushed_seq = out_.last_seq;
  return {};
}

void recovery::take_note(const journal::Record& r) {
  last_epoch_ = r.epoch();
  stopped_ = r.body_case() == journal::Record::kSupervisorStopping;
  out_.last_seq = r.seq();
}

result<void> recovery::read_segment(size_t i) {
  auto& s = out_.segments[i];
  auto name = segment_name(s.first_seq);
  auto bytes = slurp(name, file_limit);
  if (!bytes)
    return bytes.why();
  // Records that the next segment holds again were written before the disk was found full.
  bool last = i + 1 == out_.segments.size();
  uint64_t end_seq = last ? UINT64_MAX : out_.segments[i + 1].first_seq;
  bool over = false;
  auto end = walk_records(*bytes, segment_header_bytes, s.first_seq - 1,
                          [&](const journal::Record& r, size_t offset) {
                            over = over || r.seq() >= end_seq;
                            if (over)
                              return;
                            s.bytes = offset;
                            if (r.seq() <= out_.last_seq)
                              return;
                            take_note(r);
                            ++report_.records_from_disk;
                            in_.record(r);
                          });
  return judge_end(i, end, bytes->size());
}

result<void> recovery::judge_end(size_t i, const segment_end& end, size_t file_bytes) {
  const auto& s = out_.segments[i];
  auto file = path(segment_name(s.first_seq));
  if (i + 1 < out_.segments.size()) {
    // Whatever lies behind is no loss if the next segment goes on with the very next record.
    if (out_.last_seq + 1 >= out_.segments[i + 1].first_seq)
      return {};
    return lost(file, end.offset,
                "records " + std::to_string(out_.last_seq + 1) + " to " +
                  std::to_string(out_.segments[i + 1].first_seq - 1) + " cannot be read");
  }
  if (end.kind == segment_end::kind_t::clean)
    return {};
  bool booted = boots_.back() != hash_boot_id(in_.boot_id);
  // A power cut may keep a later page and lose an earlier one: then the earlier is zeros.
  bool power_cut = booted && end.hole;
  if (end.kind == segment_end::kind_t::damaged && !power_cut)
    return lost(file, end.offset,
                end.what.empty() ? "whole records follow at byte " + std::to_string(end.resume)
                                 : end.what);
  torn_ = true;
  report_.cut_bytes = file_bytes - end.offset;
  report_.cut_where = file + " at byte " + std::to_string(end.offset);
  return {};
}

// The ring holds the newest records, flushed ones too as long as nothing lies over them: a
// torn tail on disk is made whole from there.
result<void> recovery::read_arena() {
  auto& ring = in_.memory.journal();
  auto memory = in_.memory.journal_bytes();
  auto tail = ring.tail.load(std::memory_order_acquire);
  auto flushed = ring.flushed.load();
  auto base = ring.segment_base.load();
  if (tail == 0)
    return {};
  if (tail - flushed > memory.size())
    return error{ec::data_loss, "the journal ring in the arena is damaged (its counters)",
                 "stop gantryd and its keeper, then start anew"};
  auto linear = [&](uint64_t from) {
    std::string out(tail - from, '\0');
    size_t place = from % memory.size();
    size_t first = std::min(out.size(), memory.size() - place);
    std::memcpy(out.data(), memory.data() + place, first);
    std::memcpy(out.data() + first, memory.data(), out.size() - first);
    return out;
  };
  uint64_t from = flushed;
  auto bytes = linear(from);
  if (base < flushed && tail - base <= memory.size()) {
    auto more = linear(base);
    size_t at = 0;
    while (at < flushed - base) {
      auto x = read_frame({more.data() + at, more.size() - at});
      if (x.kind != frame_result::kind_t::record)
        break;
      at += x.record.bytes;
    }
    if (at == flushed - base) {
      from = base;
      bytes = std::move(more);
    }
  }
  return tell_ring(bytes, from, tail);
}

result<void> recovery::tell_ring(std::span<const char> bytes, uint64_t at, uint64_t tail) {
  auto& ring = in_.memory.journal();
  uint64_t pending = tail;
  size_t offset = 0;
  journal::Record r;
  while (offset < bytes.size()) {
    auto x = read_frame(bytes.subspan(offset));
    bool good = x.kind == frame_result::kind_t::record &&
                r.ParseFromArray(x.record.payload.data(), int(x.record.payload.size())) &&
                r.seq() == x.record.seq;
    if (!good)
      return error{ec::data_loss,
                   "the journal ring in the arena is damaged at position " +
                     std::to_string(at + offset),
                   "stop gantryd and its keeper, then start anew"};
    if (r.seq() > out_.last_seq) {
      if (pending == tail && r.seq() > out_.last_seq + 1) {
        report_.missing_from = out_.last_seq + 1;
        report_.missing_to = r.seq() - 1;
      }
      pending = std::min(pending, at + offset);
      take_note(r);
      ++report_.records_from_arena;
      in_.record(r);
    }
    offset += x.record.bytes;
  }
  from_arena_ = pending != tail;
  ring.flushed.store(pending);
  return {};
}

void recovery::decide_epoch() {
  bool booted = boots_.empty() || boots_.back() != hash_boot_id(in_.boot_id);
  out_.go_on = !out_.segments.empty();
  if (from_arena_) { // The arena does not outlive a boot: we are where those records were.
    out_.epoch = last_epoch_;
    if (torn_ && report_.missing_from == 0) { // Written again, whole, at the same place.
      report_.cut_bytes = 0;
      report_.cut_where.clear();
      torn_ = false;
    }
  } else {
    report_.lost_arena = !booted && !has_past() && (!stopped_ || torn_) && out_.last_seq > 0;
    report_.new_epoch = booted || report_.lost_arena;
    out_.epoch = std::max(stored_epoch_, last_epoch_) + (report_.new_epoch ? 1 : 0);
  }
  // A new segment wherever the last one is of another epoch, or ends in rubbish that would
  // otherwise have to be cut off on disk: it counts only up to its last whole record.
  if (torn_ || (out_.go_on && out_.segments.back().epoch != out_.epoch) ||
      report_.missing_from != 0)
    out_.go_on = false;
}

} // namespace

result<recovered> recover(recovery_input in, recovery_report& report) {
  return recovery(in, report).run();
}

} // namespace gantry::runtime
