#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/host.hpp"
#include "tests/sim/sim_life.hpp"
#include "tests/sim/sim_programs.hpp"
#include "tests/sim/sim_runtime.hpp"

namespace gantry::sim {

/// A host with a whole supervisor on it, which lives, is killed and lives again.
class world {
public:
  explicit world(machine_options o);
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  machine host;
  std::shared_ptr<oci_containers> oci;

  /// Starts a supervisor that is killed at its `kill_at`th call of the kernel (0: never).
  /// False if it did not come up; without a kill that is a failure, said in `why`.
  bool begin_life(uint64_t kill_at = 0);
  /// SIGKILL.
  void kill();
  /// Takes a dead supervisor's remains away, or stops a living one in good order.
  void end_life();

  [[nodiscard]] bool lives() const noexcept { return here_ && sup_ && !here_->dead(); }
  [[nodiscard]] actors::front& door() noexcept { return sup_->door(); }
  [[nodiscard]] actors::services& shared() noexcept { return sup_->shared(); }
  [[nodiscard]] life& here() noexcept { return *here_; }
  [[nodiscard]] uint64_t calls() const noexcept { return here_ ? here_->kernel.calls() : 0; }

  /// Turns until `done`; false if the supervisor died, or time ran out.
  template <class F>
  bool until(F done, nanoseconds limit = std::chrono::minutes(5)) {
    return here_->until(done, limit);
  }
  /// Lets virtual time pass with the supervisor at work.
  void pass(nanoseconds span);
  /// Wakes whoever looks at the world after this much time.
  void alarm(nanoseconds span);

  /// One request, waited for; empty if the supervisor died meanwhile.
  template <class Reply, class Request>
  std::optional<result<Reply>> ask(Request req) {
    auto got = std::make_shared<std::optional<result<Reply>>>();
    door().call(by_, std::move(req), [got](result<Reply> r) { *got = std::move(r); });
    until([&] { return got->has_value(); });
    return std::move(*got);
  }
  /// The same for a supervisor that must answer.
  template <class Reply, class Request>
  result<Reply> must(Request req) {
    auto got = ask<Reply>(std::move(req));
    return got ? *std::move(got) : result<Reply>(error{ec::unavailable, "no answer", ""});
  }

  /// All events that are kept, from the beginning.
  std::vector<v1::Event> events();
  v1::ListReply list();
  /// Everything the records say, without what a restart changes by itself.
  /// @param exits With those of removed containers.
  std::string state(bool exits);
  std::string state_text(); ///< The same for a reader.

  static v1::Ref ref(const std::string& id);
  static v1::ContainerSpec spec(const std::vector<std::string>& args);
  /// The same from a client's bundle: its small config.json costs less than the one that
  /// gantry writes for a root filesystem.
  static v1::ContainerSpec bundle_spec(const std::vector<std::string>& args);
  [[nodiscard]] const v1::By& by() const noexcept { return by_; }
  [[nodiscard]] static actors::supervisor_options options();

  /// Says something to stderr with the virtual time, if GANTRY_SIM_TRACE is set.
  void trace(const std::string& what) const;

  /// Called before each turn of an orderly end, until the supervisor is at rest.
  std::function<void()> while_it_ends;

  std::string why;       ///< Why a supervisor did not come up.
  uint64_t lives_lived = 0;
  uint64_t kills = 0;

private:
  std::unique_ptr<life> here_;
  std::unique_ptr<runtime::cgroup_host> cgroups_;
  std::unique_ptr<actors::supervisor_host> sup_;
  v1::By by_;
};

} // namespace gantry::sim
