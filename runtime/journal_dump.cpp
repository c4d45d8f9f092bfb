#include "runtime/journal_dump.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "runtime/journal.hpp"
#include "runtime/journal_segment.hpp"

namespace gantry::runtime {

namespace {

namespace fs = std::filesystem;

struct found_files {
  std::vector<uint64_t> segments;
  std::vector<uint64_t> snapshots;
};

result<found_files> find_files(const std::string& dir) {
  std::error_code err;
  found_files out;
  for (fs::directory_iterator i(dir, err), end; !err && i != end; i.increment(err)) {
    auto name = i->path().filename().string();
    if (auto n = number_in(name, "segment"))
      out.segments.push_back(*n);
    else if (auto m = number_in(name, "snapshot"))
      out.snapshots.push_back(*m);
  }
  if (err)
    return from_errno(err.value(), "list", dir);
  std::sort(out.segments.begin(), out.segments.end());
  std::sort(out.snapshots.begin(), out.snapshots.end());
  return out;
}

result<std::string> read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return from_errno(errno, "open", path);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad())
    return from_errno(EIO, "read", path);
  return bytes;
}

/// Written beside, synced, renamed: a repair that is killed leaves the old file or the new.
result<void> write_whole(const std::string& path, const std::string& bytes) {
  auto beside = path + ".tmp";
  int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0)
    return from_errno(errno, "open", beside);
  int failure = 0;
  for (size_t at = 0; at < bytes.size() && failure == 0;) {
    auto n = ::write(file, bytes.data() + at, bytes.size() - at);
    if (n > 0)
      at += size_t(n);
    else if (errno != EINTR)
      failure = errno;
  }
  if (failure == 0 && ::fdatasync(file) != 0)
    failure = errno;
  ::close(file);
  if (failure != 0)
    return from_errno(failure, "write", beside);
  if (::rename(beside.c_str(), path.c_str()) != 0)
    return from_errno(errno, "rename", beside);
  return {};
}

std::string records(uint64_t from, uint64_t to) {
  return from == to ? "record " + std::to_string(from)
                    : "records " + std::to_string(from) + " to " + std::to_string(to);
}

/// One walk over all segments: prints, judges, and gathers what a repair writes.
class walk {
public:
  walk(std::string dir, const std::function<void(const journal::Record&)>& tell)
    : dir_(std::move(dir)), tell_(tell) {}

  result<dump_report> run(bool repair);

private:
  result<void> segment(size_t i);
  void header(const std::string& file, const std::string& bytes, uint64_t first_seq);
  void body(size_t i, const std::string& file, const std::string& bytes);
  void missing(uint64_t to, const std::string& where);
  result<void> snapshots();
  result<void> put_right(const std::string& file);
  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }

  std::string dir_;
  const std::function<void(const journal::Record&)>& tell_;
  found_files files_;
  dump_report report_;
  bool repair_ = false;
  uint64_t expected_ = 0; ///< The next seq; 0 before the first.
  uint64_t base_ = 0;     ///< Of the newest good snapshot: what is before it need not be there.
  bool changed_ = false;  ///< The file at hand is to be written anew …
  std::string content_;   ///< … with this.
};

result<dump_report> walk::run(bool repair) {
  repair_ = repair;
  auto found = find_files(dir_);
  if (!found)
    return found.why();
  files_ = *std::move(found);
  if (files_.segments.empty() && files_.snapshots.empty())
    return error{ec::not_found, dir_ + " holds no journal", "name the directory ROOT/journal"};
  if (auto ok = snapshots(); !ok)
    return ok.why();
  for (size_t i = 0; i < files_.segments.size(); ++i)
    if (auto ok = segment(i); !ok)
      return ok.why();
  report_.segments = files_.segments.size();
  return std::move(report_);
}

result<void> walk::snapshots() {
  for (auto seq : files_.snapshots) {
    auto file = path(snapshot_name(seq));
    auto bytes = read_whole(file);
    auto s = bytes ? decode_snapshot(*bytes, file) : result<journal::Snapshot>(bytes.why());
    if (s) {
      base_ = seq;
      continue;
    }
    if (s.why().code == ec::unsupported)
      return s.why();
    report_.said.push_back(s.why().message);
    report_.damaged = true;
    if (!repair_)
      continue;
    auto aside = path("damaged." + snapshot_name(seq));
    if (::rename(file.c_str(), aside.c_str()) != 0)
      return from_errno(errno, "rename", file);
    report_.said.push_back("set aside as " + aside);
  }
  return {};
}

result<void> walk::segment(size_t i) {
  auto first_seq = files_.segments[i];
  auto file = path(segment_name(first_seq));
  auto bytes = read_whole(file);
  if (!bytes)
    return bytes.why();
  bool last = i + 1 == files_.segments.size();
  changed_ = false;
  content_.clear();
  if (bytes->size() < segment_header_bytes && last)
    return {}; // Its making was interrupted.
  auto head = decode_segment_header(*bytes, file);
  if (!head && head.why().code == ec::unsupported)
    return head.why();
  if (head) {
    report_.epoch = head->epoch;
    content_.assign(*bytes, 0, segment_header_bytes);
  } else {
    header(file, *bytes, first_seq);
  }
  body(i, file, *bytes);
  if (repair_ && changed_)
    return put_right(file);
  return {};
}

/// A damaged header: what it said follows from the name and the records.
void walk::header(const std::string& file, const std::string& bytes, uint64_t first_seq) {
  report_.said.push_back("journal file " + file + " has a damaged header");
  report_.damaged = changed_ = true;
  segment_header h;
  h.version = journal_format;
  h.first_seq = first_seq;
  h.epoch = report_.epoch;
  (void)walk_records(bytes, segment_header_bytes, first_seq - 1,
                     [&h](const journal::Record& r, size_t) {
                       h.epoch = std::max(h.epoch, r.epoch());
                       h.created_ns = h.created_ns == 0 ? r.time_ns() : h.created_ns;
                     });
  report_.epoch = h.epoch;
  auto bytes_of = encode(h);
  content_.assign(bytes_of.data(), bytes_of.size());
}

void walk::body(size_t i, const std::string& file, const std::string& bytes) {
  bool last = i + 1 == files_.segments.size();
  uint64_t end_seq = last ? UINT64_MAX : files_.segments[i + 1];
  uint64_t first = files_.segments[i];
  if (expected_ != 0 && first > expected_)
    missing(first - 1, "before " + segment_name(first));
  expected_ = std::max(expected_, first);
  size_t at = segment_header_bytes;
  for (;;) {
    size_t good_from = at;
    auto end = walk_records(bytes, at, expected_ - 1, [&](const journal::Record& r, size_t offset) {
      if (r.seq() >= end_seq)
        return; // The next segment holds it again.
      if (report_.records++ == 0)
        report_.first_seq = r.seq();
      report_.last_seq = r.seq();
      expected_ = r.seq() + 1;
      content_.append(bytes, good_from, offset - good_from);
      good_from = offset;
      tell_(r);
    });
    if (end.kind == segment_end::kind_t::clean || expected_ >= end_seq)
      break;
    auto where = "journal file " + file + " at byte " + std::to_string(end.offset);
    if (end.kind == segment_end::kind_t::torn && last) {
      report_.torn_bytes = bytes.size() - end.offset;
      report_.said.push_back(where + ": torn tail of " + std::to_string(report_.torn_bytes) +
                             " bytes (a start goes on behind the last whole record)");
      return;
    }
    report_.damaged = changed_ = true;
    report_.said.push_back(where + " is damaged" + (end.what.empty() ? "" : ": " + end.what));
    if (end.resume == 0)
      break;
    auto next = read_frame(std::string_view(bytes).substr(end.resume)).record.seq;
    if (next > expected_)
      missing(next - 1, "there");
    at = end.resume;
  }
  if (!last && expected_ < end_seq) {
    report_.damaged = changed_ = true;
    missing(end_seq - 1, "at the end of " + file);
  }
}

/// Records up to `to` are lost. In their place stands a gap with the seq of the last of them.
void walk::missing(uint64_t to, const std::string& where) {
  report_.said.push_back(records(expected_, to) + " are lost " + where +
                         (to <= base_ ? " (a snapshot holds their sum)" : ""));
  report_.damaged = true;
  journal::Record r;
  r.set_seq(to);
  r.set_epoch(report_.epoch);
  r.mutable_gap()->set_from_seq(expected_);
  r.mutable_gap()->set_to_seq(to);
  r.mutable_gap()->set_reason("the journal was damaged here and repaired");
  auto payload = r.SerializeAsString();
  std::string frame(record_header_bytes, '\0');
  frame += payload;
  seal_record(frame.data(), uint32_t(payload.size()), to);
  content_ += frame;
  changed_ = true;
  expected_ = to + 1;
}

result<void> walk::put_right(const std::string& file) {
  auto aside = path("damaged." + fs::path(file).filename().string());
  std::error_code err;
  fs::copy_file(file, aside, fs::copy_options::overwrite_existing, err);
  if (err)
    return from_errno(err.value(), "copy", file);
  if (auto ok = write_whole(file, content_); !ok)
    return ok;
  report_.said.push_back("repaired " + file + "; as it was: " + aside);
  return {};
}

} // namespace

result<dump_report> dump_journal(const std::string& dir, const dump_options& options,
                                 const std::function<void(std::string_view)>& out) {
  std::function<void(const journal::Record&)> tell = [&](const journal::Record& r) {
    if (r.seq() > options.after)
      out(options.json ? record_json(r) : record_text(r));
  };
  return walk(dir, tell).run(false);
}

result<dump_report> repair_journal(const std::string& dir) {
  std::function<void(const journal::Record&)> tell = [](const journal::Record&) {};
  return walk(dir, tell).run(true);
}

} // namespace gantry::runtime
