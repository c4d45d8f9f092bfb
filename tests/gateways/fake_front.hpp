#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "actors/front.hpp"
#include "io/fd_tickets.hpp"

namespace gantry::test {

/// A front without a supervisor behind it. It answers at once (in the same turn, never from
/// inside the call); what it does depends on the request:
///   container id "missing"   the error not_found, with a cure and words beyond ASCII
///   container id "hang"      no answer until `release`
///   List, namespace "N:B"    N containers, each with a label of B bytes
///   Inspect                  the id comes back, and the caller as the message "uid/gid/pid"
///   WriteStdin               answers offset + the number of bytes
///   Follow, container "N:B"  N events, each with B bytes of message; then the end, or with
///                            `follow` those of `publish`
///   ReadLog, tail N          N chunks of 1000 bytes
///   GetProcessFd, "N"        a ticket for the process of that pid, ours for none
class fake_front final : public actors::front {
public:
  explicit fake_front(io::loop& l) : loop_(l), tickets_(l) {}

  void call(const v1::By&, v1::VersionRequest, actors::answer<v1::VersionReply> f) override;
  void call(const v1::By&, v1::InfoRequest, actors::answer<v1::InfoReply> f) override;
  void call(const v1::By&, v1::DiskUseRequest r, actors::answer<v1::DiskUseReply> f) override;
  void call(const v1::By&, v1::CreateRequest r, actors::answer<v1::CreateReply> f) override;
  void call(const v1::By&, v1::StartRequest r, actors::answer<v1::StartReply> f) override;
  void call(const v1::By&, v1::KillRequest r, actors::answer<v1::KillReply> f) override;
  void call(const v1::By&, v1::StopRequest r, actors::answer<v1::StopReply> f) override;
  void call(const v1::By&, v1::PauseRequest r, actors::answer<v1::PauseReply> f) override;
  void call(const v1::By&, v1::ResumeRequest r, actors::answer<v1::ResumeReply> f) override;
  void call(const v1::By&, v1::UpdateRequest r, actors::answer<v1::UpdateReply> f) override;
  void call(const v1::By&, v1::RemoveRequest r, actors::answer<v1::RemoveReply> f) override;
  void call(const v1::By&, v1::CheckpointRequest r, actors::answer<v1::CheckpointReply> f) override;
  void call(const v1::By&, v1::ListCheckpointsRequest r,
            actors::answer<v1::ListCheckpointsReply> f) override;
  void call(const v1::By&, v1::RemoveCheckpointRequest r,
            actors::answer<v1::RemoveCheckpointReply> f) override;
  void call(const v1::By&, v1::WaitRequest r, actors::answer<v1::WaitReply> f) override;
  void call(const v1::By&, v1::ListRequest r, actors::answer<v1::ListReply> f) override;
  void call(const v1::By& by, v1::InspectRequest r, actors::answer<v1::ContainerDetail> f) override;
  void call(const v1::By&, v1::StatsRequest r, actors::answer<v1::StatsReply> f) override;
  void call(const v1::By&, v1::TopRequest r, actors::answer<v1::TopReply> f) override;
  void call(const v1::By&, v1::ExecRequest r, actors::answer<v1::ExecReply> f) override;
  void call(const v1::By&, v1::ReadEvidenceRequest, actors::answer<v1::Evidence> f) override {
    loop_.post([f] { f(v1::Evidence()); });
  }
  void call(const v1::By&, v1::RunProbeRequest, actors::answer<v1::RunProbeReply> f) override {
    loop_.post([f] { f(v1::RunProbeReply()); });
  }
  void call(const v1::By&, v1::ListProcessesRequest r,
            actors::answer<v1::ListProcessesReply> f) override;
  std::unique_ptr<actors::pending_wait> exec_sync(const v1::By& by, const v1::ExecSyncRequest& r,
                                                  actors::answer<v1::ExecSyncReply> f) override;
  void call(const v1::By&, v1::WriteStdinRequest r, actors::answer<v1::WriteStdinReply> f) override;
  void call(const v1::By&, v1::CloseStdinRequest r, actors::answer<v1::CloseStdinReply> f) override;
  void call(const v1::By&, v1::ResizeRequest r, actors::answer<v1::ResizeReply> f) override;
  void call(const v1::By&, v1::ReopenLogRequest r, actors::answer<v1::ReopenLogReply> f) override;
  void call(const v1::By& by, v1::GetProcessFdRequest r,
            actors::answer<v1::GetProcessFdReply> f) override;
  result<io::fd> process_fd(const v1::GetProcessFdRequest& req) override;
  result<io::fd> redeem(const v1::By& by, std::string_view ticket) override;
  std::unique_ptr<actors::pending_wait> wait(const v1::By& by, v1::WaitRequest r,
                                             actors::answer<v1::WaitReply> f) override;
  result<std::unique_ptr<actors::event_source>> follow(v1::FollowRequest req) override;
  /// Says what it is sent, and ends with the requests. Of a container called "slow": wants
  /// no more input until `release`.
  result<std::unique_ptr<actors::attachment>> attach(const v1::By& by,
                                                     const v1::AttachOpen& open) override;
  result<std::unique_ptr<actors::log_follower>> read_log(const v1::ReadLogRequest& req) override;

  /// One event for every follower that follows on.
  void publish(const std::string& type);

  /// Answers what hangs.
  void release();

  std::string fds_socket; ///< Told with each ticket.
  io::fd_tickets& tickets() noexcept { return tickets_; }
  size_t calls = 0;       ///< Requests that arrived.
  size_t hanging = 0;     ///< Of them without an answer.
  size_t sources = 0;     ///< Living followers.
  size_t waits = 0;       ///< Waits that nobody has left.
  size_t items_drawn = 0; ///< Events and chunks that were pulled.

private:
  class events;
  class chunks;
  class echo;

  template <class Reply>
  void respond(const v1::Ref& ref, Reply reply, actors::answer<Reply> f);
  template <class Reply>
  void later(result<Reply> r, actors::answer<Reply> f);

  io::loop& loop_;
  std::vector<std::function<void()>> hung_;
  std::vector<events*> followers_;
  io::fd_tickets tickets_;
};

} // namespace gantry::test
