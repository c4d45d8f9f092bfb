#pragma once

#include <caf/actor_system.hpp>
#include <functional>
#include <memory>

#include "actors/gate.hpp"
#include "actors/services.hpp"
#include "io/scheduler.hpp"

namespace gantry::actors {

/// A whole supervisor on a loop: journal, world, runtime, actors, and the front before them.
/// Begins with a recovery: what the journal, the arena and the shelf say is taken over.
class supervisor_host {
public:
  /// Makes the directories, recovers (synchronously: the loop does not serve yet), spawns
  /// the actors and sends them to adopt what is there.
  /// @param l, keeper, cgroups Outlive the host.
  static result<std::unique_ptr<supervisor_host>> make(io::loop& l, io::shelf& keeper,
                                                       const runtime::cgroup_host& cgroups,
                                                       supervisor_options options,
                                                       runtime::engine_policy policy = {});
  ~supervisor_host(); ///< After `shutdown` has answered, or `abandon`.

  [[nodiscard]] front& door() noexcept { return *gate_; }
  [[nodiscard]] services& shared() noexcept { return *services_; }
  /// The listening sockets of an earlier life, as they lay on the shelf: who opens one takes it
  /// from here.
  [[nodiscard]] std::vector<io::shelf_entry>& listeners() noexcept { return listeners_; }
  [[nodiscard]] caf::actor_system& system() noexcept { return *system_; }

  /// From now on calls end because we go, and not because their clients leave. Before the
  /// gateways are stopped.
  void going_away() noexcept { services_->holds.close(); }

  /// Brings everything to rest: stops the containers or leaves them running, then ends the
  /// actors, then flushes the journal. `f` when nothing is in flight.
  void shutdown(bool stop_containers, std::string cause, std::function<void()> f);

  /// For the simulation: ends the actors at once, as a crash does, without a word to
  /// anybody. The kernel below answers nothing any more.
  void abandon();

private:
  supervisor_host(io::loop& l, io::shelf& keeper, const runtime::cgroup_host& cgroups);

  result<void> recover(supervisor_options options, runtime::engine_policy policy);
  result<void> make_directories(const supervisor_options& options);
  result<void> take_shelf();
  void end_idle_orphans();
  void say_started();
  void clear_leftovers();
  void clear_images();
  void look_for_strangers();
  void look_for_scopes();
  void spawn_actors();
  void expect_intents();
  void on_keeper_lost();

  io::loop& loop_;
  io::shelf& keeper_;
  const runtime::cgroup_host& cgroups_;
  std::unique_ptr<io::reaper> reaper_;
  std::unique_ptr<io::block_pool> blocks_;
  std::unique_ptr<runtime::ledger> ledger_;
  std::unique_ptr<runtime::engine> engine_;
  std::unique_ptr<services> services_;
  runtime::recovery_report report_;
  std::string boot_id_;
  bool first_start_ = false;
  bool ended_ = false;
  std::vector<io::shelf_entry> shelf_;
  std::vector<io::shelf_entry> listeners_;
  std::unique_ptr<io::loop_config> config_;
  std::unique_ptr<caf::actor_system> system_;
  supervisor_actor supervisor_;
  recorder_actor recorder_;
  std::unique_ptr<gate> gate_;
};

} // namespace gantry::actors
