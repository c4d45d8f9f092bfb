#include <catch2/catch.hpp>

#include "runtime/journal.hpp"
#include "tests/runtime/world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

journal::Snapshot parsed(const std::string& bytes) {
  journal::Snapshot s;
  REQUIRE(s.ParseFromString(bytes));
  return s;
}

/// In whatever order: a container that changed is packed before its turn.
bool alike(const journal::Snapshot& a, const journal::Snapshot& b, std::string& how) {
  google::protobuf::util::MessageDifferencer d;
  const auto* type = journal::Snapshot::descriptor();
  const auto* entry = journal::ContainerState::descriptor();
  d.TreatAsMapWithMultipleFieldsAsKey(
    type->FindFieldByName("containers"),
    {entry->FindFieldByName("namespace"), entry->FindFieldByName("id")});
  d.ReportDifferencesToString(&how);
  return d.Compare(a, b);
}

world_policy small() {
  world_policy policy;
  policy.max_finished_exits = 5;
  policy.max_requests = 7;
  policy.finished_age_ns = 1'200'000'000'000;
  return policy;
}

} // namespace

TEST_CASE("world: a snapshot in pieces is of one moment, whatever comes between them") {
  size_t overtaken = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    scribe s;
    world w(small());
    for (int i = 0; i < 60; ++i)
      w.apply(random_record(s, random));
    for (int snapshot = 0; snapshot < 4; ++snapshot) {
      const auto then = w.save();
      auto pieces = w.pack();
      std::string bytes;
      std::vector<journal::Record> later;
      while (pieces->more(bytes, 1 + random() % 200))
        for (auto n = random() % 4; n > 0; --n) {
          later.push_back(random_record(s, random));
          w.apply(later.back());
        }
      pieces.reset();
      std::string how;
      const bool one_moment = alike(then, parsed(bytes), how);
      INFO("snapshot " << snapshot << ": " << how);
      REQUIRE(one_moment);
      // What a recovery does: no record is missing, none comes twice.
      world again(small());
      again.load(parsed(bytes));
      for (const auto& r : later)
        again.apply(r);
      const bool arrived = same(w.save(), again.save(), &how);
      INFO(how);
      REQUIRE(arrived);
      overtaken += same(then, w.save()) ? 0 : 1;
    }
  }
  CHECK(overtaken > 400); // It did change meanwhile.
}

TEST_CASE("world: a snapshot that is given up leaves nothing behind, and the next one is whole") {
  running_web x;
  auto given_up = x.w.pack();
  std::string bytes;
  (void)given_up->more(bytes, 1);
  given_up.reset();
  x.w.apply(x.s.died("init", 1));
  x.w.apply(x.s.exited("init", 1));
  bytes.clear();
  auto pieces = x.w.pack();
  while (pieces->more(bytes, 1)) {
  }
  CHECK(same(x.w.save(), parsed(bytes)));
}

TEST_CASE("world: a piece of a snapshot is bounded, of containers and of what is remembered") {
  world w;
  scribe s;
  for (int i = 0; i < 3000; ++i) {
    s.container = "c" + std::to_string(i);
    w.apply(s.creating());
    w.apply(s.created());
    if (i % 2 == 0) {
      w.apply(s.died("init", 1));
      w.apply(s.exited("init", 1));
      auto gone = s.record();
      gone.mutable_deleted();
      w.apply(gone);
    }
    auto answer = s.record();
    answer.set_request_id("request-" + std::to_string(i));
    answer.mutable_answered()->set_reply(std::string(100, 'r'));
    w.apply(answer);
  }
  const auto then = w.save();
  auto pieces = w.pack();
  std::string bytes;
  size_t n = 1;
  for (size_t before = 0; pieces->more(bytes, 10'000); before = bytes.size(), ++n)
    REQUIRE(bytes.size() - before < 12'000);
  CHECK(n >= bytes.size() / 12'000);
  CHECK(same(then, parsed(bytes)));
}
