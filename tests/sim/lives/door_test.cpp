// What a client is told at the door of a supervisor that has just come, or is about to go.

#include <set>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using namespace gantry::sim;

namespace {

/// The next replies of an attachment, or the next chunks of a log.
template <class Item, class Source>
std::vector<Item> next(world& w, Source& from) {
  std::optional<result<std::vector<Item>>> got;
  from.next(1 << 20, [&got](result<std::vector<Item>> x) { got = std::move(x); });
  REQUIRE(w.until([&got] { return got.has_value(); }));
  REQUIRE(got->ok());
  return **got;
}

std::unique_ptr<actors::attachment> attached(world& w, bool input) {
  v1::AttachOpen open;
  *open.mutable_ref() = world::ref("a");
  open.set_input(input);
  auto x = w.door().attach(w.by(), open);
  REQUIRE(x.ok());
  return std::move(*x);
}

/// Asks again and again, and notes every answer.
class insistent {
public:
  explicit insistent(world& w) : w_(w) {}

  template <class Reply, class Request>
  void one(Request req) {
    ++asked;
    w_.door().call(w_.by(), std::move(req), [this](result<Reply> x) {
      ++answered;
      if (!x)
        refusals.insert(x.why().code);
    });
  }

  size_t asked = 0;
  size_t answered = 0;
  std::set<ec> refusals;

private:
  world& w_;
};

} // namespace

TEST_CASE("every call to a supervisor that goes away is answered, once", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    must_run(w, "a", {"work"});
    insistent client(w);
    const bool named = d.chance(0.5); // With a request id the answer goes another way.
    w.while_it_ends = [&] {
      auto pause = on<v1::PauseRequest>("none");
      auto kill = on<v1::KillRequest>("a");
      kill.set_signal("CONT");
      if (named) {
        pause.set_request_id("pause " + std::to_string(client.asked));
        kill.set_request_id("kill " + std::to_string(client.asked));
      }
      client.one<v1::PauseReply>(pause);
      client.one<v1::KillReply>(kill);
      client.one<v1::ContainerDetail>(on<v1::InspectRequest>("a"));
    };
    w.end_life();
    CHECK(client.asked > 3);
    CHECK(client.answered == client.asked);
    CHECK(client.refusals.count(ec::unavailable) == 1);
    for (const auto why : client.refusals)
      CHECK((why == ec::unavailable || why == ec::not_found));
    w.while_it_ends = nullptr;
    REQUIRE(w.begin_life());
    CHECK(process_of(w, "a", "init").phase == runtime::process_view::phase_t::running);
  });
}

TEST_CASE("who attaches before all is found again hears how much input was taken", "[sim]") {
  in_many_worlds([](world& w, sim::dice&) {
    auto made = create("a", {"work", "cat"}, true);
    made.mutable_spec()->set_with_stdin(true);
    done<v1::CreateReply>(w, made);
    auto first = attached(w, true);
    CHECK(next<v1::AttachReply>(w, *first).front().opened().stdin_offset() == 0);
    v1::AttachRequest typed;
    typed.mutable_input()->set_data("abc");
    REQUIRE(first->take(typed).ok());
    for (bool taken = false; !taken;)
      for (const auto& reply : next<v1::AttachReply>(w, *first))
        taken = taken || reply.stdin_offset() == 3;
    first.reset();
    live_again(w);
    auto second = attached(w, true); // Nothing has been turned yet.
    CHECK(next<v1::AttachReply>(w, *second).front().opened().stdin_offset() == 3);
    second.reset();
    live_again(w);
    auto reader = attached(w, false); // Who sends nothing need not wait for that.
    CHECK(next<v1::AttachReply>(w, *reader).front().has_opened());
  });
}

TEST_CASE("a reader of a silent log is let go when the time that he asked for has come", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    must_run(w, "a", {"work", "out=1000"});
    v1::ReadLogRequest req;
    *req.mutable_ref() = world::ref("a");
    req.set_follow(true);
    const auto until = w.shared().loop.sys().realtime() + d.between(10s, 100s);
    req.set_until_ns(ns_of(until));
    auto log = w.door().read_log(req);
    REQUIRE(log.ok());
    size_t chunks = 0; // An unfinished line is not among them.
    for (size_t more = 1; more > 0; chunks += more)
      more = next<v1::LogChunk>(w, **log).size();
    CHECK(chunks > 0);
    const auto late = w.shared().loop.sys().realtime() - until;
    CHECK(late >= 0s);
    CHECK(late < 1s);
    CHECK(process_of(w, "a", "init").phase == runtime::process_view::phase_t::running);
  });
}
