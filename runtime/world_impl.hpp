#pragma once

// INTERNAL to runtime/world*.cpp: what a world is made of.

#include "runtime/world.hpp"

namespace gantry::runtime {

using label_map = std::map<std::string, std::string>;

class world_packing;

/// The answer to a request, for its repeats.
struct kept_answer {
  std::string request_id;
  journal::Answered answer;
};

/// The labels of a container that is gone.
struct removed_labels {
  uint64_t instance = 0;
  int64_t removed_at_ns = 0;
  std::shared_ptr<const label_map> labels;
};

/// An exit that outlived its container.
struct finished_exit {
  container_name name;
  uint64_t instance = 0;
  uint32_t run = 0;
  std::string process;
  v1::Exit exit;
  int64_t removed_at_ns = 0;
};

/// The world's parts, for the files that implement it.
struct world::impl {
  world_policy policy;
  std::map<container_name, std::unique_ptr<container_view>> containers;
  // What is remembered of the past is never changed: a snapshot in the making holds on to it.
  std::unordered_map<std::string_view, std::shared_ptr<const kept_answer>> answers; ///< by id
  std::deque<std::shared_ptr<const kept_answer>> answer_order;
  std::deque<std::shared_ptr<const finished_exit>> finished;
  /// By instance; only of those that have some.
  std::unordered_map<uint64_t, std::shared_ptr<const label_map>> labels;
  std::deque<removed_labels> removed;
  uint64_t next_serial = 1;
  world_packing* packing = nullptr; ///< The snapshot in the making.

  /// Before anything of a container is changed, or it is taken away.
  void about_to_change(container_view& c);

  // -- intents (world_apply.cpp) --
  void begin_intent(container_view& c, const journal::Record& r, uint64_t op);
  void end_intent(container_view& c);

  // -- facts (world_apply.cpp) --
  void create(const journal::Record& r);
  void apply_to(container_view& c, const journal::Record& r);
  bool apply_intent(container_view& c, const journal::Record& r);
  bool begin_fresh_run(container_view& c, const journal::Record& r);
  void apply_process(container_view& c, const journal::Record& r);
  void started(container_view& c, const journal::Record& r);
  void add_exec(container_view& c, const journal::Record& r);
  void exited(container_view& c, const journal::Record& r);
  void updated(container_view& c, const journal::Updated& changed);
  void restored(container_view& c, const journal::Record& r);
  bool apply_checkpoint(container_view& c, const journal::Record& r);
  void follow_restarts(container_view& c, const journal::Record& r);
  void follow_pressure(container_view& c, const journal::Record& r);
  void follow_health(container_view& c, const journal::Record& r);
  void remember_answer(const std::string& request_id, const journal::Answered& a);

  /// Takes a container away and keeps its exits and labels for a while.
  void remove(const container_name& name, int64_t now_ns);
  void keep_exit(const container_view& c, const process_view& p, int64_t now_ns);
  void drop_process(container_view& c, const std::string& id);
  void remember_labels(uint64_t instance, const v1::ContainerSpec& spec);
  void prune(int64_t now_ns);
};

// One entry of a snapshot each (world_snapshot.cpp).
void save_container(const container_view& c, journal::ContainerState& out);
void save_answer(const kept_answer& x, journal::Request& out);
void save_exit(const finished_exit& x, journal::FinishedExit& out);
void save_removed(const removed_labels& x, journal::RemovedLabels& out);

/// The process with this id (empty: init), or null.
process_view* find_process(container_view& c, const std::string& id) noexcept;

/// What its restart policy has done, as far as there is anything to tell.
void fill_restart(const container_view& c, v1::Container& out);

/// What its health is, and what it says itself.
void fill_health(const container_view& c, v1::Container& out);

/// What its start waits for, while it does.
void fill_waiting(const world& w, const container_view& c, v1::Container& out);

/// What of a spec decides whether its records are followed for a policy.
void set_policies(container_view& c, const v1::ContainerSpec& spec);

/// Whether a process's kernel side may still be there.
bool is_alive(const process_view& p) noexcept;

void killed(container_view& c, const journal::Record& r);

} // namespace gantry::runtime
