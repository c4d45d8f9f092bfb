#pragma once

#include "actors/front.hpp"

namespace gantry::library {

using actors::answer;

/// The way to a supervisor, ours or another process's: what the public interface needs of it,
/// in the words of the bus. For the library's thread.
class link {
public:
  virtual ~link() = default;

  virtual void call(v1::VersionRequest req, answer<v1::VersionReply> f) = 0;
  virtual void call(v1::InfoRequest req, answer<v1::InfoReply> f) = 0;
  virtual void call(v1::CreateRequest req, answer<v1::CreateReply> f) = 0;
  virtual void call(v1::StartRequest req, answer<v1::StartReply> f) = 0;
  virtual void call(v1::KillRequest req, answer<v1::KillReply> f) = 0;
  virtual void call(v1::StopRequest req, answer<v1::StopReply> f) = 0;
  virtual void call(v1::PauseRequest req, answer<v1::PauseReply> f) = 0;
  virtual void call(v1::ResumeRequest req, answer<v1::ResumeReply> f) = 0;
  virtual void call(v1::UpdateRequest req, answer<v1::UpdateReply> f) = 0;
  virtual void call(v1::RemoveRequest req, answer<v1::RemoveReply> f) = 0;
  virtual void call(v1::WaitRequest req, answer<v1::WaitReply> f) = 0;
  virtual void call(v1::ListRequest req, answer<v1::ListReply> f) = 0;
  virtual void call(v1::InspectRequest req, answer<v1::ContainerDetail> f) = 0;
  virtual void call(v1::StatsRequest req, answer<v1::StatsReply> f) = 0;
  virtual void call(v1::TopRequest req, answer<v1::TopReply> f) = 0;
  virtual void call(v1::ExecRequest req, answer<v1::ExecReply> f) = 0;
  virtual void call(v1::ExecSyncRequest req, answer<v1::ExecSyncReply> f) = 0;
  virtual void call(v1::ListProcessesRequest req, answer<v1::ListProcessesReply> f) = 0;
  virtual void call(v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) = 0;
  virtual void call(v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) = 0;
  virtual void call(v1::DiskUseRequest req, answer<v1::DiskUseReply> f) = 0;
  virtual void call(v1::CheckpointRequest req, answer<v1::CheckpointReply> f) = 0;
  virtual void call(v1::ListCheckpointsRequest req, answer<v1::ListCheckpointsReply> f) = 0;
  virtual void call(v1::RemoveCheckpointRequest req, answer<v1::RemoveCheckpointReply> f) = 0;
  virtual void call(v1::ResizeRequest req, answer<v1::ResizeReply> f) = 0;
  virtual void call(v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) = 0;
  virtual void call(v1::RunProbeRequest req, answer<v1::RunProbeReply> f) = 0;
  virtual void call(v1::ReadEvidenceRequest req, answer<v1::Evidence> f) = 0;

  /// A descriptor, or where it can be fetched.
  struct fd_offer {
    int fd = -1; ///< Owned by who gets it; -1: fetch it.
    std::string socket{}, ticket{};
  };
  virtual void call(v1::GetProcessFdRequest req, answer<fd_offer> f) = 0;

  virtual result<std::unique_ptr<actors::event_source>> follow(v1::FollowRequest req) = 0;
  virtual result<std::unique_ptr<actors::log_follower>> read_log(v1::ReadLogRequest req) = 0;
  virtual result<std::unique_ptr<actors::attachment>> attach(v1::AttachOpen open) = 0;

  /// Whether a changing request may have to be repeated: it then needs a request id.
  [[nodiscard]] virtual bool may_repeat() const noexcept = 0;
};

} // namespace gantry::library
