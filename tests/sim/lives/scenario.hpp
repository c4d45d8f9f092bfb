#pragma once

// For single stories about races, told in a line or two each.

#include <catch2/catch.hpp>
#include <functional>

#include "tests/sim/lives/checks.hpp"

namespace gantry::sim {

inline constexpr auto ns_of = [](nanoseconds span) { return int64_t(span.count()); };

template <class Request>
Request on(const std::string& id) {
  Request r;
  *r.mutable_ref() = world::ref(id);
  return r;
}

inline v1::CreateRequest create(const std::string& id, const std::vector<std::string>& args,
                                bool start) {
  auto r = on<v1::CreateRequest>(id);
  *r.mutable_spec() = world::spec(args);
  r.set_start(start);
  return r;
}

inline v1::ExecRequest exec(const std::string& id, const std::vector<std::string>& args,
                            const std::string& process = "x") {
  auto r = on<v1::ExecRequest>(id);
  r.set_process(process);
  for (const auto& a : args)
    r.mutable_spec()->add_args(a);
  return r;
}

inline v1::WaitRequest wait_for(const std::string& id, const std::string& process = "") {
  auto r = on<v1::WaitRequest>(id);
  r.set_process(process);
  return r;
}

/// The request must succeed.
template <class Reply, class Request>
Reply done(world& w, Request req) {
  auto reply = w.must<Reply>(std::move(req));
  INFO((reply.ok() ? "" : reply.why().text()));
  REQUIRE(reply.ok());
  return *reply;
}

inline void must_run(world& w, const std::string& id, const std::vector<std::string>& args) {
  done<v1::CreateReply>(w, create(id, args, true));
}

/// A request whose answer comes some time.
template <class Reply>
struct asked {
  std::shared_ptr<std::optional<result<Reply>>> got =
    std::make_shared<std::optional<result<Reply>>>();
  [[nodiscard]] bool answered() const { return got->has_value(); }
  result<Reply>& operator*() { return **got; }
};

template <class Reply, class Request>
asked<Reply> send(world& w, Request req) {
  asked<Reply> a;
  w.door().call(w.by(), std::move(req), [got = a.got](result<Reply> r) { *got = std::move(r); });
  return a;
}

/// SIGKILL for the supervisor, and another one.
inline void live_again(world& w) {
  w.kill();
  w.end_life();
  REQUIRE(w.begin_life());
}

/// What the records say of a process; it must be known.
inline runtime::process_view process_of(world& w, const std::string& id, const std::string& p) {
  const auto* c = w.shared().ledger.now().find({"default", id});
  REQUIRE(c != nullptr);
  REQUIRE(c->process(p) != nullptr);
  return *c->process(p);
}

/// Container "a".
inline v1::ContainerDetail inspected(world& w) {
  return done<v1::ContainerDetail>(w, on<v1::InspectRequest>("a"));
}

/// Of container "a".
inline std::string health(world& w) { return inspected(w).summary().health(); }

/// Lets time pass; now and then the supervisor is killed.
inline void pass_with_kills(world& w, dice& d, nanoseconds span, nanoseconds step, double kills) {
  for (nanoseconds gone{0}; gone < span; gone += step) {
    w.pass(step);
    if (d.chance(kills))
      live_again(w);
  }
}

inline size_t count_events(world& w, const std::string& type, const std::string& process = "") {
  size_t n = 0;
  for (const auto& e : w.events())
    n += e.type() == type && (process.empty() || e.process() == process);
  return n;
}

inline void remove_all(world& w) {
  const auto listed = w.list();
  for (const auto& c : listed.containers()) {
    auto r = on<v1::RemoveRequest>(c.id());
    r.set_force(true);
    const auto gone = w.must<v1::RemoveReply>(r);
    INFO((gone.ok() ? "" : gone.why().text()));
    CHECK(gone.ok());
  }
}

/// Everything that must hold at the end of each story.
inline void at_the_end(world& w) {
  findings out;
  w.pass(std::chrono::seconds(5));
  check_list(w, out);
  check_logs(w, out);
  remove_all(w);
  w.pass(std::chrono::seconds(30));
  check_events(w, w.events(), true, out);
  check_nothing_left(w, out);
  for (const auto& f : out)
    FAIL_CHECK(f);
}

/// Both layouts and many timings: `f` gets a world with a living supervisor and a dice.
inline void in_many_worlds(const std::function<void(world&, dice&)>& f, uint64_t seeds = 40) {
  for (uint64_t seed = 1; seed <= seeds; ++seed)
    for (bool hybrid : {false, true}) {
      INFO("seed " << seed << (hybrid ? ", hybrid" : ", v2"));
      machine_options o;
      o.seed = seed;
      o.hybrid = hybrid;
      world w(o);
      REQUIRE(w.begin_life());
      dice d(seed * 77);
      f(w, d);
      at_the_end(w);
    }
}

} // namespace gantry::sim
