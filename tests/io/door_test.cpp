#include "io/door.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

TEST_CASE("door: what threads bring runs on the loop, in the order of each", "[uring]") {
  real_loop r;
  door d(r.l);
  constexpr int threads = 4;
  constexpr int each = 2000;
  const auto home = std::this_thread::get_id();
  std::vector<std::vector<int>> got(threads);
  int foreign = 0;
  std::atomic<int> refused{0};
  std::vector<std::thread> guests;
  for (int t = 0; t < threads; ++t)
    guests.emplace_back([&, t] {
      for (int i = 0; i < each; ++i)
        refused += !d.post([&, t, i] {
          foreign += std::this_thread::get_id() != home;
          got[size_t(t)].push_back(i);
        });
    });
  const bool all = r.until([&] {
    size_t n = 0;
    for (auto& g : got)
      n += g.size();
    return n == size_t(threads) * each;
  });
  for (auto& g : guests)
    g.join();
  REQUIRE(all);
  CHECK(foreign == 0);
  CHECK(refused == 0);
  for (auto& g : got)
    CHECK(std::is_sorted(g.begin(), g.end()));
  d.close();
}

TEST_CASE("door: a sleeping loop is woken", "[uring]") {
  real_loop r;
  door d(r.l);
  bool ran = false;
  std::thread guest([&] { d.post([&] { ran = true; }); });
  CHECK(r.until([&] { return ran; }));
  guest.join();
  d.close();
}

TEST_CASE("door: closing runs what came in, and then refuses", "[uring]") {
  real_loop r;
  door d(r.l);
  int ran = 0;
  CHECK(d.post([&] { ++ran; }));
  CHECK(d.post([&] { CHECK_FALSE(d.post([&] { ++ran; })); }));
  d.close();
  CHECK(ran == 1);
  CHECK_FALSE(d.post([&] { ++ran; }));
  CHECK(ran == 1);
}

TEST_CASE("door: none of a crowd is lost or runs twice when it closes in their midst", "[uring]") {
  for (int round = 0; round < 50; ++round) {
    real_loop r;
    door d(r.l);
    std::atomic<int> accepted{0};
    std::atomic<bool> go{false};
    int ran = 0;
    std::vector<std::thread> guests;
    for (int t = 0; t < 3; ++t)
      guests.emplace_back([&] {
        while (!go) {
        }
        while (d.post([&] { ++ran; }))
          ++accepted;
      });
    go = true;
    for (int i = 0; i < round; ++i)
      r.l.turn(false);
    d.close();
    for (auto& g : guests)
      g.join();
    CHECK(ran == accepted);
  }
}
