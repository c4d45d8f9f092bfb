#include "runtime/journal_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t chunk_bytes = 256u << 10;
constexpr size_t places_kept = 32;

journal::Record gap_record(uint64_t from, uint64_t to, uint64_t epoch) {
  journal::Record r;
  r.set_seq(to);
  r.set_epoch(epoch);
  r.mutable_gap()->set_from_seq(from);
  r.mutable_gap()->set_to_seq(to);
  r.mutable_gap()->set_reason("these records are no longer kept");
  return r;
}

} // namespace

journal_reader::journal_reader(journal_file::impl& j, uint64_t after, size_t max_bytes, answer f)
  : journal_(j), after_(after), max_bytes_(max_bytes), answer_(std::move(f)), open_op_(j.loop),
    read_op_(j.loop) {}

void journal_reader::start() {
  journal_.loop.post([this] { look(); });
}

// Where the record behind `after_` is now.
void journal_reader::look() {
  auto& j = journal_;
  if (after_ >= j.last_seq)
    return finish();
  if (after_ >= j.flushed_seq)
    return take_memory();
  const auto& all = j.segments;
  if (all.empty() || all.front().first_seq > after_ + 1) {
    if (!out_.empty())
      return finish(); // Removed under our hands: the next call says so.
    uint64_t to = (all.empty() ? j.flushed_seq + 1 : all.front().first_seq) - 1;
    out_.push_back(gap_record(after_ + 1, to, j.epoch));
    after_ = to;
    return look();
  }
  auto i = std::upper_bound(all.begin(), all.end(), after_ + 1,
                            [](uint64_t seq, const segment_info& s) { return seq < s.first_seq; });
  next_first_ = i == all.end() ? j.flushed_seq + 1 : i->first_seq;
  open(*std::prev(i));
}

void journal_reader::open(const segment_info& s) {
  first_seq_ = s.first_seq;
  limit_ = s.bytes;
  offset_ = segment_header_bytes;
  have_ = 0;
  auto known = journal_.places.find(after_);
  if (known != journal_.places.end() && known->second.first_seq == first_seq_)
    offset_ = known->second.offset;
  auto name = journal_.path(segment_name(first_seq_));
  open_op_.start(AT_FDCWD, name, O_RDONLY, 0, false, [this, name](int32_t res) {
    if (res == -ENOENT && (journal_.segments.empty() ||
                           journal_.segments.front().first_seq > first_seq_))
      return look(); // Retention was faster.
    if (res < 0)
      return fail(from_errno(-res, "open", name));
    file_ = io::fd(journal_.loop.sys(), res);
    read_more();
  });
}

void journal_reader::read_more() {
  uint64_t at = offset_ + have_;
  size_t wanted = size_t(std::min<uint64_t>(chunk_bytes, limit_ > at ? limit_ - at : 0));
  if (wanted == 0)
    return segment_over();
  buffer_.resize(have_ + wanted);
  read_op_.start(file_.get(), {buffer_.data() + have_, wanted}, at, [this](int32_t res) {
    if (res < 0)
      return fail(from_errno(-res, "read", journal_.path(segment_name(first_seq_))));
    if (res == 0)
      return segment_over();
    take(size_t(res));
  });
}

void journal_reader::take(size_t fresh) {
  have_ += fresh;
  size_t at = 0;
  using kind = frame_result::kind_t;
  for (;;) {
    auto x = read_frame({buffer_.data() + at, have_ - at});
    if (x.kind == kind::partial || (x.kind == kind::end && have_ - at < record_header_bytes))
      break; // The rest comes with the next piece.
    if (x.kind != kind::record) {
      if (after_ + 1 >= next_first_)
        return segment_over(); // A torn end: what it held stands in the next segment.
      return damaged(offset_ + at);
    }
    if (!take_one(buffer_.data() + at, x.record.bytes, next_first_))
      return segment_over();
    at += x.record.bytes;
    if (out_bytes_ >= max_bytes_) {
      have_ = 0;
      if (journal_.places.size() >= places_kept)
        journal_.places.erase(journal_.places.begin());
      journal_.places[after_] = {first_seq_, offset_ + at};
      return finish();
    }
  }
  buffer_.erase(0, at);
  have_ -= at;
  offset_ += at;
  read_more();
}

/// False for the first record that belongs to what comes behind this segment.
bool journal_reader::take_one(const char* frame, size_t size, uint64_t end_seq) {
  uint64_t seq = 0;
  std::memcpy(&seq, frame + 8, sizeof seq);
  if (seq >= end_seq)
    return false;
  if (seq <= after_)
    return true;
  journal::Record r;
  if (r.ParseFromArray(frame + record_header_bytes, int(size - record_header_bytes)))
    out_.push_back(std::move(r));
  after_ = seq;
  out_bytes_ += size;
  return true;
}

void journal_reader::damaged(uint64_t at) {
  fail({ec::data_loss,
        "journal file " + journal_.path(segment_name(first_seq_)) + " is damaged at byte " +
          std::to_string(at),
        "gantry journal --repair DIR, with gantryd stopped"});
}

void journal_reader::segment_over() {
  file_.reset();
  if (have_ > 0 && after_ + 1 < next_first_)
    return damaged(offset_);
  if (after_ + 1 < next_first_)
    after_ = next_first_ - 1; // A stated gap of the journal itself.
  if (out_bytes_ >= max_bytes_)
    return finish();
  look();
}

// The newest records: from the ring, and behind it from the overflow.
void journal_reader::take_memory() {
  auto& j = journal_;
  std::string frame;
  auto ring = j.bytes;
  for (uint64_t at = j.flushed; at < j.tail && out_bytes_ < max_bytes_;) {
    auto copy = [&](size_t size) {
      frame.resize(size);
      size_t place = at % ring.size();
      size_t first = std::min(size, ring.size() - place);
      std::memcpy(frame.data(), ring.data() + place, first);
      std::memcpy(frame.data() + first, ring.data(), size - first);
    };
    copy(record_header_bytes);
    uint32_t payload = 0;
    std::memcpy(&payload, frame.data(), sizeof payload);
    copy(record_header_bytes + payload);
    take_one(frame.data(), frame.size(), UINT64_MAX);
    at += frame.size();
  }
  for (const auto& w : j.overflow) {
    if (out_bytes_ >= max_bytes_)
      break;
    take_one(w.frame.data(), w.frame.size(), UINT64_MAX);
  }
  finish();
}

void journal_reader::fail(error why) {
  if (!out_.empty())
    return finish(); // First what is whole; the next call stands at the damage.
  file_.reset();
  auto f = std::move(answer_);
  auto& j = journal_;
  j.readers.remove_if([this](const auto& r) { return r.get() == this; });
  j.loop.post([&j] { j.step(); });
  f(std::move(why));
}

void journal_reader::finish() {
  file_.reset();
  auto f = std::move(answer_);
  auto out = std::move(out_);
  auto& j = journal_;
  j.readers.remove_if([this](const auto& r) { return r.get() == this; });
  if (j.stopping)
    j.loop.post([&j] { j.step(); });
  f(std::move(out));
}

} // namespace gantry::runtime
