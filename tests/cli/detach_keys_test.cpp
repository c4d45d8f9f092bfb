#include "apps/gantry/detach_keys.hpp"

#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::cli;

namespace {

std::string bytes(std::string_view keys) {
  auto parsed = parse_detach_keys(keys);
  REQUIRE(parsed.ok());
  return *parsed;
}

} // namespace

TEST_CASE("detach keys: what docker understands is understood") {
  CHECK(bytes("ctrl-p,ctrl-q") == "\x10\x11");
  CHECK(bytes("a") == "a");
  CHECK(bytes("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_")
        == std::string("\0\x1b\x1c\x1d\x1e\x1f", 6));
  CHECK(bytes("ctrl-a,x,Z,-") == "\x01xZ-");
  CHECK(bytes("").empty());
  for (const char* bad : {"ctrl-", "ctrl-P", "ctrl-1", "ab", ",", "a,", "a,,b", "ctrl-pq", "DEL"}) {
    INFO(bad);
    auto x = parse_detach_keys(bad);
    REQUIRE_FALSE(x.ok());
    CHECK(x.why().code == ec::invalid_argument);
  }
}

TEST_CASE("detach keys: the sequence detaches, its beginning alone is passed on") {
  detach_filter f(bytes("ctrl-p,ctrl-q"));
  CHECK(f.feed("ls\r").pass == "ls\r");
  CHECK(f.feed("\x10").pass.empty());
  CHECK(f.holds());
  CHECK(f.feed("x").pass == "\x10x"); // Cut by another key.
  CHECK_FALSE(f.holds());
  CHECK(f.feed("a\x10").pass == "a");
  CHECK(f.let_go() == "\x10"); // Cut by time.
  CHECK_FALSE(f.holds());
  CHECK_FALSE(f.feed("\x11").detached); // Its second half alone is nothing.
  CHECK(f.feed("\x10\x10").pass == "\x10");
  const auto end = f.feed("\x11rest");
  CHECK(end.detached);
  CHECK(end.pass.empty());
}

TEST_CASE("detach keys: a sequence that contains its own beginning is found") {
  detach_filter f("aab");
  auto x = f.feed("aaab");
  CHECK(x.detached);
  CHECK(x.pass == "a");
  detach_filter g("abac");
  x = g.feed("ababac");
  CHECK(x.detached);
  CHECK(x.pass == "ab");
  detach_filter none("");
  CHECK(none.feed("\x10\x11").pass == "\x10\x11");
  CHECK_FALSE(none.holds());
}
