#include "runtime/journal.hpp"

#include "tests/runtime/journal_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using namespace std::chrono_literals;

namespace {

result<std::vector<journal::Record>> read_now(host& h, journal_file& j, uint64_t after,
                                              size_t max) {
  std::optional<result<std::vector<journal::Record>>> got;
  j.read(after, max, [&got](auto r) { got = std::move(r); });
  REQUIRE(h.until([&got] { return got.has_value(); }));
  return *std::move(got);
}

/// Reads all behind `after` in small pieces.
std::vector<journal::Record> read_all(host& h, journal_file& j, uint64_t after, size_t piece) {
  std::vector<journal::Record> out;
  for (;;) {
    auto some = read_now(h, j, after, piece);
    REQUIRE(some.ok());
    if (some->empty())
      return out;
    after = some->back().seq();
    out.insert(out.end(), some->begin(), some->end());
  }
}

/// Appends numbered records, 20 at a time, until so many snapshots were asked for; the last number.
uint64_t fill(host& h, opened& j, const uint64_t& asked, uint64_t wanted) {
  uint64_t n = 0;
  while (asked < wanted) {
    for (int i = 0; i < 20; ++i) {
      auto r = numbered_record(++n);
      j.file->append(r);
    }
    REQUIRE(wait_durable(h, *j.file).ok());
  }
  return n;
}

} // namespace

TEST_CASE("journal: what was appended is told again after an orderly stop", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  auto j = open_journal(h, memory.view(), dir.path + "/journal");
  REQUIRE_FALSE(j.failure);
  CHECK(j.report.new_epoch);
  CHECK_FALSE(j.report.lost_arena);
  CHECK(j.snapshots == 1);
  CHECK(j.file->epoch() == 1);
  CHECK(j.file->last_seq() == 0);
  for (uint64_t i = 1; i <= 100; ++i) {
    auto r = numbered_record(i);
    CHECK(j.file->append(r) == i);
    CHECK(r.seq() == i);
    CHECK(r.epoch() == 1);
    CHECK(r.time_ns() > 1'600'000'000'000'000'000);
  }
  CHECK(j.file->pending_bytes() > 0);
  close_journal(h, j.file);

  auto again = open_journal(h, memory.view(), dir.path + "/journal");
  REQUIRE_FALSE(again.failure);
  require_numbered(again.records, 100);
  CHECK(again.report.records_from_disk == 100);
  CHECK(again.report.records_from_arena == 0);
  CHECK_FALSE(again.report.new_epoch);
  CHECK(again.report.cut_bytes == 0);
  CHECK(again.file->last_seq() == 100);
  close_journal(h, again.file);
}

TEST_CASE("journal: a Creating gets its own seq as its instance", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  auto j = open_journal(h, memory.view(), dir.path);
  auto first = numbered_record(1);
  j.file->append(first);
  journal::Record r;
  r.mutable_creating();
  j.file->append(r);
  CHECK(r.instance() == 2);
  close_journal(h, j.file);
}

TEST_CASE("journal: a burst is one write, and an idle journal has no timer", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.flush_delay = 1ms;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  auto first = numbered_record(1);
  j.file->append(first);
  REQUIRE(h.until([&] { return j.file->pending_bytes() == 0; }));
  auto before = h.loop->stats().completions;
  for (uint64_t i = 2; i <= 50; ++i) {
    auto r = numbered_record(i);
    j.file->append(r);
  }
  REQUIRE(h.until([&] { return j.file->pending_bytes() == 0; }));
  CHECK(h.loop->stats().completions - before == 1);
  // Nothing armed: a turn that may wait would wait for ever, one that may not finds nothing.
  REQUIRE(h.until([&] { return h.loop->in_flight() == 0; }));
  CHECK_FALSE(h.loop->turn(false));
  close_journal(h, j.file);
}

TEST_CASE("journal: durable answers once the records are on disk", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.flush_delay = 1h; // It is `durable` that makes it go.
  auto j = open_journal(h, memory.view(), dir.path, policy);
  CHECK(wait_durable(h, *j.file).ok());
  for (uint64_t i = 1; i <= 3; ++i) {
    auto r = numbered_record(i);
    j.file->append(r);
  }
  CHECK(wait_durable(h, *j.file).ok());
  CHECK(j.file->pending_bytes() == 0);
  auto files = files_named(dir.path, "segment.");
  REQUIRE(files.size() == 1);
  CHECK(read_bytes(files[0]).size() == j.file->disk_bytes());
  CHECK(wait_durable(h, *j.file).ok());
  close_journal(h, j.file);
}

TEST_CASE("journal: records cross the ring's end whole", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(4096);
  auto j = open_journal(h, memory.view(), dir.path);
  uint64_t n = 0;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 7; ++i) {
      ++n;
      auto r = numbered_record(n, 20 + n % 97);
      j.file->append(r);
    }
    REQUIRE(wait_durable(h, *j.file).ok());
  }
  close_journal(h, j.file);
  auto again = open_journal(h, memory.view(), dir.path);
  REQUIRE_FALSE(again.failure);
  REQUIRE(again.records.size() == n);
  for (uint64_t i = 1; i <= n; ++i)
    REQUIRE(again.records[i - 1].restored().what() ==
            numbered_record(i, 20 + i % 97).restored().what());
  close_journal(h, again.file);
}

TEST_CASE("journal: what does not fit into the arena waits behind it, counted", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(4096);
  auto j = open_journal(h, memory.view(), dir.path);
  for (uint64_t i = 1; i <= 300; ++i) { // No turn of the loop in between: a disk that hangs.
    auto r = numbered_record(i, 100);
    j.file->append(r);
  }
  CHECK(j.file->at_risk() > 250);
  auto room = j.file->room();
  REQUIRE_FALSE(room.ok());
  CHECK(room.why().code == ec::resource_exhausted);
  auto unread = read_all(h, *j.file, 0, 1000);
  require_numbered(unread, 300, 100);
  REQUIRE(h.until([&] { return j.file->pending_bytes() == 0; }));
  CHECK(j.file->at_risk() == 0);
  CHECK(j.file->room().ok());
  close_journal(h, j.file);
  auto again = open_journal(h, memory.view(), dir.path);
  require_numbered(again.records, 300, 100);
  close_journal(h, again.file);
}

TEST_CASE("journal: a record larger than the arena is kept", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(4096);
  auto j = open_journal(h, memory.view(), dir.path);
  for (uint64_t i = 1; i <= 9; ++i) {
    auto r = numbered_record(i, i % 3 == 0 ? 20000 : 50);
    j.file->append(r);
  }
  REQUIRE(wait_durable(h, *j.file).ok());
  for (uint64_t i = 10; i <= 12; ++i) {
    auto r = numbered_record(i, 50);
    j.file->append(r);
  }
  auto crash = memory.copy(); // The small ones behind are in the arena only.
  REQUIRE(wait_durable(h, *j.file).ok());
  close_journal(h, j.file);
  auto again = open_journal(h, memory.view(), dir.path);
  REQUIRE_FALSE(again.failure);
  REQUIRE(again.records.size() == 12);
  CHECK(again.records[8].restored().what().size() == 20000);
  close_journal(h, again.file);
}

TEST_CASE("journal: a full segment makes a snapshot, and old ones go beyond the bounds",
          "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.segment_bytes = 4096;
  policy.keep_bytes = 10000;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  uint64_t asked = 0;
  j.file->on_snapshot([&] {
    ++asked;
    journal::Snapshot s;
    s.set_next_serial(1000 + j.file->last_seq());
    return std::make_unique<whole_snapshot>(s);
  });
  const uint64_t n = fill(h, j, asked, 6);
  REQUIRE(h.until([&] {
    return h.loop->in_flight() == 0 && files_named(dir.path, "snapshot.").size() == 2;
  }));
  CHECK(j.file->first_kept_seq() > 1);
  CHECK(j.file->disk_bytes() < 20000);

  auto kept = read_all(h, *j.file, j.file->first_kept_seq() - 1, 700);
  require_numbered(kept, n, 20, j.file->first_kept_seq());
  auto older = read_now(h, *j.file, 0, 1 << 20);
  REQUIRE(older.ok());
  REQUIRE(older->front().body_case() == journal::Record::kGap);
  CHECK(older->front().gap().from_seq() == 1);
  CHECK(older->front().gap().to_seq() == j.file->first_kept_seq() - 1);
  CHECK((*older)[1].seq() == j.file->first_kept_seq());
  close_journal(h, j.file);

  auto again = open_journal(h, memory.view(), dir.path, policy);
  REQUIRE_FALSE(again.failure);
  CHECK(again.report.snapshot_seq > 0);
  CHECK(again.snapshot.next_serial() == 1000 + again.report.snapshot_seq);
  require_numbered(again.records, n, 20, again.report.snapshot_seq + 1);
  CHECK(again.file->last_seq() == n);

  close_journal(h, again.file);
  SECTION("a damaged newest snapshot has the one before to stand in") {
    auto snapshots = files_named(dir.path, "snapshot.");
    auto bytes = read_bytes(snapshots.back());
    bytes.back() ^= 1;
    write_bytes(snapshots.back(), bytes);
    auto third = open_journal(h, memory.view(), dir.path, policy);
    REQUIRE_FALSE(third.failure);
    CHECK(third.report.snapshot_seq < again.report.snapshot_seq);
    CHECK(third.report.notes.size() == 1);
    require_numbered(third.records, n, 20, third.report.snapshot_seq + 1);
    close_journal(h, third.file);
  }
  SECTION("with both damaged the first one is named") {
    for (const auto& path : files_named(dir.path, "snapshot.")) {
      auto bytes = read_bytes(path);
      bytes[20] ^= 1;
      write_bytes(path, bytes);
    }
    auto third = open_journal(h, memory.view(), dir.path, policy);
    REQUIRE(third.failure);
    CHECK(third.failure->code == ec::data_loss);
    CHECK(third.failure->message.find("snapshot.") != std::string::npos);
  }
}

namespace {

/// A snapshot of many pieces, which notes the turns in which they are asked for.
class slow_snapshot final : public snapshot_pieces {
public:
  slow_snapshot(io::loop& l, int n, std::vector<uint64_t>& turns)
    : loop_(l), left_(n), turns_(turns) {}
  bool more(std::string& to, size_t bytes) override {
    CHECK(bytes == 100);
    turns_.push_back(loop_.stats().turns);
    journal::Snapshot piece;
    piece.add_containers()->set_id("c" + std::to_string(left_));
    piece.AppendToString(&to);
    return --left_ > 0;
  }

private:
  io::loop& loop_;
  int left_;
  std::vector<uint64_t>& turns_;
};

} // namespace

TEST_CASE("journal: a snapshot is made a piece a turn, of the moment at which it was begun",
          "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.segment_bytes = 2048;
  policy.snapshot_piece = 100;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  std::vector<uint64_t> turns;
  uint64_t begun = 0;
  j.file->on_snapshot([&]() -> std::unique_ptr<snapshot_pieces> {
    if (begun != 0)
      return std::make_unique<whole_snapshot>(journal::Snapshot());
    begun = j.file->last_seq();
    return std::make_unique<slow_snapshot>(*h.loop, 20, turns);
  });
  uint64_t n = 0;
  const auto append = [&] {
    auto r = numbered_record(++n);
    j.file->append(r);
  };
  while (begun == 0) {
    append();
    REQUIRE(wait_durable(h, *j.file).ok());
  }
  const auto snapshots = [&dir] {
    auto all = files_named(dir.path, "snapshot.");
    std::erase_if(all, [](const auto& name) { return name.ends_with(".tmp"); });
    return all.size();
  };
  SECTION("records come between the pieces") {
    REQUIRE(h.until([&] {
      append();
      CHECK((turns.size() == 20 || snapshots() == 0));
      return snapshots() > 0;
    }));
    REQUIRE(turns.size() == 20);
    CHECK(std::adjacent_find(turns.begin(), turns.end()) == turns.end()); // Each in its own.
    close_journal(h, j.file);
    auto again = open_journal(h, memory.view(), dir.path, policy);
    REQUIRE_FALSE(again.failure);
    CHECK(again.report.snapshot_seq == begun);
    CHECK(again.snapshot.containers_size() == 20);
    require_numbered(again.records, n, 20, begun + 1);
    close_journal(h, again.file);
  }
  SECTION("an orderly end comes between the pieces") {
    REQUIRE(h.until([&] { return turns.size() >= 3; }));
    const auto made = turns.size();
    REQUIRE(made < 20);
    close_journal(h, j.file);
    CHECK(turns.size() == made);
    CHECK(snapshots() == 0);
    auto again = open_journal(h, memory.view(), dir.path, policy);
    REQUIRE_FALSE(again.failure);
    require_numbered(again.records, n);
    close_journal(h, again.file);
  }
}

TEST_CASE("journal: age removes what no snapshot needs", "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory;
  journal_policy policy;
  policy.segment_bytes = 2048;
  policy.keep_age = 0ns;
  auto j = open_journal(h, memory.view(), dir.path, policy);
  j.file->on_snapshot([] { return std::make_unique<whole_snapshot>(journal::Snapshot()); });
  for (uint64_t n = 1; n <= 400; ++n) {
    auto r = numbered_record(n);
    j.file->append(r);
    if (n % 10 == 0)
      REQUIRE(wait_durable(h, *j.file).ok());
  }
  REQUIRE(h.until([&] { return h.loop->in_flight() == 0; }));
  CHECK(j.file->first_kept_seq() > 200);
  close_journal(h, j.file);
  auto again = open_journal(h, memory.view(), dir.path, policy);
  REQUIRE_FALSE(again.failure);
  CHECK(again.file->last_seq() == 400);
  close_journal(h, again.file);
}
