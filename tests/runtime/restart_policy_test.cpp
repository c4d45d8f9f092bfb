#include "runtime/restart_policy.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace gantry;
using namespace gantry::runtime;

namespace {

using verdict = restart_decision::verdict;

constexpr int64_t ms = 1'000'000;
constexpr int64_t second = 1000 * ms;
constexpr int64_t hour = 3600 * second;

run_end exit_with(int code, int64_t up = 0) {
  run_end out;
  out.exit_code = code;
  out.up_ns = up;
  return out;
}

run_end signalled(int signal) {
  run_end out;
  out.signal = signal;
  return out;
}

run_end by_person(run_end x) {
  x.by_person = true;
  return x;
}

restart_policy policy_of(std::string_view word) {
  auto p = parse_restart(word);
  REQUIRE(p);
  p->jitter = 0;
  return *p;
}

restart_decision decide(const restart_policy& p, const run_end& end,
                        const restart_history& history = {}, int64_t now = 0) {
  return decide_restart(p, history, end, now, 1);
}

/// What a container under this policy goes through that ends the same way each time.
struct life {
  restart_policy policy;
  restart_history history = {};
  int64_t now = 0;
  std::vector<int64_t> delays = {};
  restart_decision last = {};

  /// Ends, and is started again: false once the policy has had enough.
  bool end(const run_end& how) {
    now += how.up_ns;
    last = decide_restart(policy, history, how, now, 7);
    history = last.next;
    if (last.what != verdict::restart)
      return false;
    delays.push_back(last.at_ns - now);
    now = last.at_ns;
    return true;
  }
};

bool refused(const result<void>& x) { return !x && x.why().code == ec::invalid_argument; }

} // namespace

TEST_CASE("restart: each word on each kind of end") {
  struct row {
    const char* word;
    run_end end;
    verdict expected;
  };
  run_end oom = signalled(9);
  oom.oom = true;
  run_end ill = signalled(15);
  ill.unhealthy = true;
  run_end not_started;
  not_started.start_failed = true;
  const std::vector<row> rows{
    {"no", exit_with(1), verdict::stay},
    {"no", oom, verdict::stay},
    {"no", ill, verdict::stay},
    {"on-failure", exit_with(0), verdict::stay},
    {"on-failure", exit_with(3), verdict::restart},
    {"on-failure", signalled(11), verdict::restart},
    {"on-failure", oom, verdict::restart},
    {"on-failure", ill, verdict::restart},
    {"on-failure", not_started, verdict::restart},
    {"on-failure", run_end{}, verdict::restart}, // nobody knows: no success
    {"always", exit_with(0), verdict::restart},
    {"always", exit_with(3), verdict::restart},
    {"unless-stopped", exit_with(0), verdict::restart},
    {"unless-stopped", signalled(9), verdict::restart},
  };
  for (const auto& r : rows) {
    INFO(r.word << ": " << words_of(r.end));
    CHECK(decide(policy_of(r.word), r.end).what == r.expected);
  }
}

TEST_CASE("restart: what a person ends is never started again, and counts anew") {
  for (const char* word : {"no", "on-failure", "on-failure:2", "always", "unless-stopped"})
    for (auto end : {exit_with(0), exit_with(3), signalled(9), signalled(15)}) {
      auto p = policy_of(word);
      p.rules.push_back({.what = restart_rule::kind::exit_code, .first = 0, .last = 255,
                         .act = restart_act::restart});
      p.attempts = 3;
      p.window_ns = hour;
      const auto d = decide(p, by_person(end), {.in_a_row = 2, .total = 9, .recent = {1, 2}});
      CHECK(d.what == verdict::stay);
      CHECK(d.next == restart_history{.in_a_row = 0, .total = 9, .recent = {}});
      CHECK(d.reason == "somebody ended it");
    }
}

TEST_CASE("restart: the delay grows by the factor up to the cap") {
  auto p = policy_of("always");
  CHECK(restart_delay(p, 1) == 100 * ms);
  CHECK(restart_delay(p, 2) == 200 * ms);
  CHECK(restart_delay(p, 5) == 1600 * ms);
  CHECK(restart_delay(p, 10) == 51200 * ms);
  CHECK(restart_delay(p, 11) == 60 * second);
  CHECK(restart_delay(p, 4'000'000'000) == 60 * second);
  p.factor = 1;
  CHECK(restart_delay(p, 1000) == 100 * ms);
}

TEST_CASE("restart: a day of a program that ends at once, and its delays") {
  life l{policy_of("always")};
  while (l.now < 24 * hour)
    REQUIRE(l.end(exit_with(1, 5 * ms)));
  CHECK(l.delays.size() == 10 + 1439); // Ten short ones, 102.3 s in all, then one a minute.
  CHECK(l.delays[0] == 100 * ms);
  CHECK(l.delays[9] == 51200 * ms);
  CHECK(l.delays.back() == 60 * second);
  CHECK(l.history.in_a_row == l.delays.size());
  CHECK(l.history.total == l.delays.size());
  CHECK(l.history.recent.empty()); // No window: nothing to remember.
}

TEST_CASE("restart: up for long enough, it begins anew") {
  life l{policy_of("always")};
  for (int i = 0; i < 6; ++i)
    REQUIRE(l.end(exit_with(1, 9999 * ms)));
  CHECK(l.delays.back() == 3200 * ms);
  REQUIRE(l.end(exit_with(1, 10 * second)));
  CHECK(l.delays.back() == 100 * ms);
  CHECK(l.last.attempt == 1);
  CHECK(l.history.total == 7);
  run_end back_in_time = exit_with(1);
  back_in_time.up_ns = -hour; // The clock was set back: no long life.
  REQUIRE(l.end(back_in_time));
  CHECK(l.last.attempt == 2);
}

TEST_CASE("restart: on-failure counts what comes in a row, then it is dead") {
  life l{policy_of("on-failure:3")};
  for (uint32_t i = 1; i <= 3; ++i) {
    REQUIRE(l.end(exit_with(7)));
    CHECK(l.last.attempt == i);
    CHECK(l.last.of == 3);
    CHECK(l.last.reason == "exit code 7");
  }
  CHECK_FALSE(l.end(exit_with(7)));
  CHECK(l.last.what == verdict::dead);
  CHECK(l.last.reason == "exit code 7, after 3 restarts in a row");
  // A long life in between, and it may fail three times again.
  life other{policy_of("on-failure:3")};
  for (int i = 0; i < 30; ++i)
    REQUIRE(other.end(exit_with(7, i % 3 == 0 ? hour : 0)));
  CHECK(other.history.total == 30);
}

TEST_CASE("restart: so many attempts within a window, then it is dead") {
  auto p = policy_of("always");
  p.factor = 1;
  p.delay_ns = second;
  p.attempts = 5;
  p.window_ns = 60 * second;
  life l{p};
  for (int i = 0; i < 5; ++i)
    REQUIRE(l.end(exit_with(1)));
  CHECK_FALSE(l.end(exit_with(1)));
  CHECK(l.last.what == verdict::dead);
  CHECK(l.last.reason == "exit code 1, after 5 restarts within 60 s");
  // Each of its lives is long enough that never more than five lie in a window.
  life slow{p};
  while (slow.now < 12 * hour)
    REQUIRE(slow.end(exit_with(1, 12 * second)));
  CHECK(slow.history.recent.size() <= 5);
  CHECK(slow.history.total > 3000);
}

TEST_CASE("restart: times that have not come yet count as now") {
  auto p = policy_of("always");
  p.attempts = 2;
  p.window_ns = 60 * second;
  const restart_history set_back{.in_a_row = 0, .total = 2, .recent = {hour, hour + second}};
  CHECK(decide(p, exit_with(1), set_back, second).what == verdict::dead);
  auto one = set_back;
  one.recent.pop_back();
  const auto d = decide(p, exit_with(1), one, second);
  CHECK(d.what == verdict::restart);
  CHECK(d.next.recent == std::vector<int64_t>{second, second});
}

TEST_CASE("restart: the first rule that matches decides, before the word") {
  auto p = policy_of("always");
  for (const char* text :
       {"exit=0:stay", "exit=64-78:dead", "exit=70:restart", "signal=SEGV:dead", "oom:dead"}) {
    auto r = parse_restart_rule(text);
    REQUIRE(r);
    CHECK(text_of(*r) == text);
    p.rules.push_back(*r);
  }
  CHECK(check_restart(p, false));
  CHECK(decide(p, exit_with(0)).what == verdict::stay);
  CHECK(decide(p, exit_with(1)).what == verdict::restart);
  CHECK(decide(p, exit_with(70)).what == verdict::dead); // The range stands before it.
  CHECK(decide(p, exit_with(70)).reason == "exit code 70: a rule gives it up");
  CHECK(decide(p, signalled(11)).what == verdict::dead);
  CHECK(decide(p, signalled(9)).what == verdict::restart);
  auto oom = signalled(9);
  oom.oom = true;
  CHECK(decide(p, oom).reason == "out of memory: a rule gives it up");
  auto never = policy_of("no");
  never.rules.push_back(*parse_restart_rule("unhealthy:restart"));
  auto ill = exit_with(0);
  CHECK(decide(never, ill).what == verdict::stay);
  ill.unhealthy = true;
  CHECK(decide(never, ill).what == verdict::restart);
  CHECK(never.restarts());
}

TEST_CASE("restart: jitter shortens, is the same for the same seed, and spreads") {
  auto p = policy_of("always");
  p.jitter = 0.5;
  std::set<int64_t> seen;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const auto d = decide_restart(p, {}, exit_with(1), 0, seed);
    CHECK(d.at_ns == decide_restart(p, {}, exit_with(1), 0, seed).at_ns);
    CHECK(d.at_ns > 50 * ms);
    CHECK(d.at_ns <= 100 * ms);
    seen.insert(d.at_ns / ms);
  }
  CHECK(seen.size() >= 45); // Of the 50 milliseconds there are.
}

TEST_CASE("restart: the words that are understood") {
  for (const char* text : {"no", "on-failure", "on-failure:1", "on-failure:100", "always",
                           "unless-stopped"})
    CHECK(text_of(policy_of(text)) == text);
  for (const char* text : {"", "yes", "Always", "on-failure:", "on-failure:0", "on-failure:-1",
                           "on-failure:5 ", "on-failure:five", "on-failure:99999999999", "always:3",
                           "no:1", "unless-stopped:2", ":3"}) {
    INFO(text);
    const auto p = parse_restart(text);
    REQUIRE_FALSE(p);
    CHECK(p.why().code == ec::invalid_argument);
    CHECK_FALSE(p.why().cure.empty());
  }
  for (const char* text :
       {"", "oom", "exit:stay", "exit=:stay", "exit=256:stay", "exit=9-3:stay", "exit=1-:stay",
        "exit=-1:stay", "exit=1:maybe", "exit=1:", "signal=FOO:dead", "signal=:dead", "oom=1:dead",
        "healthy:restart"}) {
    INFO(text);
    CHECK_FALSE(parse_restart_rule(text));
  }
}

TEST_CASE("restart: a policy that makes no sense is refused") {
  const auto fine = policy_of("on-failure:5");
  CHECK(check_restart(fine, false));
  CHECK(check_restart(restart_policy{}, true));
  CHECK(refused(check_restart(fine, true))); // with --rm
  auto with_rule = restart_policy{};
  with_rule.rules.push_back(*parse_restart_rule("oom:restart"));
  CHECK(refused(check_restart(with_rule, true)));

  auto broken = [&fine](auto change) {
    auto p = fine;
    change(p);
    return refused(check_restart(p, false));
  };
  for (const int64_t none : {int64_t{0}, int64_t{-1}, -hour, INT64_MAX}) {
    CHECK(broken([none](auto& p) { p.delay_ns = none; }));
    CHECK(broken([none](auto& p) { p.delay_max_ns = none; }));
    CHECK(broken([none](auto& p) { p.reset_after_ns = none; }));
    CHECK(broken([none](auto& p) { p.attempts = 1, p.window_ns = none; }));
  }
  CHECK(broken([](auto& p) { p.delay_ns = 2 * p.delay_max_ns; }));
  CHECK(broken([](auto& p) { p.factor = 0.5; }));
  CHECK(broken([](auto& p) { p.factor = std::numeric_limits<double>::quiet_NaN(); }));
  CHECK(broken([](auto& p) { p.jitter = 1.5; }));
  CHECK(broken([](auto& p) { p.jitter = -0.1; }));
  CHECK(broken([](auto& p) { p.window_ns = hour; }));
  CHECK(broken([](auto& p) { p.attempts = 1001, p.window_ns = hour; }));
  CHECK(broken([](auto& p) { p.rules.resize(65); }));
  CHECK(broken([](auto& p) { p.rules.push_back({.first = 5, .last = 4}); }));
  CHECK(broken([](auto& p) { p.when = restart_when::always; })); // with retries
}
