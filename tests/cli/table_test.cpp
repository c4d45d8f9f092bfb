#include "apps/gantry/table.hpp"

#include <catch2/catch.hpp>

#include "apps/gantry/show.hpp"

using namespace gantry::cli;
namespace v1 = gantry::v1;

TEST_CASE("table: columns line up by characters and nothing trails") {
  table t({"ID", "STATE"});
  t.add({"grün", "Up"});
  t.add({"x", ""});
  CHECK(t.text() == "ID     STATE\ngrün   Up\nx\n");
}

TEST_CASE("table: a text is cut between characters") {
  CHECK(shortened("grün", 4) == "grün");
  CHECK(shortened("grüne", 4) == "grü…");
  CHECK(shortened("", 4).empty());
}

TEST_CASE("show: a state says how it came about") {
  constexpr int64_t s = 1'000'000'000;
  v1::Container c;
  c.set_state(v1::RUNNING);
  c.set_started_at_ns(0);
  CHECK(container_state_text(c, 180 * s) == "Up 3 minutes");
  c.set_state(v1::PAUSED);
  CHECK(container_state_text(c, 180 * s) == "Up 3 minutes (paused)");
  c.set_state(v1::STOPPED);
  c.mutable_exit()->set_exit_code(0);
  CHECK(container_state_text(c, 120 * s) == "Exited (0) 2 minutes ago");
  c.mutable_exit()->clear_exit_code();
  c.mutable_exit()->set_signal(9);
  c.mutable_exit()->set_oom(true);
  CHECK(container_state_text(c, 120 * s) == "Exited (SIGKILL, OOM) 2 minutes ago");
  c.mutable_exit()->set_signal(0);
  c.mutable_exit()->set_oom(false);
  CHECK(container_state_text(c, 120 * s) == "Exited (unknown) 2 minutes ago");
  c.set_state(v1::STOPPING);
  c.set_stuck("delete 12 s");
  CHECK(container_state_text(c, 0) == "Stopping [stuck: delete 12 s]");
}

TEST_CASE("show: an event is one line, whatever its message holds") {
  v1::Event e;
  e.set_type("start-failed");
  e.set_message("first\nsecond\x1b[31m");
  CHECK(event_line(e, false).find_first_of("\n\x1b") == std::string::npos);
}
