#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "messages/journal.pb.h"
#include "messages/result.hpp"
#include "runtime/ids.hpp"

namespace gantry::runtime {

class snapshot_pieces;

/// Bounds of what is remembered about the past: policy, plain data.
struct world_policy {
  size_t max_finished_execs = 64;    ///< Per container; the oldest is forgotten first.
  size_t max_finished_exits = 4096;  ///< Of removed containers, for a late wait.
  int64_t finished_age_ns = 3'600'000'000'000; ///< … and not older than an hour.
  size_t max_requests = 4096;        ///< Answers remembered for repeated request ids.
};

/// So many captures of evidence are kept of a container, and none that is older.
inline constexpr size_t most_evidence = 5;
inline constexpr int64_t evidence_age_ns = 7 * 86'400'000'000'000;

/// One process as the records tell it. (A lean copy of journal::ProcessState.)
struct process_view {
  std::string id;
  uint64_t serial = 0;
  uint32_t run = 0; ///< In which it was made.
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  enum class phase_t : uint8_t { adding, created, running, died, exited } phase = phase_t::adding;
  std::string spec;      ///< Serialized v1::ProcessSpec (execs only).
  std::string died;      ///< Serialized journal::Died between death and settling, else empty.
  std::optional<v1::Exit> exit;
  std::array<uint64_t, 2> output_bytes{}; ///< At the end of an output that outlived the exit.
  bool output_closed = false; ///< … has come to its end.
  bool with_stdin = false;
  bool stdin_closed = false;
  bool terminal = false;
  uint16_t width = 0; ///< Of the terminal, as far as somebody set it; 0: nobody did.
  uint16_t height = 0;
  int64_t started_at_ns = 0;
  uint64_t op = 0;
  std::string request_id;
  uint64_t cause = 0;
  uint64_t intent_seq = 0;
  std::string ended_by;     ///< Why gantry ended it: timeout, disconnect.
  int32_t ended_signal = 0; ///< … and by which signal.
  std::string kill_request; ///< Of a client's last kill, as far as the snapshots leave it …
  uint64_t kill_seq = 0;    ///< … and its record.
  int64_t ttl_ns = 0;       ///< Of an exec: so long it is remembered; 0: as the policy says.

  /// It has exited, and its output goes on: somebody else holds a stream.
  [[nodiscard]] bool io_open() const noexcept { return exit && exit->io_open() && !output_closed; }
};

/// One container as the records tell it.
struct container_view {
  container_name name;
  uint64_t instance = 0;
  uint32_t run = 0;
  v1::State state = v1::CREATING;
  v1::State before = v1::STATE_UNSPECIFIED; ///< State before the intent under way.
  bool paused = false;
  std::string spec; ///< Serialized v1::ContainerSpec: parsed only when asked for.
  bool remove_on_exit = false;
  bool restarts = false;     ///< It has a restart policy.
  bool has_health = false;   ///< It has probes, or a notify socket.
  bool has_after = false;    ///< Its start waits for others.
  int64_t max_run_ns = 0;    ///< A run may take so long; 0: no limit.
  std::string cgroup_parent; ///< Of the spec; empty: the supervisor's own.
  std::string cgroup_home;   ///< The supervisor's own when it was created; empty: nobody knows.
  bool by_systemd = false;   ///< Its cgroup is a scope that systemd makes.
  bool start_wanted = false;
  std::string runtime;
  std::vector<std::string> command;
  int64_t created_at_ns = 0;
  int64_t started_at_ns = 0;
  uint64_t op = 0;
  uint64_t intent_seq = 0;
  int64_t intent_at_ns = 0;
  std::string intent_request;
  std::optional<v1::By> intent_by;
  bool force = false;
  bool to_pack = false; ///< The snapshot in the making has yet to take it, as it is.
  int32_t stop_signal = 0;
  int64_t stop_timeout_ns = 0;
  uint64_t oom_kills = 0;
  uint64_t oom_limit_hits = 0; ///< With the last OOM kill.
  std::string oom_level;       ///< Of the last OOM kill.
  std::string oom_victim;      ///< The same: init, other or unknown.
  int64_t oom_at_ns = 0;       ///< The same: when it was noticed.
  uint64_t oom_seq = 0;        ///< Of its record.
  uint64_t oom_claimed = 0;    ///< OOM kills of this run that an exit has claimed.
  std::optional<journal::Undoing> undoing; ///< The failed create that is being undone.
  std::vector<process_view> processes; ///< init first
  // Rare, so kept as text:
  std::string health;                   ///< Serialized journal::HealthState.
  std::string restart_state;            ///< Serialized journal::RestartState.
  std::vector<std::string> checkpoints; ///< Serialized v1::Checkpoint, the oldest first.
  std::string checkpointing;            ///< Serialized journal::Checkpointing, under way.
  std::string restore;                  ///< Serialized journal::Restore of the run being made.
  std::vector<std::string> evidence;    ///< Serialized v1::EvidenceKept, the oldest first.
  std::vector<std::string> pressure;    ///< Serialized v1::PressureState, as the spec's thresholds.
  /// Init's log goes on from earlier runs: the number of their last file, 0 if they have none.
  std::optional<uint64_t> earlier_log_files;

  /// A run of it is made by one command of the runtime and started by another.
  [[nodiscard]] bool starts_in_steps() const noexcept;

  [[nodiscard]] const process_view* init() const noexcept;
  [[nodiscard]] const process_view* process(std::string_view id) const noexcept;
};

/// The sum of the records: what is true now. `apply` is total: a record that does not fit
/// (a later version's, a foreign one) changes nothing. Everything that lists or inspects
/// reads here and asks no actor, so one stuck container delays nobody.
class world {
public:
  explicit world(world_policy policy = {});

  void load(const journal::Snapshot& from);
  void apply(const journal::Record& r);
  [[nodiscard]] journal::Snapshot save() const; ///< seq, epoch and boot id are the caller's.
  /// The same in pieces: what was true when this was called, whatever is applied between them.
  /// One at a time. 1,000 containers: see bench/README.md.
  [[nodiscard]] std::unique_ptr<snapshot_pieces> pack();

  [[nodiscard]] const container_view* find(const container_name& name) const noexcept;
  using container_map = std::map<container_name, std::unique_ptr<container_view>>;
  [[nodiscard]] const container_map& all() const noexcept; ///< In the order of their names.

  /// The first answer to this request, if it was answered.
  [[nodiscard]] const journal::Answered* answer(const std::string& request_id) const noexcept;

  /// The container with an intent under way that this request asked for, or null. An
  /// empty id asks for nothing and finds nothing.
  [[nodiscard]] const container_view* pending(const std::string& request_id) const noexcept;

  /// The labels of an instance, living or removed not too long ago; null if it has none.
  [[nodiscard]] const std::map<std::string, std::string>* labels(uint64_t instance) const noexcept;

  /// A settled exit, of a living or a removed container. `instance` 0: the newest.
  struct found_exit { v1::Exit exit; uint64_t instance = 0; uint32_t run = 0; };
  [[nodiscard]] std::optional<found_exit> exit_of(const container_name& name, uint64_t instance,
                                                  const std::string& process) const;

  /// Next process serial; unique for the life of the journal.
  [[nodiscard]] uint64_t take_serial() noexcept;

  /// Finished execs beyond the bounds, to be recorded as forgotten: {name, instance, process}.
  struct forgettable { container_name name; uint64_t instance = 0; std::string process; };
  [[nodiscard]] std::vector<forgettable> beyond_bounds(int64_t now_ns) const;

  /// When the first finished exec becomes old enough to be forgotten (wall clock).
  [[nodiscard]] std::optional<int64_t> next_expiry() const;

  /// For the bus.
  [[nodiscard]] v1::Container summary(const container_view& c) const;

  /// How many containers have an intent under way, and how many answers are remembered.
  [[nodiscard]] size_t pending_count() const noexcept;
  [[nodiscard]] size_t answer_count() const noexcept;

  struct impl; ///< INTERNAL: see world_impl.hpp.

private:
  std::shared_ptr<impl> impl_;
};

/// starting, healthy or unhealthy; empty where it has no checks, or is not up.
std::string health_of(const container_view& c);

/// Whether the run that is can do its work now. It has said READY=1 at its notify socket (and not
/// STOPPING=1 since, nor missed its watchdog), where it has one, and its readiness probe passes,
/// where it has one; with neither it is healthy. False where it is not up, and where nothing can
/// tell: see `tells_readiness`. It changes with a `Notified` or a `ProbeEnded` record.
bool is_ready(const container_view& c);

/// Whether this container can ever be ready: it has a notify socket, or probes.
bool tells_readiness(const container_view& c) noexcept;

/// Whether a run of a probe that changes nothing is an event as well (`probe`): a topic of its own,
/// for who asks for it.
enum class probe_runs : uint8_t { hidden, told };

/// Whether these followers ask for it: they name its type.
bool wants_probe_runs(const v1::EventFilter& f);

/// The public event of a record; empty where the record is private.
std::optional<v1::Event> event_of(const journal::Record& r,
                                  probe_runs runs = probe_runs::hidden);

/// Whether an event passes a filter. An empty namespace means "default", "*" all. Labels are
/// those of the event (create) or, by instance, those that `w` knows; a container that was
/// removed longer ago than `world_policy::finished_age_ns` has none any more. A gap passes
/// always: a loss is never filtered away. What belongs to no container (the supervisor's own
/// life) passes any namespace, but not a filter for containers or labels.
bool passes(const v1::EventFilter& f, const v1::Event& e, const world& w);

/// Whether a container passes a filter; an empty one lets all pass.
bool passes(const v1::ListFilter& f, const v1::Container& c);

} // namespace gantry::runtime
