#include "runtime/journal.hpp"

#include <sys/mount.h>

#include "tests/runtime/journal_rig.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using namespace std::chrono_literals;

namespace {

void append_some(opened& j, uint64_t from, uint64_t to, size_t text) {
  for (uint64_t i = from; i <= to; ++i) {
    auto r = numbered_record(i, text);
    REQUIRE(j.file->append(r) == i);
  }
}

} // namespace

TEST_CASE("journal: a full disk takes exits on the spare, refuses creates, recovers",
          "[uring][root]") {
  host h;
  temp_dir dir;
  auto mounted = dir.path + "/m";
  fs::create_directory(mounted);
  REQUIRE(::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=1m,mode=700") == 0);
  struct unmounts {
    std::string at;
    ~unmounts() { ::umount2(at.c_str(), MNT_DETACH); }
  } guard{mounted};
  arena_memory memory;
  journal_policy policy;
  policy.spare_bytes = 256u << 10;
  auto j = open_journal(h, memory.view(), mounted + "/j", policy);
  append_some(j, 1, 10, 20);
  REQUIRE(wait_durable(h, *j.file).ok());
  REQUIRE(h.until([&] { return h.loop->in_flight() == 0; }));
  CHECK(j.file->room().ok());

  // Something else takes all the rest.
  std::string filler(4096, 'x');
  {
    std::ofstream out(mounted + "/filler", std::ios::binary);
    while (out.write(filler.data(), long(filler.size())) && out.flush())
      ;
  }
  append_some(j, 11, 110, 1000); // More than the segment's last page holds.
  REQUIRE(wait_durable(h, *j.file).ok());
  CHECK(j.file->disk_full());
  REQUIRE_FALSE(j.file->room().ok());
  CHECK(j.file->room().why().code == ec::disk_full);
  CHECK(j.file->room().why().message.find(mounted) != std::string::npos);
  CHECK(files_named(mounted + "/j", "segment.").size() == 2);

  append_some(j, 111, 330, 1000); // The spare has its end, too: then the arena keeps them.
  auto how = wait_durable(h, *j.file);
  REQUIRE_FALSE(how.ok());
  CHECK(how.why().code == ec::disk_full);
  auto killed = memory.copy();
  {
    temp_dir elsewhere;
    fs::copy(mounted + "/j", elsewhere.path + "/j", fs::copy_options::recursive);
    auto again = open_journal(h, killed->view(), elsewhere.path + "/j", policy);
    REQUIRE_FALSE(again.failure);
    CHECK(again.records.size() == 330);
    close_journal(h, again.file);
  }
  fs::remove(mounted + "/filler");
  REQUIRE(h.until([&] { return j.file->pending_bytes() == 0 && !j.file->disk_full(); }));
  CHECK(j.file->room().ok());
  REQUIRE(wait_durable(h, *j.file).ok());
  close_journal(h, j.file);
  arena_memory fresh;
  auto again = open_journal(h, fresh.view(), mounted + "/j", policy, "boot-2");
  REQUIRE_FALSE(again.failure);
  REQUIRE(again.records.size() == 330);
  for (uint64_t i = 0; i < 330; ++i)
    REQUIRE(again.records[i].seq() == i + 1);
  close_journal(h, again.file);
}

TEST_CASE("journal: two hundred containers are there within ten milliseconds",
          "[uring]") {
  host h;
  temp_dir dir;
  arena_memory memory(4u << 20);
  auto j = open_journal(h, memory.view(), dir.path);
  append_some(j, 1, 1000, 300); // Creating, Created, Started and two more of each.
  close_journal(h, j.file);
  auto best = io::nanoseconds::max();
  for (int i = 0; i < 5; ++i) {
    auto begin = h.kernel->monotonic();
    auto again = open_journal(h, memory.view(), dir.path);
    best = std::min(best, h.kernel->monotonic() - begin);
    REQUIRE(again.records.size() == 1000);
    close_journal(h, again.file);
  }
  WARN("recovery of 1,000 records: " << double(best.count()) / 1e6 << " ms");
  CHECK(best < tests::scaled(10ms));
}
