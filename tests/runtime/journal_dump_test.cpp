#include "runtime/journal_dump.hpp"

#include <nlohmann/json.hpp>

#include "tests/runtime/journal_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

/// A journal of `n` records in several segments.
void make_journal(host& h, const std::string& dir, uint64_t n) {
  arena_memory memory;
  journal_policy policy;
  policy.segment_bytes = 600;
  auto j = open_journal(h, memory.view(), dir, policy);
  for (uint64_t i = 1; i <= n; ++i) {
    auto r = numbered_record(i);
    j.file->append(r);
    REQUIRE(wait_durable(h, *j.file).ok());
  }
  close_journal(h, j.file);
}

std::vector<std::string> lines_of(const std::string& dir, dump_options options,
                                  dump_report* report = nullptr) {
  std::vector<std::string> out;
  auto got = dump_journal(dir, options, [&out](std::string_view line) { out.emplace_back(line); });
  REQUIRE(got.ok());
  if (report != nullptr)
    *report = *got;
  return out;
}

void flip(const std::string& path, size_t at) {
  auto bytes = read_bytes(path);
  bytes.at(at) = char(bytes.at(at) ^ 8);
  write_bytes(path, bytes);
}

} // namespace

TEST_CASE("journal dump: every record is one line, as text or as JSON", "[uring]") {
  host h;
  temp_dir dir;
  make_journal(h, dir.path, 20);
  dump_report report;
  auto text = lines_of(dir.path, {}, &report);
  REQUIRE(text.size() == 20);
  CHECK_FALSE(report.damaged);
  CHECK(report.said.empty());
  CHECK(report.segments > 2);
  CHECK(report.last_seq == 20);
  CHECK(text[4].starts_with("5 20"));
  CHECK(text[4].find(" default/c5 restored { what: \"ffff") != std::string::npos);
  auto json = lines_of(dir.path, {true, 18});
  REQUIRE(json.size() == 2);
  auto r = nlohmann::json::parse(json[0]);
  CHECK(r["seq"] == 19);
  CHECK(r["container"] == "c19");
  CHECK(r["restored"]["what"] == std::string(20, char('a' + 19)));
}

TEST_CASE("journal dump: a record's JSON names every kind of field as it is") {
  journal::Record r;
  r.set_seq(1);
  r.set_time_ns(5);
  (*r.mutable_creating()->mutable_spec()->mutable_labels())["k"] = "v\n\xff";
  r.mutable_creating()->mutable_spec()->add_args("sh");
  r.mutable_creating()->set_start(true);
  auto line = record_json(r);
  CHECK(line.find('\n') == std::string::npos);
  auto j = nlohmann::json::parse(line);
  CHECK(j["creating"]["spec"]["args"] == nlohmann::json::array({"sh"}));
  CHECK(j["creating"]["spec"]["labels"].size() == 1);
  CHECK(j["creating"]["start"] == true);
  r.mutable_answered()->set_reply(std::string("\x00\xff\x10\x80", 4));
  CHECK(nlohmann::json::parse(record_json(r))["answered"]["reply"] == "AP8QgA==");
  r.mutable_state_restored()->set_state(v1::PAUSED);
  CHECK(nlohmann::json::parse(record_json(r))["state_restored"]["state"] == "PAUSED");
}

TEST_CASE("journal dump: a torn tail is said and needs no repair", "[uring]") {
  host h;
  temp_dir dir;
  make_journal(h, dir.path, 12);
  auto last = files_named(dir.path, "segment.").back();
  auto bytes = read_bytes(last);
  write_bytes(last, bytes.substr(0, bytes.size() - 5));
  dump_report report;
  CHECK(lines_of(dir.path, {}, &report).size() == 11);
  CHECK_FALSE(report.damaged);
  CHECK(report.torn_bytes > 0);
  REQUIRE(report.said.size() == 1);
  CHECK(report.said[0].find(last) != std::string::npos);
  auto repaired = repair_journal(dir.path);
  REQUIRE(repaired.ok());
  CHECK(files_named(dir.path, "damaged.").empty());
}

TEST_CASE("journal dump: damage anywhere is named, and a repair makes the journal start",
          "[uring]") {
  host h;
  temp_dir whole;
  make_journal(h, whole.path, 30);
  auto names = files_named(whole.path, "segment.");
  REQUIRE(names.size() >= 4);
  for (size_t which = 0; which < 3; ++which) {
    auto size = read_bytes(names[which]).size();
    for (size_t at = 0; at < size; at += 7) {
      if (at >= 8 && at < 12)
        continue; // The version: a newer one is refused, not repaired.
      temp_dir dir;
      fs::copy(whole.path, dir.path + "/j", fs::copy_options::recursive);
      auto j = dir.path + "/j";
      auto file = files_named(j, "segment.")[which];
      flip(file, at);
      INFO(file << " at " << at);
      dump_report report;
      auto lines = lines_of(j, {}, &report);
      REQUIRE(report.damaged);
      REQUIRE(lines.size() >= 29); // One record is lost, or (in a header) none.
      REQUIRE(report.said[0].find(file) != std::string::npos);
      arena_memory memory;
      auto refused = open_journal(h, memory.view(), j, {}, "boot-2");
      REQUIRE(refused.failure);
      REQUIRE(refused.failure->cure.find("--repair") != std::string::npos);

      auto repaired = repair_journal(j);
      REQUIRE(repaired.ok());
      REQUIRE(files_named(j, "damaged.").size() == 1);
      dump_report after;
      REQUIRE(lines_of(j, {}, &after).size() == 30); // The gap takes the place of the lost one.
      REQUIRE_FALSE(after.damaged);
      auto again = open_journal(h, memory.view(), j, {}, "boot-2");
      REQUIRE_FALSE(again.failure);
      REQUIRE(again.file->last_seq() == 30);
      close_journal(h, again.file);
    }
  }
}

TEST_CASE("journal dump: a missing segment and a damaged snapshot are repaired", "[uring]") {
  host h;
  temp_dir dir;
  make_journal(h, dir.path, 30);
  auto names = files_named(dir.path, "segment.");
  fs::remove(names[1]);
  write_bytes(dir.path + "/" + snapshot_name(3), "rubbish");
  dump_report report;
  auto lines = lines_of(dir.path, {}, &report);
  CHECK(report.damaged);
  CHECK(lines.size() < 30);
  auto repaired = repair_journal(dir.path);
  REQUIRE(repaired.ok());
  CHECK_FALSE(repaired->said.empty());
  arena_memory memory;
  auto again = open_journal(h, memory.view(), dir.path, {}, "boot-2");
  INFO((again.failure ? again.failure->message : ""));
  REQUIRE_FALSE(again.failure);
  CHECK(again.file->last_seq() == 30);
  CHECK(std::count_if(again.records.begin(), again.records.end(),
                      [](const auto& r) { return r.has_gap(); }) == 1);
  close_journal(h, again.file);
}

TEST_CASE("journal dump: a directory without a journal is said so") {
  temp_dir dir;
  auto got = dump_journal(dir.path, {}, [](std::string_view) {});
  REQUIRE_FALSE(got.ok());
  CHECK(got.why().code == ec::not_found);
  CHECK_FALSE(dump_journal(dir.path + "/none", {}, [](std::string_view) {}).ok());
}
