#pragma once

#include <caf/actor_addr.hpp>
#include <caf/actor_control_block.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "actors/holds.hpp"
#include "actors/log_packer.hpp"
#include "actors/output_hub.hpp"
#include "io/loop.hpp"
#include "io/pump.hpp"
#include "io/reaper.hpp"
#include "io/shelf.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/engine.hpp"
#include "runtime/exec_cgroup.hpp"
#include "runtime/kill_log.hpp"
#include "runtime/ledger.hpp"
#include "runtime/notify_policy.hpp"
#include "runtime/probe_call.hpp"

namespace gantry::actors {

struct running_hook; // hook_run.cpp

/// Where a supervisor keeps its things, and its limits: policy, plain data.
struct supervisor_options {
  std::string state_dir = "/run/gantry";    ///< Sockets, bundles, the runtime's root; lost at boot.
  std::string root_dir = "/var/lib/gantry"; ///< Journal and logs.
  bool state_on_tmpfs = false; ///< `state_dir` lies in memory: its files are written at once.
  std::string runtime;                      ///< Default runtime, absolute.
  std::string cgroup_parent = "gantry";     ///< Containers live in /PARENT/NS/ID …
  bool systemd_cgroups = false; ///< … or in scopes of systemd below this slice.
  std::string own_unit = {};    ///< The service that this is: it ends before the scopes do.
  std::string version = "0.1.0";
  io::nanoseconds stop_timeout = std::chrono::seconds(10);  ///< Where the spec says nothing.
  io::nanoseconds kill_patience = std::chrono::seconds(10); ///< So long a stop waits after SIGKILL.
  /// How long a runtime command of an earlier life may go on.
  io::nanoseconds orphan_patience = std::chrono::seconds(60);
  uint32_t fd_limit = 1024; ///< RLIMIT_NOFILE: create is refused at 90 % of it.
  uint32_t hook_ms = 30'000; ///< So long a hook may run, with all that it starts.
  size_t exec_probes = 0;  ///< Exec probes that run at a time, in all containers; 0: no limit.
  /// A probe's first run is put off by up to this share of its interval.
  double probe_jitter = 0;
  /// How long the log files of what is gone wait for their readers.
  io::nanoseconds reader_patience = std::chrono::seconds(10);
  /// A program that packs the log file that is its last argument: see `log_packer`. Empty: logs
  /// stay as they are.
  std::vector<std::string> packer;
};

/// Tells the readers of a log that it has grown or is complete.
class log_hub {
public:
  /// Registers a reader of the log of this process serial.
  void add(uint64_t serial, std::function<void()>* f) { readers_[serial].insert(f); }
  void remove(uint64_t serial, std::function<void()>* f);
  void notify(uint64_t serial);
  [[nodiscard]] bool watched(uint64_t serial) const { return readers_.contains(serial); }

private:
  std::map<uint64_t, std::set<std::function<void()>*>> readers_;
};

// Kinds of shelf entries beside `io::shelf_kind::stdio`; the serial is the process's.

/// The write end of stdin: by itself, so that CloseStdin can drop it alone.
inline constexpr uint64_t shelf_stdin = io::shelf_kind::stdio + 1;
/// The socket to which a runtime sends a terminal's master.
inline constexpr uint64_t shelf_console = io::shelf_kind::stdio + 2;
/// Clients' FIFOs; the note says which of the three there are.
inline constexpr uint64_t shelf_fifos = io::shelf_kind::stdio + 3;
/// The notify socket of a container, by the serial of its init.
inline constexpr uint64_t shelf_notify = io::shelf_kind::stdio + 4;

/// What all actors of one supervisor share. Plain objects of the loop's thread; they outlive
/// the actors.
struct services {
  io::loop& loop;
  io::shelf& keeper;
  io::reaper& reaper;
  io::block_pool& blocks;
  runtime::ledger& ledger;
  runtime::engine& engine;
  const runtime::cgroup_host& cgroups;
  log_packer packer;
  supervisor_options options;
  log_hub logs;
  output_hub outputs;
  /// Relays of processes that have ended, whose readers have not caught up.
  std::set<std::shared_ptr<output_tap>> lingering;
  std::shared_ptr<runtime::permits> path_probes
    = std::make_shared<runtime::permits>(runtime::max_path_probes);
  runtime::permits exec_probes{0}; ///< As the options say.
  runtime::kill_log killed{loop}; ///< Whom the kernel has killed for want of memory.
  hold_table holds;
  std::map<uint64_t, io::pump*> pumps; ///< Of living process actors, by process serial.
  std::map<uint64_t, std::function<void()>> forwards; ///< Ends a `log_forward`; by process serial.
  /// What was on the shelf when this life began: stdio by process serial.
  std::map<uint64_t, io::shelf_entry> shelved;
  std::map<uint64_t, io::shelf_entry> shelved_stdin;
  std::map<uint64_t, io::shelf_entry> shelved_consoles;
  std::map<uint64_t, io::shelf_entry> shelved_fifos;
  std::map<uint64_t, io::shelf_entry> shelved_notify{};
  /// What runs have said at their notify sockets, by the serial of their init: newer than the
  /// records.
  std::map<uint64_t, const runtime::notify_state*> notices{};
  /// Runtime commands of an earlier life that still run, by GANTRY_OP.
  std::map<uint64_t, runtime::orphan_command> orphans;
  /// Steps that take too long, by container: shown by list.
  std::map<runtime::container_name, std::string> stuck;
  bool had_keeper = false;      ///< This life began under a keeper.
  int64_t started_at_ns = 0;    ///< When this life began.
  std::function<uint64_t()> own_log_dropped; ///< Lines that gantryd's own log dropped.
  std::string bus_socket; ///< Where the bus is served; empty: nowhere.
  std::string fds_socket; ///< Where tickets of descriptors are presented; empty: nowhere.
  /// Told the outcome of every request that was made by an earlier life (see gate).
  std::function<void(const std::string& request_id, result<std::string> reply)> on_request;
  /// Living container and process actors: for an end without goodbye (simulation).
  std::map<caf::actor_id, caf::actor_addr> actors;
  caf::strong_actor_ptr supervisor; ///< Told when a container is gone.
  /// Until then the readers that a crash cut off are still on their way back: the log of a
  /// container that goes by itself (`remove_on_exit`) waits for them.
  io::nanoseconds readers_return_until{0};
  bool ending = false; ///< All are being stopped: what ends now is not started again in this life.
  uint64_t next_op = 1; ///< GANTRY_OP of the next runtime command; unique on this host's boot.

  /// Records the first answer to a request, beside the fact that it tells of: a repeat
  /// after a crash in this very moment must find it.
  template <class Reply>
  void finish_request(const std::string& request_id, std::string_view method,
                      const Reply& reply) {
    if (!request_id.empty())
      settle_request(request_id, method, reply.SerializeAsString());
  }
  void fail_request(const std::string& request_id, std::string_view method, const error& why) {
    if (!request_id.empty())
      settle_request(request_id, method, why);
  }
  void settle_request(const std::string& request_id, std::string_view method,
                      const result<std::string>& outcome);

  /// Where shelf entries of this kind are kept until their process takes them; null for others.
  std::map<uint64_t, io::shelf_entry>* place_of(uint64_t kind);

  std::shared_ptr<int> life = std::make_shared<int>(0); ///< For those who may outlive us.

  std::map<uint64_t, std::shared_ptr<running_hook>> hooks{}; ///< By the seq of their step.

  /// `/PARENT/NS/ID`, where PARENT is the container's own or the supervisor's; or the place of
  /// its scope. As the container was created, whatever the options say now.
  [[nodiscard]] std::string cgroup_path(const runtime::container_name& name) const;
  [[nodiscard]] runtime::cgroup_place cgroup_place(const runtime::container_name& name) const;
  [[nodiscard]] runtime::cgroup cgroup_of(const runtime::container_name& name) const;
  [[nodiscard]] runtime::exec_cgroup exec_group(const runtime::container_name& name,
                                                uint64_t serial) const;
  [[nodiscard]] std::string bundle_dir(uint64_t instance) const;
  [[nodiscard]] std::string log_dir(uint64_t serial) const;
  /// Where a container's checkpoints are kept; a directory for each below it.
  [[nodiscard]] std::string checkpoint_dir(uint64_t instance) const;
  /// Refuses new processes when fds, log slots or the journal run short.
  [[nodiscard]] result<void> room_for_process(const runtime::container_name& name) const;
};

/// Removes directories of images beneath `dir`, one after the other, then `dir` if `whole`.
void remove_images(services& host, std::string dir, std::vector<std::string> names, bool whole,
                   std::function<void()> f);

/// A number as 16 hex digits: directory names that sort.
std::string hex16(uint64_t x);

/// Open descriptors of this process. A read of /proc/self/fd.
uint32_t open_fds(io::kernel& k);

/// What is known of a container's OOM kills; shared by the container and its processes.
class oom_account {
public:
  /// What the records know already (after an adoption).
  struct past {
    uint64_t kills = 0;
    uint64_t claimed = 0;    ///< So many of them an exit has claimed.
    uint64_t limit_hits = 0; ///< With the last of them.
    std::string level = {};  ///< Of the last of them.
    std::string victim = {}; ///< Of the last of them.
  };
  oom_account(services& host, runtime::container_name name, uint64_t instance, past known);

  /// Reads the counters again. If they grew, an `oom` event is recorded and told as soon as it is
  /// clear who was killed, within 50 ms.
  void look(uint32_t run);
  /// The same at once: an end is being settled, `by_kill`: by SIGKILL. False: for this the kernel's
  /// log has still to be read, and `again` is called when it is. Empty: nothing is waited for.
  [[nodiscard]] bool settle(uint32_t run, bool by_kill, std::function<void()> again);
  void on_growth(std::function<void(uint64_t seq)> f) { grew_ = std::move(f); }

  /// A SIGKILL of ours explains the end of this process (empty: of all there are): it
  /// claims no OOM kill.
  void spare(const std::string& process) { spared_.insert(process); }

  /// Takes one kill that no exit has claimed yet; its level, or empty if there is none, or the
  /// kernel's log knows that it was not this process.
  /// @param died_ns When it ended, by SIGKILL. @param by_policy We sent that, because of a kill.
  std::string claim(const std::string& process, int32_t pid, int64_t died_ns, bool by_policy);

  /// Who was killed the last time: init, other or unknown; empty: nobody was.
  [[nodiscard]] const std::string& victim() const noexcept { return victim_; }

private:
  void check(uint32_t run, bool at_once, bool log_is_read = false);
  [[nodiscard]] runtime::oom_counters counters() const;
  [[nodiscard]] bool read_log(std::function<void()> f);
  [[nodiscard]] bool may_be_lost() const;
  [[nodiscard]] bool is_lost() const;
  [[nodiscard]] std::string judge(bool at_once) const;
  void tell(uint32_t run, const runtime::oom_counters& now);

  services& host_;
  runtime::container_name name_;
  uint64_t instance_;
  runtime::oom_counters seen_;
  /// Read, and not told of yet: systemd may take the cgroup away meanwhile.
  runtime::oom_counters pending_;
  bool lost_ = false; ///< `is_lost` was true once: there is no more to be had.
  std::string level_;
  std::string victim_;
  io::timer late_; ///< While it is not clear who was killed.
  bool reading_ = false; ///< A look waits for the kernel's log.
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
  std::set<std::string> spared_;
  std::function<void(uint64_t)> grew_;
  uint64_t unclaimed_ = 0;
  io::nanoseconds grown_{0}; ///< When `unclaimed_` grew.
};

} // namespace gantry::actors
