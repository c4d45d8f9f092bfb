// Hooks of what is unhealthy, in virtual time, with the supervisor killed at any moment.

#include <csignal>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

class idle final : public program {
public:
  void start(process&) override {}
};

/// A hook with a child; it ends by itself after a while, or never.
class forking_hook final : public program {
public:
  forking_hook(std::optional<nanoseconds> span, int code) : span_(span), code_(code) {}
  void start(process& self) override {
    auto child = self.host.fork(self.shared_from_this());
    child->body = std::make_unique<idle>();
    if (span_)
      self.after(*span_, [&self, code = code_] { self.exit(code); });
  }

private:
  std::optional<nanoseconds> span_;
  int code_;
};

v1::CreateRequest with_hook(world& w, std::optional<nanoseconds> span, int code) {
  w.host.install("/hook", [span, code](const process&) {
    return std::make_unique<forking_hook>(span, code);
  });
  auto r = create("a", {"work", "term=0"}, true);
  auto* h = r.mutable_spec()->mutable_health();
  auto* p = h->add_probes();
  for (const char* word : {"work", "exit=1", "after=1ms"})
    p->add_args(word);
  p->set_interval_ns(ns_of(1s));
  p->set_timeout_ns(ns_of(500ms));
  p->set_failures(1);
  h->set_on_unhealthy("hook=/hook");
  return r;
}

size_t marked(world& w) {
  size_t n = 0;
  for (const auto& [pid, p] : w.host.processes())
    for (const auto& word : p->env)
      n += p->at == process::phase::alive && word.starts_with("GANTRY_HOOK=");
  return n;
}

std::vector<v1::Event> ends(world& w) {
  std::vector<v1::Event> out;
  for (const auto& e : w.events())
    if (e.type() == "hook")
      out.push_back(e);
  return out;
}

/// @returns Calls of the kernel until the hook had begun.
uint64_t one_hook(uint64_t kill_at) {
  INFO("killed at call " << kill_at);
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_hook(w, std::nullopt, 0));
  w.pass(900ms);
  w.end_life();
  (void)w.begin_life(kill_at);
  if (w.lives())
    w.pass(500ms);
  const auto calls = w.calls();
  if (!w.lives()) {
    w.end_life();
    REQUIRE(w.begin_life());
  }
  w.pass(5s);
  const auto acts = count_events(w, "health-action");
  CHECK(acts == 1);
  CHECK(marked(w) <= 2);
  const bool runs = marked(w) > 0;
  w.pass(27s);
  CHECK(marked(w) == 0);
  REQUIRE(ends(w).size() == 1);
  CHECK(ends(w)[0].details().at("result") == (runs ? "timeout" : "unknown"));
  at_the_end(w);
  return calls;
}

} // namespace

TEST_CASE("a hook that hangs is ended in its time with its children, whoever dies meanwhile",
          "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_hook(w, std::nullopt, 0));
    w.pass(d.between(1100ms, 1500ms));
    CHECK(count_events(w, "health-action") == 1);
    CHECK(marked(w) == 2);
    pass_with_kills(w, d, 20s, 1s, 0.2);
    CHECK(marked(w) == 2);
    const bool removed = d.chance(0.3);
    if (removed)
      remove_all(w);
    pass_with_kills(w, d, 5s, 1s, 0.2);
    CHECK(marked(w) == 2);
    w.pass(6s);
    CHECK(marked(w) == 0);
    if (removed)
      return;
    REQUIRE(ends(w).size() == 1);
    CHECK(ends(w)[0].details().at("result") == "timeout");
    CHECK(ends(w)[0].details().at("signal") == std::to_string(SIGKILL));
  }, 15);
}

TEST_CASE("the end of a hook is told once with its code, whoever is away meanwhile", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_hook(w, d.between(200ms, 4s), 7));
    w.pass(d.between(1100ms, 1500ms));
    if (d.chance(0.5)) { // Nobody is there when it ends.
      w.kill();
      w.end_life();
      w.host.time.advance(d.between(0s, 5s));
      REQUIRE(w.begin_life());
    }
    w.pass(6s);
    REQUIRE(ends(w).size() == 1);
    CHECK(ends(w)[0].details().at("result") == "exited");
    CHECK(ends(w)[0].details().at("exit_code") == "7");
    if (d.chance(0.5))
      live_again(w);
    CHECK(marked(w) == 1); // Its child has the rest of its time.
    w.pass(30s);
    CHECK(marked(w) == 0);
    CHECK(ends(w).size() == 1);
  }, 15);
}

TEST_CASE("a supervisor that is killed at any call around a hook leaves none behind", "[sim]") {
  const auto calls = one_hook(0);
  REQUIRE(calls > 100);
  for (uint64_t at = 1; at <= calls; ++at)
    one_hook(at);
}
