// What a call of the library costs: inside the program, and over the bus to a supervisor of
// another process or of this one. Prints median, p90, p99, and what 1,000 calls a second use.
//
//   library_calls DIRECTORY [CALLS]        (as root)

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sys/resource.h>
#include <vector>

#include <gantry/gantry.hpp>

namespace {

using namespace gantry;

double now_us(clockid_t which) {
  timespec t{};
  ::clock_gettime(which, &t);
  return double(t.tv_sec) * 1e6 + double(t.tv_nsec) / 1e3;
}

/// One call behind the other, each answered before the next.
void measure(const char* name, supervisor& s, size_t calls) {
  std::vector<double> took;
  for (size_t i = 0; i < calls; ++i) {
    const auto began = now_us(CLOCK_MONOTONIC);
    if (auto x = s.list().get(); !x) {
      std::fprintf(stderr, "library_calls: %s\n", x.why().text().c_str());
      std::exit(1);
    }
    took.push_back(now_us(CLOCK_MONOTONIC) - began);
  }
  std::sort(took.begin(), took.end());
  std::printf("%-34s %8.1f %8.1f %8.1f us\n", name, took[took.size() / 2],
              took[took.size() * 9 / 10], took[took.size() * 99 / 100]);
}

/// CPU of this whole process for so many calls a second: client and supervisor together.
void load(const char* name, supervisor& s) {
  constexpr int per_second = 1000;
  constexpr int seconds = 5;
  const auto cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
  const auto began = now_us(CLOCK_MONOTONIC);
  for (int i = 0; i < per_second * seconds; ++i) {
    const auto due = began + i * 1e6 / per_second;
    const auto left = due - now_us(CLOCK_MONOTONIC);
    if (left > 0) {
      timespec pause{0, long(left * 1e3)};
      ::nanosleep(&pause, nullptr);
    }
    (void)s.list().get();
  }
  const auto used = now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  std::printf("%-34s %8.1f %% of a core\n", name,
              100 * used / (now_us(CLOCK_MONOTONIC) - began));
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: library_calls DIRECTORY [CALLS]\n");
    return 64;
  }
  const std::string dir = argv[1];
  const size_t calls = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 20'000;
  start_options how;
  how.state_dir = dir + "/state";
  how.root_dir = dir + "/root";
  how.socket = how.state_dir + "/gantry.sock";
  how.cgroup_parent = "gantry-library-calls";
  auto own = supervisor::start(how);
  if (!own) {
    std::fprintf(stderr, "library_calls: %s\n", own.why().text().c_str());
    return 1;
  }
  connect_options where;
  where.socket = how.socket;
  auto there = supervisor::connect(where);
  if (!there) {
    std::fprintf(stderr, "library_calls: %s\n", there.why().text().c_str());
    return 1;
  }
  std::printf("%-34s %8s %8s %8s\n", "list, empty", "median", "p90", "p99");
  measure("embedded", **own, calls);
  measure("over gRPC, both in this process", **there, calls);
  load("1,000/s embedded", **own);
  load("1,000/s over gRPC, both sides", **there);
  return 0;
}
