#include <algorithm>
#include <atomic>
#include <mutex>
#include <poll.h>

#include "tests/library/rig.hpp"

using namespace gantry;
using namespace gantry::testing;

namespace {

/// Waits for what comes by itself, with a deadline.
template <class F>
bool until(F holds) {
  for (const auto end = std::chrono::steady_clock::now() + 60s;
       std::chrono::steady_clock::now() < end; ::poll(nullptr, 0, 2))
    if (holds())
      return true;
  return false;
}

std::string line_of(int number) {
  std::string out;
  char c = 0;
  while (::read(number, &c, 1) == 1) {
    out += c;
    if (c == '\n')
      break;
  }
  return out;
}

void put(int number, const std::string& text) {
  REQUIRE(::write(number, text.data(), text.size()) == ssize_t(text.size()));
}

attachment joined(supervisor& s, attach_options what) {
  auto x = got(s.attach(std::move(what)));
  INFO((x ? "" : x.why().text()));
  REQUIRE(x.ok());
  return std::move(*x);
}

create_request echo(const rig& r) {
  auto req = r.run("a", {"/bin/sh", "-c", "while read x; do echo got $x; echo bad $x >&2; done"});
  req.spec.with_stdin = true;
  return req;
}

} // namespace

TEST_CASE("library: who is attached hears what comes, types, and leaves", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    const auto made = got(s.create(echo(r)));
    REQUIRE(made.ok());
    auto first = joined(s, {.ref = "a", .in = true});
    CHECK(first.instance() == made->instance);
    CHECK(first.run() == 1);
    CHECK_FALSE(first.terminal());
    auto second = joined(s, {.ref = "a", .err = false});
    CHECK(second.in() == -1); // It only reads.
    CHECK(second.err() == -1);
    put(first.in(), "one\n");
    CHECK(line_of(first.out()) == "got one\n");
    CHECK(line_of(first.err()) == "bad one\n");
    CHECK(line_of(second.out()) == "got one\n");
    CHECK(until([&] { return first.stdin_offset() == 4; }));
    CHECK(first.resize({.width = 80, .height = 25}).why().code == ec::wrong_state);

    const auto place = first.detach();
    CHECK(text_of(first.out()).empty());
    CHECK(text_of(first.err()).empty());
    CHECK_FALSE(first.exit());
    CHECK(first.detach() == place); // Again: nothing.
    CHECK(first.close().ok());
    auto third = joined(s, {.ref = "a", .in = true, .cursor = place});
    CHECK(third.stdin_offset() == 4);
    put(third.in(), "two\n");
    CHECK(line_of(third.out()) == "got two\n");
    CHECK(line_of(third.err()) == "bad two\n");
    CHECK(line_of(second.out()) == "got two\n");
    auto whole = joined(s, {.ref = "a", .replay = true});
    CHECK(line_of(whole.out()) == "got one\n");
    CHECK(line_of(whole.out()) == "got two\n");
    REQUIRE(got(s.kill({.ref = "a"})).ok());
    CHECK(text_of(whole.out()).empty());
    CHECK(text_of(whole.err()) == "bad one\nbad two\n");
    CHECK(until([&] { return whole.exit().has_value(); }));
    CHECK(whole.exit()->signal == 9);
    CHECK(whole.trouble().ok());
    CHECK(whole.left_out(1) == 0);
  });
}

TEST_CASE("library: an exec with a terminal is attached to, before it says anything",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "read x; stty size; echo err >&2; exit 5"});
    req.spec.with_stdin = req.spec.terminal = true;
    req.start = false;
    REQUIRE(got(s.create(req)).ok());
    std::promise<result<exit_report>> over;
    attach_options what{.ref = "a", .in = true};
    what.on_end = [&over](const result<exit_report>& x) { over.set_value(x); };
    auto io = joined(s, what);
    CHECK(io.terminal());
    CHECK(io.err() == -1);
    CHECK(io.resize({.width = 0, .height = 1}).why().code == ec::invalid_argument);
    CHECK(io.resize({.width = 90, .height = 20}).ok());
    CHECK(until([&] { return got(s.inspect("a"))->processes.at(0).terminal_size.width == 90; }));
    REQUIRE(got(s.start("a")).ok());
    put(io.in(), "\n");
    const auto said = text_of(io.out());
    CHECK(said.ends_with("20 90\r\nerr\r\n"));
    const auto end = got(over.get_future());
    REQUIRE(end.ok());
    CHECK(end->code == 5);
    auto reads = got(s.attach({.ref = "a", .replay = true})); // It has ended: the log has it.
    REQUIRE(reads.ok());
    CHECK(text_of(reads->out()) == said);

    REQUIRE(got(s.create(r.run("b", {"/bin/sleep", "1000"}))).ok());
    exec_request e{.ref = "b", .process = "e"};
    e.spec.args = {"/bin/cat"};
    e.spec.with_stdin = e.spec.terminal = true;
    REQUIRE(got(s.exec(e)).ok());
    auto exec = joined(s, {.ref = "b", .process = "e", .in = true});
    put(exec.in(), "word\n");
    CHECK(line_of(exec.out()) == "word\r\n"); // The terminal's echo
    CHECK(line_of(exec.out()) == "word\r\n"); // and cat's.
    auto reader = joined(s, {.ref = "b", .process = "e"});
    CHECK(reader.resize({.width = 9, .height = 9}).why().code == ec::permission_denied);
  });
}

TEST_CASE("library: input that was written arrives, also from who closes all and goes",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/cat"});
    req.spec.with_stdin = true;
    REQUIRE(got(s.create(req)).ok());
    std::string big(300'000, 'x');
    for (size_t at = 999; at < big.size(); at += 1000)
      big[at] = '\n'; // A line that is not finished is not in the log.
    {
      auto guest = joined(s, {.ref = "a", .in = true, .out = false, .err = false});
      CHECK(guest.out() == -1);
      for (size_t at = 0; at < big.size();)
        at += size_t(std::max<ssize_t>(0, ::write(guest.in(), big.data() + at, big.size() - at)));
      CHECK(guest.close().ok());
      CHECK(guest.close().ok());
    }
    const auto echoed = [&] { return got(s.inspect("a"))->processes.at(0).log.stdout_bytes; };
    CHECK(until([&] { return echoed() == big.size(); })); // Although nobody is attached any more.
    {
      auto last = joined(s, {.ref = "a", .in = true, .close_stdin = true});
      put(last.in(), "end\n");
    }
    CHECK(got(s.wait({.ref = "a"}))->exit.code == 0); // Its stdin has come to its end.
    auto log = got(s.open_io({.ref = "a"}));
    CHECK(text_of(log->out()) == big + "end\n");
  });
}

TEST_CASE("library: a slow reader is waited for, or goes without and is told how much",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    constexpr uint64_t lines = 1'500'000; // Ten times what can wait anywhere.
    const auto script = "read x; seq 1000001 2500000";
    for (const auto* id : {"held", "left"}) {
      auto req = r.run(id, {"/bin/sh", "-c", script});
      req.spec.with_stdin = true;
      REQUIRE(got(s.create(req)).ok());
    }
    auto held = joined(s, {.ref = "held", .in = true, .patience = 600s, .queue_bytes = 64u << 10});
    auto waits = s.wait({.ref = "held"});
    put(held.in(), "\n");
    auto text = line_of(held.out());
    CHECK(waits.wait_for(0s) != std::future_status::ready); // It waits for us.
    text += text_of(held.out());
    CHECK(text.size() == lines * 8);
    CHECK(text.ends_with("\n2500000\n"));
    CHECK(held.left_out(1) == 0);
    CHECK(got(std::move(waits))->exit.stdout_bytes == text.size());

    std::mutex m;
    std::vector<attach_gap> gaps;
    attach_options what{.ref = "left", .in = true, .when_slow = slow_reader::leave_out};
    what.on_gap = [&](const attach_gap& x) {
      std::lock_guard guard(m);
      gaps.push_back(x);
    };
    auto left = joined(s, what);
    put(left.in(), "\n");
    CHECK(got(s.wait({.ref = "left"}))->exit.code == 0); // Nobody waits for us.
    const auto some = text_of(left.out());
    CHECK(until([&] { return left.exit().has_value(); }));
    CHECK(left.left_out(1) > 0);
    CHECK(some.size() + left.left_out(1) == lines * 8);
    std::lock_guard guard(m);
    REQUIRE_FALSE(gaps.empty());
    CHECK(gaps.front().stream == 1);
    // What stands before the first gap is the beginning, without a hole.
    const auto begin = some.substr(0, gaps.front().at);
    CHECK(begin.size() >= 64u << 10);
    CHECK(begin == text.substr(0, begin.size()));
  });
}

TEST_CASE("library: a cursor tells of what was read, not of what waits in a pipe",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "while read x; do echo $x; done"});
    req.spec.with_stdin = true;
    REQUIRE(got(s.create(req)).ok());
    std::string place;
    {
      auto io = joined(s, {.ref = "a", .in = true});
      put(io.in(), "1\n");
      CHECK(line_of(io.out()) == "1\n");
      CHECK(until([&] { return io.cursor() != place && !(place = io.cursor()).empty(); }));
      put(io.in(), "2\n"); // It comes into the pipe, where nobody takes it.
      CHECK(until([&] { return got(s.inspect("a"))->processes.at(0).log.stdout_bytes == 4; }));
      place = io.cursor();
    } // As a program that dies here.
    auto next = joined(s, {.ref = "a", .in = true, .cursor = place});
    CHECK(next.stdin_offset() == 4);
    put(next.in(), "3\n");
    auto line = line_of(next.out());
    CHECK((line == "1\n" || line == "2\n")); // Perhaps once more, but none is missing.
    if (line == "1\n")
      line = line_of(next.out());
    CHECK(line == "2\n");
    CHECK(line_of(next.out()) == "3\n");
  });
}

TEST_CASE("library: one stream that is closed does not keep the other", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "read x; seq 1 200000; echo end >&2; read x"});
    req.spec.with_stdin = true;
    REQUIRE(got(s.create(req)).ok());
    auto io = joined(s, {.ref = "a", .in = true, .patience = 600s});
    put(io.in(), "\n");
    CHECK(line_of(io.out()) == "1\n");
    ::close(io.release_out());
    CHECK(line_of(io.err()) == "end\n");
    put(io.in(), "\n");
    CHECK(text_of(io.err()).empty());
    CHECK(until([&] { return io.exit().has_value(); }));
  });
}

TEST_CASE("library: attachments that cannot be are errors that say why", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
    const auto why = [&s](attach_options what) {
      auto x = got(s.attach(std::move(what)));
      return x ? error{} : x.why();
    };
    CHECK(why({.ref = "none"}).code == ec::not_found);
    CHECK(why({.ref = "a", .process = "none"}).code == ec::not_found);
    CHECK(why({.ref = "a", .out = false, .err = false}).code == ec::invalid_argument);
    CHECK(why({.ref = "a", .cursor = "here"}).code == ec::invalid_argument);
    CHECK(why({.ref = "a", .patience = nanoseconds{-1}}).code == ec::invalid_argument);
    const auto closed = why({.ref = "a", .in = true, .out = false, .err = false});
    CHECK(closed.code == ec::wrong_state);
    CHECK(closed.message.find("\"a\"") != std::string::npos);
    auto nobody = attachment{};
    CHECK(nobody.close().ok());
    CHECK(nobody.detach().empty());
    CHECK(nobody.cursor().empty());
  });
}

TEST_CASE("library: the end of the supervisor ends the attached, and they are told",
          "[root][runc][uring]") {
  rig r;
  auto& s = r.start();
  auto there = r.connect();
  REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
  std::promise<result<exit_report>> here_over, there_over;
  attach_options what{.ref = "a"};
  what.on_end = [&](const result<exit_report>& x) { there_over.set_value(x); };
  auto away = joined(*there, what);
  what.on_end = [&](const result<exit_report>& x) { here_over.set_value(x); };
  auto here = joined(s, what);
  there.reset();
  CHECK(text_of(away.out()).empty());
  CHECK(got(there_over.get_future()).why().code == ec::cancelled);
  CHECK(away.trouble().why().code == ec::cancelled);
  CHECK_FALSE(away.detach().empty());
  CHECK(got(s.inspect("a"))->summary.state == container_state::running); // It was a guest.
  s.stop(true);
  CHECK(text_of(here.out()).empty());
  const auto end = got(here_over.get_future()); // The container ended first.
  REQUIRE(end.ok());
  CHECK(end->signal > 0);
  CHECK(got(s.attach({.ref = "a"})).why().code == ec::unavailable);
}
