// What the loop and the actors on it cost: a request and its response, an actor's life, a
// timer, posted work, a turn, a spawn. Target: about 0.6 µs for a request and its response.
#include <benchmark/benchmark.h>

#include <caf/all.hpp>
#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include "io/linux_kernel.hpp"
#include "io/loop.hpp"
#include "io/poll.hpp"
#include "io/scheduler.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

struct rig {
  rig() : kernel(std::move(linux_kernel::make()).value()), l(*kernel) {
    spdlog::set_level(spdlog::level::err); // On a shared machine turns are slow at times.
  }
  std::unique_ptr<linux_kernel> kernel;
  loop l;
};

struct actor_rig : rig {
  actor_rig() : cfg(l), sys(std::make_unique<caf::actor_system>(cfg)) {}
  ~actor_rig() {
    GANTRY_CHECK(end_actors(*sys, l, 5s));
    sys.reset();
  }
  loop_config cfg;
  std::unique_ptr<caf::actor_system> sys;
};

/// Asks `target` again and again until `left` is used up.
struct asker_state {
  void ask() {
    self->request(target, caf::infinite, *left).then([this](int) {
      if (--*left > 0)
        ask();
    });
  }
  caf::event_based_actor* self = nullptr;
  caf::actor target;
  int* left = nullptr;
};

caf::behavior asker(caf::stateful_actor<asker_state>* self, caf::actor target, int* left) {
  self->state.self = self;
  self->state.target = std::move(target);
  self->state.left = left;
  return {[self](caf::ok_atom) { self->state.ask(); }};
}

void request_and_response(benchmark::State& state) {
  actor_rig r;
  auto target = r.sys->spawn([](caf::event_based_actor*) -> caf::behavior {
    return {[](int x) { return x; }};
  });
  int left = 0;
  auto from = r.sys->spawn(asker, target, &left);
  constexpr int batch = 1000;
  for (auto _ : state) {
    left = batch;
    caf::anon_send(from, caf::ok_atom::value);
    while (left > 0)
      r.l.turn(true);
  }
  state.SetItemsProcessed(state.iterations() * batch);
  caf::anon_send_exit(from, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(target, caf::exit_reason::user_shutdown);
}
BENCHMARK(request_and_response);

void actor_from_spawn_to_end(benchmark::State& state) {
  actor_rig r;
  int ended = 0;
  for (auto _ : state) {
    r.sys->spawn([&ended](caf::event_based_actor* self) {
      ++ended;
      self->quit();
    });
    r.l.turn(false);
  }
  benchmark::DoNotOptimize(ended);
}
BENCHMARK(actor_from_spawn_to_end);

void actor_system_from_begin_to_end(benchmark::State& state) {
  rig r;
  for (auto _ : state) {
    loop_config cfg(r.l);
    caf::actor_system sys{cfg};
    end_actors(sys, r.l, 1s);
  }
}
BENCHMARK(actor_system_from_begin_to_end);

void timer_start_and_cancel(benchmark::State& state) {
  rig r;
  std::vector<std::unique_ptr<timer>> others; // A tree of the size that a node has.
  for (int i = 0; i < 1000; ++i)
    others.emplace_back(std::make_unique<timer>(r.l))->start(1h + i * 1s, [] {});
  timer t(r.l);
  for (auto _ : state) {
    t.start(10min, [] {});
    t.cancel();
  }
}
BENCHMARK(timer_start_and_cancel);

void timer_fires(benchmark::State& state) {
  rig r;
  timer t(r.l);
  int fired = 0;
  for (auto _ : state) {
    t.start(0ns, [&fired] { ++fired; });
    r.l.turn(false);
  }
  benchmark::DoNotOptimize(fired);
}
BENCHMARK(timer_fires);

void post_and_turn(benchmark::State& state) {
  rig r;
  int ran = 0;
  for (auto _ : state) {
    for (int i = 0; i < 100; ++i)
      r.l.post([&ran] { ++ran; });
    r.l.turn(false);
  }
  benchmark::DoNotOptimize(ran);
  state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(post_and_turn);

void turn_with_nothing_to_do(benchmark::State& state) {
  rig r;
  for (auto _ : state)
    r.l.turn(false);
}
BENCHMARK(turn_with_nothing_to_do);

void poll_that_is_ready(benchmark::State& state) {
  rig r;
  int ends[2];
  GANTRY_CHECK(r.kernel->pipe(ends, 2) == 0);
  fd reader(*r.kernel, ends[0]), writer(*r.kernel, ends[1]);
  r.kernel->write(ends[1], std::string_view("x"));
  poll_op op(r.l);
  bool done = false;
  for (auto _ : state) {
    done = false;
    op.start(ends[0], POLLIN, [&done](int32_t) { done = true; });
    while (!done)
      r.l.turn(true);
  }
}
BENCHMARK(poll_that_is_ready);

/// The time that the loop is held by a spawn; the end of the child is left out.
void spawn_call(benchmark::State& state) {
  rig r;
  std::vector<char> ballast(size_t(state.range(0)) << 20, 'x'); // Our own memory's size.
  benchmark::DoNotOptimize(ballast.data());
  int null = r.kernel->open("/dev/null", O_RDWR, 0);
  fd keep(*r.kernel, null);
  for (auto _ : state) {
    child c;
    spawn_request what{"/bin/true", {"true"}, {}, "/", {{null, 0}, {null, 1}, {null, 2}}};
    GANTRY_CHECK(r.kernel->spawn(what, c) == 0);
    state.PauseTiming();
    poll_op ended(r.l);
    bool over = false;
    ended.start(c.pidfd, POLLIN, [&over](int32_t) { over = true; });
    while (!over)
      r.l.turn(true);
    exit_status st;
    GANTRY_CHECK(r.kernel->reap(c.pidfd, st) == 0);
    r.kernel->close(c.pidfd);
    state.ResumeTiming();
  }
}
BENCHMARK(spawn_call)->Arg(0)->Arg(100)->Iterations(300)->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
