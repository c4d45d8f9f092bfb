#pragma once

#include <optional>
#include <string>

#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

/// Puts into the host what a host has: /bin/true, /bin/false, /bin/sleep and a /bin/sh that
/// knows `exit N`, `kill -N $$` and `echo WORDS`.
void install_basics(machine& m);

/// What containers run. The program's words say what it does, in any order:
///   after=5ms     it lives so long (absent: until a signal ends it)
///   exit=3        and then exits with this code, or
///   sig=11        sends itself this signal, or
///   oom           hits the memory limit of its group
///   out=1000      so many bytes go to stdout meanwhile, in lines
///   err=20        and to stderr
///   term=0        SIGTERM makes it exit with this code; `ignore-term` does not
///   stuck         not even SIGKILL ends it until `machine::release_stuck`
///   cat           copies stdin to stdout, and ends with it
///   child         leaves a child behind that holds stdout open, for ever, or
///   stay=20ms     for so long, and then writes
///   late=300      so many bytes
struct work_order {
  std::optional<nanoseconds> after;
  int exit = 0;
  int sig = 0;
  bool oom = false;
  std::array<size_t, 2> bytes{};
  int term = 0;
  bool ignore_term = false;
  bool stuck = false;
  bool cat = false;
  bool child = false;
  std::optional<nanoseconds> stay;
  size_t late = 0;

  static work_order parse(const std::vector<std::string>& argv);
};

/// Registers `work` as a program that containers can run.
void install_work(machine& m);

} // namespace gantry::sim
