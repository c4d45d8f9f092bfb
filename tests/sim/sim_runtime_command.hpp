#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/sim/sim_runtime.hpp"

namespace gantry::sim {

/// A runtime's command line, taken apart.
struct command_line {
  std::string verb;
  std::vector<std::string> args;            ///< Without flags: the id comes first.
  std::map<std::string, std::string> flags; ///< By their long names.

  [[nodiscard]] bool has(const std::string& flag) const { return flags.contains(flag); }
  [[nodiscard]] std::string get(const std::string& flag) const {
    auto it = flags.find(flag);
    return it == flags.end() ? std::string() : it->second;
  }
  static command_line parse(const std::vector<std::string>& argv);
};

/// One run of the OCI runtime. Its steps are separated by time, so that it can be killed, or
/// the world can change, between any two of them.
class runtime_command final : public program {
public:
  runtime_command(process& self, std::shared_ptr<oci_containers> all);
  void start(process&) override;

private:
  /// Does `f` some time later, if no fault comes between.
  void step(nanoseconds from, nanoseconds to, std::function<void()> f);
  void fail(const std::string& message, int code);
  void clean_up();
  oci_container* known();
  [[nodiscard]] std::string status(const oci_container& c) const;

  void begin_create();
  void init_is_ready();
  void write_pid_and_leave(const process_ptr& p, nanoseconds from, nanoseconds to);
  void do_start();
  void begin_exec();
  void make_exec();
  void watch_child();
  void begin_checkpoint();
  void dump(int image);
  void end_dump();
  void begin_restore();
  void do_delete();
  void poll_until_dead(int tries);
  void destroy();
  void begin_update();
  void read_stdin(std::string so_far);
  void do_update(const std::string& text);
  void do_state();
  void apply_limits(const nlohmann::json& resources, const std::string& cgroup);

  /// A child that waits for our word before it becomes the container's program.
  process_ptr fork_waiting(const std::vector<std::string>& args, const std::string& cgroup);
  static void release(process& p);
  /// The runtime's words for a command that cannot be run; empty if it can.
  [[nodiscard]] std::string cannot_run(const std::vector<std::string>& args) const;

  process& self_;
  std::shared_ptr<oci_containers> all_;
  command_line line_;
  std::string id_;
  std::string dir_;
  std::string cgroup_;
  std::string bundle_;
  std::vector<std::string> wanted_;
  bool made_dir_ = false;
  bool released_ = false; ///< The exec's child has become the program, or said that it cannot.
  process_ptr child_;
};

} // namespace gantry::sim
