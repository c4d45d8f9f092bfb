#include "io/scheduler.hpp"

#include <caf/all.hpp>
#include <csignal>
#include <filesystem>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

size_t thread_count() {
  size_t n = 0;
  for ([[maybe_unused]] auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    ++n;
  return n;
}

caf::behavior doubler(caf::event_based_actor*) {
  return {[](int x) { return 2 * x; }};
}

/// A real loop with an actor system on it.
struct actor_loop : real_loop {
  actor_loop() : cfg(l), sys(std::make_unique<caf::actor_system>(cfg)) {}
  bool end() {
    bool ended = end_actors(*sys, l, 5s);
    sys.reset();
    return ended;
  }
  loop_config cfg;
  std::unique_ptr<caf::actor_system> sys;
};

} // namespace

TEST_CASE("scheduler: a request and its response run on the loop's thread alone", "[uring]") {
  auto before = thread_count();
  actor_loop r;
  CHECK(thread_count() == before);
  auto here = std::this_thread::get_id();
  int answer = 0;
  bool same_thread = false;
  {
    auto target = r.sys->spawn(doubler);
    r.sys->spawn([&, target](caf::event_based_actor* self) {
      same_thread = std::this_thread::get_id() == here;
      self->request(target, caf::infinite, 21).then([&, self, target](int x) {
        answer = x;
        self->send_exit(target, caf::exit_reason::user_shutdown);
      });
    });
  }
  REQUIRE(r.until([&] { return answer != 0; }));
  CHECK(answer == 42);
  CHECK(same_thread);
  CHECK(r.end());
  CHECK(thread_count() == before);
}

TEST_CASE("scheduler: a delayed message wakes a sleeping loop at its time", "[uring]") {
  actor_loop r;
  auto began = r.kernel->monotonic();
  nanoseconds came{0};
  r.sys->spawn([&](caf::event_based_actor* self) -> caf::behavior {
    self->delayed_send(self, 20ms, 1);
    return {[&, self](int) {
      came = r.kernel->monotonic();
      self->quit();
    }};
  });
  REQUIRE(r.until([&] { return came != 0ns; }));
  CHECK(came - began >= 20ms);
  CHECK(r.end());
}

TEST_CASE("scheduler: a request that nobody answers times out", "[uring]") {
  actor_loop r;
  bool timed_out = false;
  caf::response_promise never;
  auto silent = r.sys->spawn([&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](int) {
      never = self->make_response_promise();
      return never;
    }};
  });
  r.sys->spawn([&](caf::event_based_actor* self) {
    self->request(silent, 10ms, 1).then([](int) {},
                                        [&](caf::error& e) {
                                          timed_out = e == caf::sec::request_timeout;
                                        });
  });
  REQUIRE(r.until([&] { return timed_out; }));
  never = caf::response_promise();
  caf::anon_send_exit(silent, caf::exit_reason::user_shutdown);
  silent = nullptr;
  CHECK(r.end());
}

TEST_CASE("scheduler: a message from another thread wakes the loop", "[uring]") {
  actor_loop r;
  int sum = 0;
  auto adder = r.sys->spawn([&](caf::event_based_actor* self) -> caf::behavior {
    return {[&, self](int x) {
      sum += x;
      if (sum == 1000)
        self->quit();
    }};
  });
  std::thread other([adder] {
    for (int i = 0; i < 1000; ++i)
      caf::anon_send(adder, 1);
  });
  REQUIRE(r.until([&] { return sum == 1000; }));
  other.join();
  adder = nullptr;
  CHECK(r.end());
}

TEST_CASE("scheduler: two actors that keep each other busy do not starve the loop", "[uring]") {
  actor_loop r;
  bool stop = false;
  auto relay = [&stop](caf::event_based_actor* self) -> caf::behavior {
    return {[&stop, self](const caf::actor& other, int x) {
      if (stop)
        return self->quit();
      self->send(other, caf::actor_cast<caf::actor>(self), x + 1);
    }};
  };
  auto a = r.sys->spawn(relay);
  auto b = r.sys->spawn(relay);
  caf::anon_send(a, b, 0);
  timer clock(r.l);
  bool fired = false;
  clock.start(10ms, [&] { fired = true; });
  REQUIRE(r.until([&] { return fired; }));
  stop = true;
  caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(b, caf::exit_reason::user_shutdown);
  a = b = nullptr;
  CHECK(r.end());
}

TEST_CASE("scheduler: end_actors says that somebody stays", "[uring]") {
  actor_loop r;
  auto stays = r.sys->spawn(doubler);
  CHECK_FALSE(end_actors(*r.sys, r.l, 5ms));
  caf::anon_send_exit(stays, caf::exit_reason::user_shutdown);
  stays = nullptr;
  CHECK(r.end());
}

TEST_CASE("scheduler: systems come and go by the hundred in one process", "[uring]") {
  real_loop r;
  auto before = thread_count();
  for (int i = 0; i < 300; ++i) {
    loop_config cfg(r.l);
    caf::actor_system sys{cfg};
    bool ran = false;
    sys.spawn([&ran](caf::event_based_actor* self) -> caf::behavior {
      self->delayed_send(self, 1h, 1); // Still pending at the end.
      ran = true;
      self->quit();
      return {[](int) {}};
    });
    REQUIRE(end_actors(sys, r.l, 5s));
    REQUIRE(ran);
  }
  CHECK(thread_count() == before);
}

TEST_CASE("scheduler: a surprise in an actor aborts with its name", "[uring]") {
  enum class kind { message, exception, error };
  auto what = GENERATE(kind::message, kind::exception, kind::error);
  int out[2];
  REQUIRE(::pipe(out) == 0);
  auto pid = ::fork();
  if (pid == 0) {
    rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL;
    ::sigaction(SIGABRT, &plain, nullptr);
    ::dup2(out[1], 2);
    actor_loop r;
    struct state {
      const char* name = "touchy";
    };
    auto aut = r.sys->spawn([](caf::stateful_actor<state>* self) -> caf::behavior {
      abort_on_surprise(*self);
      return {[](int) -> caf::result<void> { throw std::runtime_error("oops"); }};
    });
    if (what == kind::message)
      caf::anon_send(aut, std::string("what is this"));
    else if (what == kind::exception)
      caf::anon_send(aut, 1);
    else
      caf::anon_send(aut, caf::make_error(caf::sec::runtime_error));
    r.until([] { return false; });
    ::_exit(0);
  }
  ::close(out[1]);
  std::string said;
  char part[512];
  for (ssize_t n; (n = ::read(out[0], part, sizeof(part))) > 0;)
    said.append(part, size_t(n));
  ::close(out[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  INFO(said);
  CHECK(WIFSIGNALED(status));
  CHECK(said.find("touchy") != std::string::npos);
}
