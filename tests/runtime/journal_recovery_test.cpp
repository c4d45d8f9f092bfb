#include "runtime/journal_recovery.hpp"

#include "tests/runtime/journal_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using namespace std::chrono_literals;

namespace {

/// A journal of `n` records, ended in order, and its only segment's file.
std::string small_journal(host& h, const std::string& dir, uint64_t n, arena_memory& memory) {
  auto j = open_journal(h, memory.view(), dir);
  for (uint64_t i = 1; i <= n; ++i) {
    auto r = numbered_record(i);
    j.file->append(r);
  }
  close_journal(h, j.file);
  return files_named(dir, "segment.").at(0);
}

void append_some(opened& j, uint64_t from, uint64_t to, size_t text = 20) {
  for (uint64_t i = from; i <= to; ++i) {
    auto r = numbered_record(i, text);
    REQUIRE(j.file->append(r) == i);
  }
}

/// Opens a copy of a directory, as after a kill; what it tells, and nothing else.
opened recover_copy(host& h, const std::string& dir, arena_memory& memory,
                    journal_policy policy = {}) {
  temp_dir copy;
  fs::copy(dir, copy.path + "/j", fs::copy_options::recursive);
  auto j = open_journal(h, memory.view(), copy.path + "/j", policy);
  if (j.file)
    close_journal(h, j.file);
  return j;
}

} // namespace

TEST_CASE("journal: records that belong together survive a kill as a whole or not at all",
          "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.flush_delay = 1h;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  REQUIRE_FALSE(j.failure);
  auto alone = numbered_record(1);
  j.file->append(alone);
  using kept = decltype(memory.copy());
  std::vector<kept> left; // As of a kill between, after the inner ones, and behind.
  {
    const journal_file::together both(*j.file);
    auto fact = numbered_record(2);
    j.file->append(fact);
    left.push_back(memory.copy());
    {
      const journal_file::together inner(*j.file);
      auto answer = numbered_record(3);
      j.file->append(answer);
    }
    left.push_back(memory.copy());
  }
  left.push_back(memory.copy());
  for (const size_t i : {0, 1, 2})
    CHECK(recover_copy(h, dir.path, *left[i], policy).records.size() == (i < 2 ? 1 : 3));
  close_journal(h, j.file);
}

TEST_CASE("journal recovery: a kill before the flush loses nothing", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.flush_delay = 1h;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  append_some(j, 1, 20);
  REQUIRE(wait_durable(h, *j.file).ok());
  append_some(j, 21, 40);
  auto killed = memory.copy();
  auto again = recover_copy(h, dir.path, *killed, policy);
  REQUIRE_FALSE(again.failure);
  require_numbered(again.records, 40);
  CHECK(again.report.records_from_disk == 20);
  CHECK(again.report.records_from_arena == 20);
  CHECK_FALSE(again.report.new_epoch);
  CHECK_FALSE(again.report.lost_arena);
  close_journal(h, j.file);
}

TEST_CASE("journal recovery: a kill before the very first flush loses nothing", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.flush_delay = 1h;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  append_some(j, 1, 5);
  auto killed = memory.copy();
  auto again = recover_copy(h, dir.path, *killed, policy);
  require_numbered(again.records, 5);
  CHECK_FALSE(again.report.new_epoch); // It began before the kill: the records say so.
  CHECK(again.report.records_from_arena == 5);
  close_journal(h, j.file);
}

TEST_CASE("journal recovery: killed after any turn of the loop, every record is there",
          "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(4096); // Small, so that the ring is crossed all the time.
  journal_policy policy;
  policy.flush_delay = 0ns;
  policy.segment_bytes = 1500; // … and segments begin all the time.
  policy.keep_bytes = 4000;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  j.file->on_snapshot([&] {
    journal::Snapshot s;
    s.set_next_serial(j.file->last_seq() + 1);
    return std::make_unique<whole_snapshot>(s);
  });
  uint64_t n = 0;
  for (int step = 0; step < 400; ++step) {
    if (step % 3 == 0) {
      append_some(j, n + 1, n + 1 + uint64_t(step % 5));
      n += 1 + uint64_t(step % 5);
    }
    if (step % 17 == 0)
      j.file->durable([](const result<void>&) {});
    h.loop->turn(false);
    if (j.file->at_risk() > 0)
      continue; // Said to be at risk.
    auto killed = memory.copy();
    auto again = recover_copy(h, dir.path, *killed, policy);
    INFO("step " << step << (again.failure ? again.failure->message : ""));
    REQUIRE_FALSE(again.failure);
    uint64_t first = again.report.snapshot_seq + 1;
    require_numbered(again.records, n, 20, first);
    REQUIRE_FALSE(again.report.lost_arena);
    REQUIRE(again.report.missing_from == 0);
    REQUIRE((first == 1 || again.snapshot.next_serial() == first));
  }
  close_journal(h, j.file);
}

TEST_CASE("journal recovery: a kill during recovery, then another, loses nothing", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(8192);
  journal_policy policy;
  policy.flush_delay = 1h;
  uint64_t n = 0;
  for (int life = 0; life < 20; ++life) {
    auto j = open_journal(h, memory.view(), dir.path, policy);
    REQUIRE_FALSE(j.failure);
    require_numbered(j.records, n);
    append_some(j, n + 1, n + 7);
    n += 7;
    if (life % 3 == 0)
      REQUIRE(wait_durable(h, *j.file).ok());
    // The kill: the object goes, without the end that `stop` would give it. Its memory and
    // its files are all that is left.
    auto left = memory.copy();
    temp_dir files;
    fs::copy(dir.path, files.path + "/j", fs::copy_options::recursive);
    close_journal(h, j.file);
    fs::remove_all(dir.path);
    fs::copy(files.path + "/j", dir.path, fs::copy_options::recursive);
    memory.restore(*left);
  }
}

TEST_CASE("journal recovery: a tail cut off at any byte is cut at the last whole record",
          "[uring]") {
  host h;
  temp_dir dir;
  std::string whole;
  {
    arena_memory memory;
    whole = read_bytes(small_journal(h, dir.path, 6, memory));
  }
  std::vector<size_t> ends; // Behind each record.
  (void)walk_records(whole, segment_header_bytes, 0,
                     [&](const journal::Record&, size_t end) { ends.push_back(end); });
  REQUIRE(ends.size() == 6);
  for (size_t size = 0; size < whole.size(); ++size) {
    temp_dir cut;
    write_bytes(cut.path + "/" + segment_name(1), whole.substr(0, size));
    arena_memory fresh;
    auto j = open_journal(h, fresh.view(), cut.path, {}, "boot-2");
    INFO("cut at " << size << (j.failure ? j.failure->message : ""));
    REQUIRE_FALSE(j.failure);
    auto kept = uint64_t(std::count_if(ends.begin(), ends.end(),
                                       [size](size_t end) { return end <= size; }));
    require_numbered(j.records, kept);
    bool at_a_seam = size <= segment_header_bytes ||
                     std::find(ends.begin(), ends.end(), size) != ends.end();
    REQUIRE((j.report.cut_bytes == 0) == at_a_seam);
    REQUIRE(j.report.cut_where.empty() == at_a_seam);
    // It goes on behind the cut, and the next start finds all of it.
    append_some(j, kept + 1, kept + 2);
    close_journal(h, j.file);
    auto again = open_journal(h, fresh.view(), cut.path, {}, "boot-2");
    REQUIRE_FALSE(again.failure);
    require_numbered(again.records, kept + 2);
    close_journal(h, again.file);
    // Also without the arena, after another boot.
    arena_memory other;
    auto third = open_journal(h, other.view(), cut.path, {}, "boot-3");
    REQUIRE_FALSE(third.failure);
    require_numbered(third.records, kept + 2);
    close_journal(h, third.file);
  }
}

TEST_CASE("journal recovery: no flipped bit makes a wrong world", "[uring]") {
  host h;
  temp_dir dir;
  std::string whole;
  {
    arena_memory memory;
    whole = read_bytes(small_journal(h, dir.path, 3, memory));
  }
  size_t last_begins = 0;
  (void)walk_records(whole, segment_header_bytes, 0, [&](const journal::Record& r, size_t end) {
    if (r.seq() == 2)
      last_begins = end;
  });
  arena_memory fresh;
  temp_dir bad;
  auto file = bad.path + "/" + segment_name(1);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    auto flipped = whole;
    flipped[bit / 8] = char(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(file, flipped);
    recovery_report report;
    std::vector<journal::Record> told;
    auto got = recover({*h.kernel, fresh.view(), bad.path, "boot-2", [](const auto&) {},
                        [&told](const journal::Record& r) { told.push_back(r); }},
                       report);
    INFO("bit " << bit % 8 << " of byte " << bit / 8);
    if (got) { // Only the very last record may look like a torn tail.
      REQUIRE(bit / 8 >= last_begins);
      require_numbered(told, 2);
      REQUIRE(report.cut_bytes == whole.size() - last_begins);
    } else {
      REQUIRE(bit / 8 < last_begins);
      bool version = bit / 8 >= 8 && bit / 8 < 12;
      REQUIRE((got.why().code == ec::data_loss ||
               (version && got.why().code == ec::unsupported)));
      REQUIRE(got.why().message.find(segment_name(1)) != std::string::npos);
      REQUIRE(got.why().text().find("gantry") != std::string::npos);
    }
  }
}

TEST_CASE("journal recovery: a bad tail that the arena still holds is made whole", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  auto file = small_journal(h, dir.path, 5, memory);
  auto bytes = read_bytes(file);
  bytes[bytes.size() - 3] ^= 4;
  write_bytes(file, bytes);
  auto j = open_journal(h, memory.view(), dir.path);
  REQUIRE_FALSE(j.failure);
  require_numbered(j.records, 5);
  CHECK(j.report.records_from_arena == 1);
  CHECK(j.report.cut_bytes == 0);
  REQUIRE(wait_durable(h, *j.file).ok());
  close_journal(h, j.file);
  arena_memory other;
  auto again = open_journal(h, other.view(), dir.path, {}, "boot-2");
  require_numbered(again.records, 5);
  close_journal(h, again.file);
}

TEST_CASE("journal recovery: a newer format is refused, by name and version", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  auto file = small_journal(h, dir.path, 2, memory);
  auto bytes = read_bytes(file);
  auto head = encode(segment_header{journal_format + 1, 1, 1, 0, 0});
  bytes.replace(0, head.size(), head.data(), head.size());
  write_bytes(file, bytes);
  auto j = open_journal(h, memory.view(), dir.path);
  REQUIRE(j.failure);
  CHECK(j.failure->code == ec::unsupported);
  CHECK(j.failure->message.find(file) != std::string::npos);
  CHECK(j.failure->message.find("format 2") != std::string::npos);
}

TEST_CASE("journal recovery: a boot begins a new epoch in a new segment", "[uring]") {
  host h;
  temp_dir dir;
  {
    arena_memory memory;
    small_journal(h, dir.path, 3, memory);
  }
  arena_memory memory;
  auto j = open_journal(h, memory.view(), dir.path, {}, "boot-2");
  CHECK(j.report.new_epoch);
  CHECK_FALSE(j.report.lost_arena);
  CHECK(j.file->epoch() == 2);
  CHECK(j.file->epoch_end(1) == 3);
  append_some(j, 4, 5);
  auto killed = memory.copy();
  SECTION("and a kill before its first flush does not begin another") {
    auto again = open_journal(h, killed->view(), dir.path, {}, "boot-2");
    CHECK_FALSE(again.report.new_epoch);
    CHECK(again.file->epoch() == 2);
    require_numbered(again.records, 5);
    close_journal(h, again.file);
  }
  close_journal(h, j.file);
  CHECK(files_named(dir.path, "segment.").size() == 2);
}

TEST_CASE("journal recovery: a keeper that died takes the newest records, and that is said",
          "[uring]") {
  host h;
  temp_dir dir;
  {
    arena_memory memory;
    small_journal(h, dir.path, 3, memory);
  }
  arena_memory fresh;
  auto j = open_journal(h, fresh.view(), dir.path);
  CHECK(j.report.lost_arena);
  CHECK(j.report.new_epoch); // Numbers may be given again: the epoch tells them apart.
  CHECK(j.file->epoch() == 2);
  append_some(j, 4, 4);
  journal::Record r;
  r.mutable_supervisor_stopping();
  j.file->append(r);
  close_journal(h, j.file);
  arena_memory another;
  auto again = open_journal(h, another.view(), dir.path);
  CHECK_FALSE(again.report.lost_arena); // The end was orderly.
  CHECK_FALSE(again.report.new_epoch);
  CHECK(again.file->epoch() == 2);
  close_journal(h, again.file);
}

TEST_CASE("journal recovery: a segment that is missing is said, with its records", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.segment_bytes = 500;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  for (uint64_t i = 1; i <= 40; ++i) {
    append_some(j, i, i);
    REQUIRE(wait_durable(h, *j.file).ok());
  }
  close_journal(h, j.file);
  auto files = files_named(dir.path, "segment.");
  REQUIRE(files.size() > 3);
  fs::remove(files[1]);
  arena_memory fresh;
  auto again = open_journal(h, fresh.view(), dir.path, {}, "boot-2");
  REQUIRE(again.failure);
  CHECK(again.failure->code == ec::data_loss);
  CHECK(again.failure->message.find("cannot be read") != std::string::npos);
}
