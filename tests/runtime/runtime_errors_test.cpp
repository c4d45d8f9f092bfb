#include "runtime/runtime_errors.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <vector>

using namespace gantry;
using namespace gantry::runtime;

TEST_CASE("the words of both runtimes are mapped to our codes") {
  struct row {
    const char* words;
    ec code;
  };
  for (const auto& [words, code] : std::vector<row>{
         {"exec failed: unable to start container process: exec: \"/nope\": stat /nope: no such "
          "file or directory",
          ec::command_not_found},
         {"exec: \"nope\": executable file not found in $PATH", ec::command_not_found},
         {"executable file `/nope` not found in $PATH: No such file or directory",
          ec::command_not_found},
         {"exec: \"/etc\": permission denied", ec::not_executable},
         {"open executable: Operation not permitted", ec::not_executable},
         {"container with given ID already exists", ec::already_exists},
         {"container `x` already exists", ec::already_exists},
         {"cannot exec in a paused container (use --ignore-paused to override)", ec::wrong_state},
         {"the container `x` is paused", ec::wrong_state},
         {"the container `x` is not running", ec::wrong_state},
         {"cannot start an already running container", ec::wrong_state},
         {"cannot open `/r/x/exec.fifo`: No such file or directory", ec::wrong_state},
         {"cannot delete container x that is not stopped: running", ec::wrong_state},
         {"the container `x` is not in `created` or `stopped` state", ec::wrong_state},
         {"container does not exist", ec::not_found},
         {"error opening file `/r/x/status`: No such file or directory", ec::not_found},
         {"cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
          ec::unsupported},
         {"the requested cgroup controller `pids` is not available", ec::unsupported},
         {"opening file `memory.max` for writing: No such file or directory", ec::unsupported},
         {"runc run failed: unable to start container process: error during container init: error "
          "setting cgroup config for procHooks process: openat2 /sys/fs/cgroup/x/pids.max: no such "
          "file or directory",
          ec::unsupported},
         {"something quite new", ec::runtime_failed},
       }) {
    INFO(words);
    failed_command what{"create", "/usr/bin/crun", "default.x", {true, 1, 0, false}, "", ""};
    what.log = nlohmann::json{{"level", "error"}, {"msg", words}, {"time", "t"}}.dump() + "\n";
    auto why = runtime_error(what);
    CHECK(why.code == code);
    CHECK(why.message == std::string("container \"x\": create by crun failed: ") + words);
  }
}

TEST_CASE("the last error line of a log counts, whatever else stands there") {
  CHECK(last_error_in_log("").empty());
  CHECK(last_error_in_log("{\"level\":\"warning\",\"msg\":\"w\"}\n").empty());
  CHECK(last_error_in_log("{\"level\":\"error\",\"msg\":\"a\"}\n"
                          "{\"msg\":\"b\",\"level\":\"error\"}\n"
                          "{\"level\":\"info\",\"msg\":\"c\"}\n"
                          "rubbish\n[1]\n{\"level\":\"error\"}\n")
        == "b");
  CHECK(last_error_in_log("{\"level\":\"error\",\"msg\":\"a\\nb\"}") == "a b");
  for (const auto& [code, ours] : {std::pair{125, ec::resource_exhausted},
                                   std::pair{126, ec::runtime_missing},
                                   std::pair{127, ec::runtime_missing}}) {
    failed_command never{"create", "/r/runc", "default.x", {true, code, 0, false}, "", ""};
    CHECK(runtime_error(never).code == ours);
    never.output = "its own words";
    CHECK(runtime_error(never).code == ec::runtime_failed);
  }
  failed_command silent{"start", "/r/runc", "ns.x", {true, 0, 9, false}, "", ""};
  CHECK(runtime_error(silent).message
        == "container \"ns/x\": start by runc failed: it was ended by SIGKILL");
}
