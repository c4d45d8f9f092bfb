#include <cstdio>
#include <cstring>

#include "bench/session.hpp"

// The measuring client of bench/run: one figure a call, its samples as one JSON object on
// stdout. What is computed from the samples, bench/run computes.

namespace {

struct figure {
  const char* name;
  int (*run)(const gantry::bench::words&);
};

constexpr figure figures[] = {
  {"exit", gantry::bench::exit_latency},   {"loud", gantry::bench::loud_neighbours},
  {"restart", gantry::bench::restart},     {"one-shot", gantry::bench::one_shot},
  {"exec", gantry::bench::exec_latency},   {"fill", gantry::bench::fill},
  {"clear", gantry::bench::clear},
  {"list", gantry::bench::list_latency},   {"log", gantry::bench::log_rate},
  {"echo", gantry::bench::echo_latency},   {"calls", gantry::bench::calls},
};

} // namespace

int main(int argc, char** argv) {
  for (const auto& f : figures)
    if (argc > 1 && std::strcmp(argv[1], f.name) == 0)
      return f.run(gantry::bench::words(argc - 2, argv + 2));
  std::fprintf(stderr, "bench_driver FIGURE --socket PATH [--WORD VALUE]…\nfigures:");
  for (const auto& f : figures)
    std::fprintf(stderr, " %s", f.name);
  std::fprintf(stderr, "\n");
  return 2;
}
