#pragma once

// INTERNAL to runtime/world*.cpp: what a world is made of.

#include "runtime/world.hpp"

namespace gantry::runtime {

using label_map = std::map<std::string, std::string>;

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
  std::unordered_map<std::string, journal::Answered> answers;
  std::deque<std::string> answer_order;
  std::deque<finished_exit> finished;
  std::unordered_map<uint64_t, label_map> labels; ///< by instance; only of those that have some
  std::deque<std::pair<uint64_t, int64_t>> removed_labels; ///< {instance, removed_at_ns}
  uint64_t next_serial = 1;

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
