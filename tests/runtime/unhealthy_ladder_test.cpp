#include "runtime/unhealthy_ladder.hpp"

#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::runtime;

namespace {
using kind = unhealthy_act::kind;
constexpr int64_t sec = 1'000'000'000;
} // namespace

TEST_CASE("ladder: words there and back") {
  for (const char* text :
       {"restart", "signal=USR1:2,restart:3,stop", "capture,freeze", "kill:1000",
        "hook=/usr/bin/page:2,kill"})
    CHECK(text_of(*parse_ladder(text)) == text);
  for (const char* text : {"", "none"}) {
    REQUIRE(parse_ladder(text));
    CHECK(parse_ladder(text)->steps.empty());
  }
  CHECK(text_of(unhealthy_ladder{}) == "none");
  CHECK(text_of(*parse_ladder("restart:1")) == "restart");
}

TEST_CASE("ladder: what makes no sense is refused, with a cure") {
  std::string long_one = "capture";
  for (int i = 0; i < 16; ++i)
    long_one += ",capture";
  for (const std::string text :
       {"reboot", "restart:0", "restart:-1", "restart:", "restart:1001", "restart:3x", "hook",
        "hook=page", "hook=", "signal", "signal=NOPE", "restart,", ",restart", "none,restart",
        "none:2", "stop,restart", long_one.c_str()}) {
    INFO(text);
    const auto x = parse_ladder(text);
    REQUIRE_FALSE(x);
    CHECK(x.why().code == ec::invalid_argument);
    CHECK_FALSE(x.why().cure.empty());
  }
}

TEST_CASE("ladder: each step has its attempts, and the last goes on being made") {
  const auto ladder = *parse_ladder("signal=USR1:2,restart:3,stop");
  std::vector<std::string> made;
  for (uint32_t n = 0; n < 8; ++n) {
    const auto next = next_attempt(ladder, n);
    CHECK(next.number == n + 1);
    CHECK(next.steps == 3);
    made.push_back(text_of(next.act) + std::to_string(next.step) + std::to_string(next.attempt));
  }
  CHECK(made
        == std::vector<std::string>{"signal=USR111", "signal=USR112", "restart21", "restart22",
                                    "restart23", "stop31", "stop32", "stop33"});
  CHECK(ladder.goes_on(5));
  CHECK_FALSE(ladder.goes_on(6));
  CHECK(ladder.restarts());
  CHECK_FALSE(parse_ladder("kill")->restarts());
}

TEST_CASE("ladder: healthy for long enough, it begins anew") {
  auto ladder = *parse_ladder("restart");
  ladder.reset_after_ns = 10 * sec;
  CHECK_FALSE(begins_anew(ladder, 0, 1000 * sec)); // It never was.
  CHECK_FALSE(begins_anew(ladder, 1000 * sec, 1009 * sec));
  CHECK(begins_anew(ladder, 1000 * sec, 1010 * sec));
}
