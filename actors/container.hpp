#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "actors/container_parts.hpp"
#include "actors/container_table.hpp"
#include "runtime/accounts.hpp"
#include "runtime/restart_policy.hpp"

namespace gantry::actors {

/// State of the CONTAINER actor. Every change of phase goes through `attempt`, which asks
/// the table; every fact is recorded before anybody hears of it.
class container_state {
public:
  container_actor::stateful_pointer<container_state> self = nullptr;
  services* host = nullptr;
  runtime::container_name who;

  static inline const char* name = "container";

  ~container_state();

  // -- requests (container_create.cpp, container_exec.cpp, …) --
  caf::result<v1::CreateReply> create(const v1::By& by, const v1::CreateRequest& req);
  caf::result<v1::StartReply> start(const v1::By& by, const v1::StartRequest& req);
  caf::result<v1::ExecReply> exec(const v1::By& by, const v1::ExecRequest& req);
  caf::result<v1::KillReply> kill(const v1::By& by, const v1::KillRequest& req);
  caf::result<v1::StopReply> stop(const v1::By& by, const v1::StopRequest& req);
  caf::result<v1::PauseReply> pause(const v1::By& by, const v1::PauseRequest& req);
  caf::result<v1::ResumeReply> resume(const v1::By& by, const v1::ResumeRequest& req);
  caf::result<v1::UpdateReply> update(const v1::By& by, const v1::UpdateRequest& req);
  caf::result<v1::RemoveReply> remove(const v1::By& by, const v1::RemoveRequest& req);
  caf::result<v1::CheckpointReply> checkpoint(const v1::By& by, const v1::CheckpointRequest& req);
  caf::result<v1::RemoveCheckpointReply> remove_checkpoint(const v1::By& by,
                                                           const v1::RemoveCheckpointRequest& req);
  caf::result<v1::RunProbeReply> run_probe(const v1::By& by, const v1::RunProbeRequest& req);
  caf::result<v1::WriteStdinReply> write_stdin(const v1::WriteStdinRequest& req);
  caf::result<v1::CloseStdinReply> close_stdin(const v1::By& by, const v1::CloseStdinRequest& req);
  caf::result<v1::ResizeReply> resize(const v1::By& by, const v1::ResizeRequest& req);
  caf::result<atom::shutdown> shutdown();

  // -- what happens --
  void adopt();
  void on_bundle(const outcome& x);
  void on_made(const outcome& x);
  void on_started(const outcome& x);
  void on_exec_ready(const std::string& process, const outcome& x);
  void on_exec_made(const std::string& process, const outcome& x);
  void on_settled(const std::string& process, const v1::Exit& x);
  void on_unstarted(const std::string& process, const ended& e);
  void on_released(const std::string& process);
  void on_deleted(const outcome& x);
  void on_updated(const outcome& x);
  void on_checkpointed(const outcome& x);
  void on_frozen_tick();
  void on_grace(uint64_t stop_number);
  void on_stuck(uint64_t stop_number);
  void on_sweep();
  void on_undo();
  void on_restart_due(uint64_t number);
  void on_after();
  void on_overtime(uint32_t run);
  void on_oom(uint64_t seq);
  void on_pressure(uint64_t seq);
  void on_probe();
  void on_probed(const std::string& process, const std::string& output);
  void on_overdue(const std::string& process, uint64_t serial);
  void on_unheld(const std::string& process, uint64_t serial);
  void on_orphan(const std::string& process);

  /// Something happened: `what` is told, but not from `shutdown` on. What comes then is for
  /// the next life to find.
  template <class... X, class... Y>
  void hear(void (container_state::*what)(X...), const Y&... x) {
    if (*here_)
      (this->*what)(x...);
  }

private:
  // -- the table --
  template <class Reply>
  void attempt(event e, pending<Reply> promise, std::function<void(const rule&)> act);
  void happen(event e, std::function<void()> act);
  void enter(phase next);
  void come_to_stop();
  void ask_again();
  /// `f` as a callback of the loop or the engine, which may come when this state has gone.
  template <class F>
  [[nodiscard]] auto while_here(F f) const;
  [[nodiscard]] error refusal(std::string_view why) const;

  // -- records --
  [[nodiscard]] journal::Record record() const;
  [[nodiscard]] journal::Record record(const v1::By& by, const std::string& request_id) const;
  [[nodiscard]] journal::Record record_of(const std::string& process, const v1::By& by,
                                          const std::string& request_id) const;
  [[nodiscard]] process_names names(const std::string& process) const;
  [[nodiscard]] const runtime::container_view* view() const;

  // -- making --
  void begin_making();
  void adopt_made(const outcome& made, std::shared_ptr<process_streams> terminal);
  void make_with_runtime();
  void open_init_fifos();
  void record_run(const outcome& x, uint64_t cause);
  bool take_init_terminal();
  void answer_create(const std::shared_ptr<making>& work);
  void fail_making(error why);
  void undo_making();
  void undo_later(const error& hindrance);
  void finish_undo();
  void arm_undo();
  void answer_making();
  void watch_cgroup();
  void watch_pressure();
  void spawn_process(const std::string& process, uint64_t serial, process_streams streams,
                     bool stdin_closed);
  void try_start(const v1::By& by, const v1::StartRequest& req, pending<v1::StartReply> p);
  void begin_start(const v1::By& by, const std::string& request_id, uint64_t op);
  void finish_start();
  void begin_fresh_run(const v1::By& by, const v1::StartRequest& req, pending<v1::StartReply> p);
  void begin_fresh_run(const std::shared_ptr<making>& work);
  uint64_t end_earlier_log(uint64_t serial);

  // -- waiting for others (container_after.cpp) --
  [[nodiscard]] runtime::after_policy after() const;
  [[nodiscard]] runtime::after_outlook outlook(const runtime::after_policy& policy,
                                               int64_t since_ns) const;
  [[nodiscard]] result<void> may_start(bool at_once) const;
  bool start_or_wait(uint64_t cause);
  void watch_others();
  void fail_start(const std::shared_ptr<making>& work, const error& why);
  void refuse_start(const std::shared_ptr<making>& work, const error& why);
  [[nodiscard]] bool wait_cut_off() const;

  // -- restarts (container_restart.cpp) --
  [[nodiscard]] bool over() const noexcept;
  void consider_restart(uint64_t cause);
  void schedule_restart(const runtime::restart_decision& d, int64_t now_ns, uint64_t cause);
  void arm_restart(io::nanoseconds after);
  void disarm_restart();
  void adopt_restart();
  void try_restart();
  void cancel_restart(const v1::By& by, const v1::StopRequest& req, pending<v1::StopReply> p);

  // -- exec --
  void try_exec(const v1::By& by, const v1::ExecRequest& req, pending<v1::ExecReply> promise);
  void begin_exec(const v1::By& by, const v1::ExecRequest& req, pending<v1::ExecReply> p);
  void prepare_exec(const std::string& process);
  void find_exec_user(const std::string& process);
  void open_exec_fifos(const std::string& process);
  void tell_exec_ready(const std::string& process, const result<void>& x);
  void take_exec_terminal(const std::string& process, result<process_streams> x);
  void fail_exec(const std::string& process, error why);
  void done_making_exec(const std::string& process);

  void make_exec(const std::string& process, uint64_t serial, const v1::By& by,
                 const v1::ExecRequest& req, std::optional<pending<v1::ExecReply>> p);

  // -- health (container_health.cpp) --
  void follow_phase(phase before);
  void take_care();
  void adopt_health();
  void freeze_care(std::string_view why);
  void arm_probes();
  void begin_probe(size_t which);
  void begin_exec_probe(size_t which);
  void await_turn(size_t which);
  void take_turns();
  void drop_calls();
  void look_at_limits();
  void call_probe(size_t which);
  void take_answers();
  void drop_probe(size_t which, const error& why);
  void answer_asked(size_t which, const std::function<void(pending<v1::RunProbeReply>&)>& f);
  [[nodiscard]] std::optional<size_t> probe_named(std::string_view process) const;
  void probe_failed(const std::string& process, const error& why);
  void probe_exited(const std::string& process, process_entry& entry);
  void read_probe(const std::string& process, uint64_t serial);
  void take_result(size_t which, runtime::probe_result r, uint64_t cause);

  // -- what it says itself (container_notify.cpp) --
  result<void> make_notify();
  void adopt_notify();
  void open_notify();
  void close_notify();
  void follow_notify();
  void hear_notices();
  bool may_read_notices(int64_t now_ns);
  bool read_notices(int64_t now_ns);
  [[nodiscard]] bool is_heard(int32_t pid) const;
  void settle_notices(const runtime::notify_state& before, const runtime::notify_step& sum);
  uint64_t record_notified(const std::string& what);
  void judge_notices(bool well, std::string text, uint64_t cause);
  void judge_deadline(int64_t now_ns, bool drained);
  void arm_notify(int64_t now_ns, bool drained);
  void put_off_grace();
  void begin_notify_grace(io::nanoseconds grace);

  // -- illness and limits (container_ladder.cpp, container_limits.cpp) --
  void act_on_illness(uint64_t cause);
  void take_step(uint64_t cause, uint64_t evidence);
  void do_act(const runtime::unhealthy_act& act, uint64_t cause, uint64_t evidence);
  void freeze_ill(uint64_t cause);
  void call_hook(const std::string& program, uint64_t number, uint64_t evidence);
  void adopt_hooks();
  void record_hook(uint64_t number, journal::Record r);
  void resume_ladder();
  void capture(const std::string& reason, uint64_t cause,
               std::function<void(uint64_t, uint64_t)> then);
  uint64_t keep_evidence(const v1::EvidenceKept& kept, uint64_t cause);
  void sweep_evidence();
  void follow_run_time();
  void count_ooms(oom_account::past known);
  [[nodiscard]] result<void> check_new_policies(const v1::UpdateRequest& req) const;
  uint64_t record_update(const v1::By& by, const v1::UpdateRequest& req);
  void change_care();

  // -- an exec's end (container_exec_end.cpp) --
  void watch_exec(const std::string& process);
  void arm_overdue(const std::string& process, io::nanoseconds after);
  void adopt_exec_end(const std::string& process);
  [[nodiscard]] bool runs(const std::string& process, uint64_t serial) const;
  void end_exec(const std::string& process, const std::string& reason, int sig);
  void kill_tree(const process_entry& p);
  [[nodiscard]] runtime::exec_cgroup exec_group(uint64_t serial) const;
  void leave_exec(const std::string& process, uint64_t serial);
  void sweep_execs();

  // -- signals --
  [[nodiscard]] runtime::cgroup group() const;
  result<void> signal_process(const process_entry& p, int sig);
  caf::result<v1::KillReply> kill_again(const v1::KillRequest& req,
                                        const runtime::process_view& p, int asked);
  [[nodiscard]] int heard_as(int sig, bool final) const;
  void kill_exec_tree(const v1::By& by, const v1::KillRequest& req, const runtime::process_view& p,
                      int sig, pending<v1::KillReply> answer);
  uint64_t record_kill(const std::string& process, int sig, bool all, const v1::By* by,
                       const std::string& request_id, uint64_t cause, bool final = false,
                       const std::string& reason = {});
  [[nodiscard]] bool ends_for_good(int sig) const;
  void kill_everything(const v1::By& by, uint64_t cause);
  void begin_stop(const v1::By& by, const v1::StopRequest& req) { begin_stop(by, req, {}); }
  void begin_stop(const v1::By& by, const v1::StopRequest& req, const stop_reason& why);
  void join_stop(const v1::By& by, const v1::StopRequest& req);
  void arm_grace(io::nanoseconds after);
  void extend_grace(io::nanoseconds after);
  void arm_stuck();
  template <class Atom>
  void arm_stop(io::nanoseconds after, Atom what);
  void answer_stops(const v1::Exit& x);
  void end_of_run(const v1::Exit& x);
  void thaw_for_end(const v1::By* by, uint64_t cause);

  // -- pause --
  void try_pause(const v1::By& by, const v1::PauseRequest& req, pending<v1::PauseReply> p);
  void begin_pause(const v1::By& by, const v1::PauseRequest& req,
                   std::optional<pending<v1::PauseReply>> p, uint64_t cause = 0);
  void fail_pause(error why);
  // -- checkpoints (container_checkpoint.cpp) --
  [[nodiscard]] result<v1::Checkpoint> wanted_checkpoint(const v1::CheckpointRequest& req) const;
  [[nodiscard]] std::optional<v1::Checkpoint> known_checkpoint(const std::string& name) const;
  /// Nothing where the start is to begin anew.
  [[nodiscard]] result<std::optional<journal::Restore>> restore_of(const v1::StartRequest& r) const;
  static journal::Restore images_in(const std::string& dir);
  void undo_log(std::function<void()> f);
  void begin_checkpoint(const v1::By& by, const v1::CheckpointRequest& req,
                        pending<v1::CheckpointReply> promise);
  void make_images();
  void fail_checkpoint(error why);
  void leave_checkpointing(event how);
  void adopt_checkpoint(const runtime::container_view& v);
  void orphan_checkpoint_ended();

  // -- removal --
  void begin_remove(const v1::By& by, const std::string& request_id, bool force, uint64_t cause);
  void continue_remove();
  [[nodiscard]] bool living() const;
  void fail_remove(error why);
  void remove_next_log();
  void remove_cgroup();
  void remove_checkpoints();
  void finish_remove();
  void go_away();
  void say_goodbye();

  // -- adoption --
  void finish_run(const runtime::container_view& v);
  void adopt_process(const runtime::process_view& p);
  void adopt_exec(const runtime::process_view& p);
  void adopt_exited(const runtime::process_view& p);
  void output_lost(const runtime::process_view& p);
  void adopt_making(const runtime::container_view& v);
  void await_orphan(uint64_t op, const std::string& process);
  void orphan_create_ended();
  void orphan_exec_ended(const std::string& process);
  void adopt_phase(const runtime::container_view& v);
  void adopt_stop(const runtime::container_view& v);
  void adopt_start(const runtime::container_view& v);
  void adopt_removal(const runtime::container_view& v);
  void report_restored(const runtime::container_view& v);

  phase at_ = phase::creating;
  uint64_t instance_ = 0;
  uint32_t run_ = 1;
  std::string runtime_;
  bool remove_on_exit_ = false;
  bool ended_ = false; ///< The actor has said goodbye.
  uint64_t stop_number_ = 0;
  std::unique_ptr<io::timer> stop_timer_; ///< The grace, then the patience after SIGKILL.
  uint64_t stop_seq_ = 0;
  std::string stop_request_;
  v1::By stop_by_; ///< Who asked for the stop under way.
  io::nanoseconds killed_at_{0};
  size_t execs_making_ = 0;
  std::set<uint64_t> lingering_; ///< Serials of ended execs whose cgroup is not gone yet.
  std::unique_ptr<io::timer> linger_timer_;
  unsigned linger_looks_ = 0;
  std::map<std::string, process_entry> processes_;
  std::shared_ptr<oom_account> oom_;
  std::unique_ptr<runtime::cgroup_watch> cgroup_watch_;
  std::deque<std::function<void()>> waiting_;
  std::shared_ptr<making> making_; ///< Shared with the wait for the disk.
  std::map<std::string, std::unique_ptr<exec_making>> execs_;
  std::unique_ptr<removing> removing_;
  std::unique_ptr<dumping> dumping_;
  std::vector<pending<v1::StopReply>> stops_;
  std::optional<pending<v1::PauseReply>> pause_;
  io::nanoseconds pause_deadline_{0};
  size_t pauses_waiting_ = 0;
  uint64_t pause_seq_ = 0;
  unsigned freeze_looks_ = 0;
  std::string pause_request_;
  v1::By pause_by_;
  struct updating {
    std::optional<pending<v1::UpdateReply>> promise;
    v1::By by;
    v1::UpdateRequest request;
  };
  std::unique_ptr<updating> updating_;
  std::map<std::string, std::shared_ptr<io::poll_op>> orphan_waits_; ///< By process.
  io::nanoseconds undo_pause_{0}; ///< Before a failed deletion is tried again.
  std::unique_ptr<io::timer> undo_timer_;
  std::unique_ptr<after_wait> wait_; ///< While its start waits.
  std::unique_ptr<io::timer> restart_timer_;
  std::unique_ptr<io::timer> run_timer_; ///< To the end of its maximum run time.
  std::unique_ptr<caring> health_;
  io::fd notify_socket_; ///< Until the run is up.
  std::unique_ptr<notifying> notify_;
  bool capturing_ = false; ///< Evidence is being taken.
  std::map<std::string, std::shared_ptr<probe_reading>> probe_reads_; ///< By process.
  uint64_t restart_number_ = 0; ///< Of the restart that is awaited.
  /// False once this state is going or gone: it is destroyed when the actor quits, while
  /// handles of the actor still stand.
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
};

/// @param host Outlives the actor.
container_actor::behavior_type container(container_actor::stateful_pointer<container_state> self,
                                         services* host, runtime::container_name who);

template <class F>
auto container_state::while_here(F f) const {
  return
    [here = here_, me = container_actor{self}, f = std::move(f)]<class... T>(T&&... x) mutable {
      if (*here)
        f(std::forward<T>(x)...);
    };
}

template <class Reply>
void container_state::attempt(event e, pending<Reply> promise,
                              std::function<void(const rule&)> act) {
  const auto& r = decide(at_, e);
  switch (r.what) {
    case verdict::go:
    case verdict::done:
      act(r);
      return;
    case verdict::later:
      waiting_.push_back([this, e, promise, act] { attempt<Reply>(e, promise, act); });
      return;
    case verdict::refuse:
    case verdict::ignore:
      promise.deliver(to_caf(refusal(r.why)));
      return;
    case verdict::bug:
      GANTRY_CHECK(!"a request has no rule");
  }
}

} // namespace gantry::actors
