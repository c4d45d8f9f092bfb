#include "apps/gantry/grammar.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace gantry::cli {

namespace {

void add_limits(CLI::App& sub, raw_line& to) {
  const char* group = "Limits";
  sub.add_option("-m,--memory", to.memory, "Memory: 64m, 1.5g; -1: no limit")
    ->type_name("SIZE")
    ->group(group);
  sub.add_option("--memory-swap", to.memory_swap, "Memory and swap together; -1: no limit")
    ->type_name("SIZE")
    ->group(group);
  sub.add_option("--memory-reservation", to.memory_reservation, "Memory it can count on")
    ->type_name("SIZE")
    ->group(group);
  sub.add_option("--cpus", to.cpus, "CPU time: 1.5 is one and a half CPUs")
    ->type_name("N")
    ->group(group);
  sub.add_option("--cpu-shares", to.cpu_shares, "Weight against others (default 1024)")
    ->type_name("N")
    ->group(group);
  sub.add_option("--cpuset-cpus", to.cpuset_cpus, "CPUs it may use: 0-3,6")
    ->type_name("LIST")
    ->group(group);
  sub.add_option("--cpuset-mems", to.cpuset_mems, "NUMA nodes it may use")
    ->type_name("LIST")
    ->group(group);
  sub.add_option("--pids-limit", to.pids_limit, "Processes and threads; -1: no limit")
    ->type_name("N")
    ->group(group);
}

void add_process(CLI::App& sub, raw_line& to) {
  sub.add_option("-e,--env", to.env, "Set a variable; without =VALUE: pass on our own")
    ->type_name("K[=V]")
    ->allow_extra_args(false);
  sub.add_option("-w,--workdir", to.workdir, "Working directory in the container (default /)")
    ->type_name("DIR");
  sub.add_option("-u,--user", to.user, "User, numeric")->type_name("UID[:GID]");
  sub.add_flag("-i,--interactive", to.interactive, "Pass our stdin to the process");
  sub
    .add_option("--log-opt", to.log_opts,
                "max-size=64m, max-file=10, max-line=1m, when-full=block|drop; or several, "
                "with commas")
    ->type_name("K=V")
    ->allow_extra_args(false);
}

void add_container(CLI::App& sub, raw_line& to) {
  sub.add_option("--name", to.out.name, "The container's id (default: a random one)")
    ->type_name("ID");
  sub.add_option("--bundle", to.bundle, "OCI bundle to run; it is not written to")
    ->type_name("DIR");
  sub.add_option("--rootfs", to.rootfs, "Or a root filesystem to run CMD in")->type_name("DIR");
  sub.add_option("--hostname", to.hostname, "Host name in the container (default: its id)")
    ->type_name("NAME");
  sub.add_flag("--read-only", to.read_only, "Mount the root filesystem read-only");
  sub.add_option("--network", to.network, "none (default) or host")->type_name("MODE");
  sub.add_option("--runtime", to.runtime, "runc, crun or a path (default: gantryd's)")
    ->type_name("NAME");
  sub.add_option("-l,--label", to.labels, "A label, for filters and people")
    ->type_name("K=V")
    ->allow_extra_args(false);
  sub.add_option("--annotation", to.annotations, "An OCI annotation, for the runtime")
    ->type_name("K=V")
    ->allow_extra_args(false);
  sub.add_option("--stop-signal", to.stop_signal, "What stop sends first (default SIGTERM)")
    ->type_name("SIG");
  sub.add_option("--stop-timeout", to.stop_timeout, "How long stop waits (default 10 s)")
    ->type_name("TIME");
}

} // namespace

void add_make_options(CLI::App& sub, const std::string& verb, raw_line& to) {
  if (verb == "update") {
    add_limits(sub, to);
    return;
  }
  if (verb == "exec") {
    sub.add_option("--id", to.out.name, "The process's id (default: gantryd chooses)")
      ->type_name("NAME");
    sub.add_flag("-d,--detach", to.out.detach, "Do not wait: print the process's id");
    add_process(sub, to);
    sub.add_option("ID", to.one, "The container")->required();
    return;
  }
  add_container(sub, to);
  if (verb == "run")
    sub.add_flag("-d,--detach", to.out.detach, "Do not wait: print the container's id");
  sub.add_flag("--rm", to.remove, "Remove the container when it has exited");
  add_process(sub, to);
  add_limits(sub, to);
}

} // namespace gantry::cli
