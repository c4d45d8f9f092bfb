#pragma once

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/front.hpp"
#include "actors/services.hpp"
#include "io/fd_tickets.hpp"
#include "messages/actors.hpp"

namespace gantry::actors {

/// The front of a running supervisor: sends requests to the actors, answers questions from
/// the world, remembers the first answer to each request id.
class gate final : public front {
public:
  gate(caf::actor_system& sys, services& host, supervisor_actor to);
  ~gate() override;

  /// A request of an earlier life is still under way: a repeat waits for its outcome.
  void expect(const std::string& request_id, std::string method);

  /// Waits that nobody has left and that have no answer yet.
  [[nodiscard]] size_t waiting() const noexcept { return waiters_.size(); }

  /// Ends the actor behind it. Call before the actor system goes.
  void close();

  void call(const v1::By& by, v1::VersionRequest req, answer<v1::VersionReply> f) override;
  void call(const v1::By& by, v1::InfoRequest req, answer<v1::InfoReply> f) override;
  void call(const v1::By& by, v1::DiskUseRequest req, answer<v1::DiskUseReply> f) override;
  void call(const v1::By& by, v1::CreateRequest req, answer<v1::CreateReply> f) override;
  void call(const v1::By& by, v1::StartRequest req, answer<v1::StartReply> f) override;
  void call(const v1::By& by, v1::KillRequest req, answer<v1::KillReply> f) override;
  void call(const v1::By& by, v1::StopRequest req, answer<v1::StopReply> f) override;
  void call(const v1::By& by, v1::PauseRequest req, answer<v1::PauseReply> f) override;
  void call(const v1::By& by, v1::ResumeRequest req, answer<v1::ResumeReply> f) override;
  void call(const v1::By& by, v1::UpdateRequest req, answer<v1::UpdateReply> f) override;
  void call(const v1::By& by, v1::RemoveRequest req, answer<v1::RemoveReply> f) override;
  void call(const v1::By& by, v1::CheckpointRequest req, answer<v1::CheckpointReply> f) override;
  void call(const v1::By& by, v1::ListCheckpointsRequest req,
            answer<v1::ListCheckpointsReply> f) override;
  void call(const v1::By& by, v1::RemoveCheckpointRequest req,
            answer<v1::RemoveCheckpointReply> f) override;
  void call(const v1::By& by, v1::WaitRequest req, answer<v1::WaitReply> f) override;
  void call(const v1::By& by, v1::ListRequest req, answer<v1::ListReply> f) override;
  void call(const v1::By& by, v1::InspectRequest req, answer<v1::ContainerDetail> f) override;
  void call(const v1::By& by, v1::StatsRequest req, answer<v1::StatsReply> f) override;
  void call(const v1::By& by, v1::TopRequest req, answer<v1::TopReply> f) override;
  void call(const v1::By& by, v1::ExecRequest req, answer<v1::ExecReply> f) override;
  void call(const v1::By& by, v1::RunProbeRequest req, answer<v1::RunProbeReply> f) override;
  void call(const v1::By& by, v1::ReadEvidenceRequest req, answer<v1::Evidence> f) override;
  void call(const v1::By& by, v1::ListProcessesRequest req,
            answer<v1::ListProcessesReply> f) override;
  void call(const v1::By& by, v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) override;
  void call(const v1::By& by, v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) override;
  void call(const v1::By& by, v1::ResizeRequest req, answer<v1::ResizeReply> f) override;
  void call(const v1::By& by, v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) override;
  void call(const v1::By& by, v1::GetProcessFdRequest req,
            answer<v1::GetProcessFdReply> f) override;
  result<io::fd> process_fd(const v1::GetProcessFdRequest& req) override;
  result<io::fd> redeem(const v1::By& by, std::string_view ticket) override;

  std::unique_ptr<pending_wait> wait(const v1::By& by, v1::WaitRequest req,
                                     answer<v1::WaitReply> f) override;

  std::unique_ptr<pending_wait> exec_sync(const v1::By& by, const v1::ExecSyncRequest& req,
                                          answer<v1::ExecSyncReply> f) override;

  result<std::unique_ptr<event_source>> follow(v1::FollowRequest req) override;
  result<std::unique_ptr<attachment>> attach(const v1::By& by,
                                             const v1::AttachOpen& open) override;
  result<std::unique_ptr<log_follower>> read_log(const v1::ReadLogRequest& req) override;

private:
  /// What an actor of its own does for us: requests need a sender.
  using errand = std::function<void(caf::event_based_actor*)>;
  /// Whoever waits for the outcome of a request id.
  using listener = std::function<void(const result<std::string>&)>;
  struct under_way {
    std::string method;
    bool earlier_life = false;
    std::vector<listener> listeners;
  };

  template <class Reply, class Request>
  void send(const v1::By& by, Request req, answer<Reply> f);
  template <class Reply, class Request>
  void change(std::string_view method, const v1::By& by, Request req, answer<Reply> f);
  template <class Reply>
  void repeat(const journal::Answered& known, std::string_view method, answer<Reply> f);
  template <class T>
  void later(answer<T> f, result<T> value);
  void settle(const std::string& request_id, const result<std::string>& outcome);
  /// A container that was asked for, or why there is none.
  [[nodiscard]] result<const runtime::container_view*> look_up(const v1::Ref& ref) const;
  static std::string named_namespace(const std::string& asked);
  result<v1::GetProcessFdReply> ticket_for(const v1::By& by, const v1::GetProcessFdRequest& req);
  result<io::fd> open_process(const v1::GetProcessFdRequest& req, v1::GetProcessFdReply& what);
  uint64_t begin_wait(v1::WaitRequest req, answer<v1::WaitReply> f);
  void on_end(const journal::Record& r);

  caf::actor_system& sys_;
  services& host_;
  supervisor_actor to_;
  caf::actor errands_;
  /// Who waits for an actor's answer: it may go away before it gives one.
  std::map<uint64_t, std::function<void(const error&)>> asked_;
  uint64_t next_asked_ = 1;
  std::map<std::string, under_way> requests_;
  struct waiter {
    runtime::container_name who;
    uint64_t instance = 0;
    std::string process;
    answer<v1::WaitReply> f;
  };
  class held_wait;
  class sync_exec;
  std::map<uint64_t, std::shared_ptr<waiter>> waiters_;
  std::unique_ptr<runtime::ledger::watch> exits_;
  uint64_t next_waiter_ = 1;
  io::fd_tickets tickets_;
  std::shared_ptr<gate*> here_ = std::make_shared<gate*>(this); ///< For who outlives us.
};

template <class T>
void gate::later(answer<T> f, result<T> value) {
  host_.loop.post([f = std::move(f), value = std::move(value)]() mutable { f(std::move(value)); });
}

} // namespace gantry::actors
