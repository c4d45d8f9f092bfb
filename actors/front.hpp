#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "io/kernel.hpp"
#include "io/log_reader.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::actors {

/// Callback with the answer to one request: exactly once, on the loop, never from inside
/// the call.
template <class T>
using answer = std::function<void(result<T>)>;

/// Follows a log: the pull side of `Logs.Read`. Destroy it to stop, as an `event_source`.
class log_follower {
public:
  virtual ~log_follower() = default;
  /// The next chunks; empty when the log has come to its end (or, without follow, when
  /// everything there is was read). One call at a time.
  virtual void next(size_t max_bytes, answer<std::vector<v1::LogChunk>> f) = 0;
};

/// Follows the events: the pull side of `Events.Follow`. Destroy it to stop: no callback
/// comes after that.
class event_source {
public:
  virtual ~event_source() = default;
  /// The next items, at most about `max_bytes`; empty when a source that does not follow has
  /// come to its end. One call at a time.
  virtual void next(size_t max_bytes, answer<std::vector<v1::FollowItem>> f) = 0;
};

/// One client at a process's streams: both sides of `Processes.Attach`. Destroy it to leave:
/// no callback comes after that; input that was taken is still written.
class attachment {
public:
  virtual ~attachment() = default;
  /// The next replies; empty behind the last one. One call at a time.
  virtual void next(size_t max_bytes, answer<std::vector<v1::AttachReply>> f) = 0;
  /// Input or a size. An error ends the call. False: no more, please, until `on_room`'s `f`.
  virtual result<bool> take(v1::AttachRequest req) = 0;
  /// The client will send nothing more.
  virtual void end_of_requests() = 0;
  virtual void on_room(std::function<void()> f) = 0;
};

/// A wait for an exit. Destroy it, and nobody is told any more.
class pending_wait {
public:
  virtual ~pending_wait() = default;
};

/// What every gateway and every embedding program speaks to: the supervisor without its
/// actors. One thread: the loop's.
class front {
public:
  virtual ~front() = default;

  virtual void call(const v1::By& by, v1::VersionRequest req, answer<v1::VersionReply> f) = 0;
  virtual void call(const v1::By& by, v1::InfoRequest req, answer<v1::InfoReply> f) = 0;
  virtual void call(const v1::By& by, v1::DiskUseRequest req, answer<v1::DiskUseReply> f) = 0;
  virtual void call(const v1::By& by, v1::CreateRequest req, answer<v1::CreateReply> f) = 0;
  virtual void call(const v1::By& by, v1::StartRequest req, answer<v1::StartReply> f) = 0;
  virtual void call(const v1::By& by, v1::KillRequest req, answer<v1::KillReply> f) = 0;
  virtual void call(const v1::By& by, v1::StopRequest req, answer<v1::StopReply> f) = 0;
  virtual void call(const v1::By& by, v1::PauseRequest req, answer<v1::PauseReply> f) = 0;
  virtual void call(const v1::By& by, v1::ResumeRequest req, answer<v1::ResumeReply> f) = 0;
  virtual void call(const v1::By& by, v1::UpdateRequest req, answer<v1::UpdateReply> f) = 0;
  virtual void call(const v1::By& by, v1::RemoveRequest req, answer<v1::RemoveReply> f) = 0;
  virtual void call(const v1::By& by, v1::CheckpointRequest req, answer<v1::CheckpointReply> f) = 0;
  virtual void call(const v1::By& by, v1::ListCheckpointsRequest req,
                    answer<v1::ListCheckpointsReply> f) = 0;
  virtual void call(const v1::By& by, v1::RemoveCheckpointRequest req,
                    answer<v1::RemoveCheckpointReply> f) = 0;
  virtual void call(const v1::By& by, v1::WaitRequest req, answer<v1::WaitReply> f) = 0;
  virtual void call(const v1::By& by, v1::ListRequest req, answer<v1::ListReply> f) = 0;
  virtual void call(const v1::By& by, v1::InspectRequest req, answer<v1::ContainerDetail> f) = 0;
  virtual void call(const v1::By& by, v1::StatsRequest req, answer<v1::StatsReply> f) = 0;
  virtual void call(const v1::By& by, v1::TopRequest req, answer<v1::TopReply> f) = 0;
  virtual void call(const v1::By& by, v1::ExecRequest req, answer<v1::ExecReply> f) = 0;
  virtual void call(const v1::By& by, v1::RunProbeRequest req, answer<v1::RunProbeReply> f) = 0;
  virtual void call(const v1::By& by, v1::ReadEvidenceRequest req, answer<v1::Evidence> f) = 0;
  virtual void call(const v1::By& by, v1::ListProcessesRequest req,
                    answer<v1::ListProcessesReply> f) = 0;
  virtual void call(const v1::By& by, v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) = 0;
  virtual void call(const v1::By& by, v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) = 0;
  virtual void call(const v1::By& by, v1::ResizeRequest req, answer<v1::ResizeReply> f) = 0;
  virtual void call(const v1::By& by, v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) = 0;
  virtual void call(const v1::By& by, v1::GetProcessFdRequest req,
                    answer<v1::GetProcessFdReply> f) = 0;

  /// A pidfd of a living process, for who lives in this program and needs no ticket.
  virtual result<io::fd> process_fd(const v1::GetProcessFdRequest& req) = 0;
  /// What a ticket of `GetProcessFd` stands for, when the process presents it that asked.
  virtual result<io::fd> redeem(const v1::By& by, std::string_view ticket) = 0;

  /// As the call, but it can be left: nothing of it stays once what is returned is gone (which
  /// may be empty where the answer is on its way already).
  virtual std::unique_ptr<pending_wait> wait(const v1::By& by, v1::WaitRequest req,
                                             answer<v1::WaitReply> f) = 0;

  /// Runs a process, waits for its end and gives the two ends of its output. Destroy what is
  /// returned to leave; what becomes of the process then stands in its spec (`on_disconnect`).
  virtual std::unique_ptr<pending_wait> exec_sync(const v1::By& by, const v1::ExecSyncRequest& req,
                                                  answer<v1::ExecSyncReply> f) = 0;

  /// Begins to follow the events.
  virtual result<std::unique_ptr<event_source>> follow(v1::FollowRequest req) = 0;

  /// Joins a process's streams.
  virtual result<std::unique_ptr<attachment>> attach(const v1::By& by,
                                                     const v1::AttachOpen& open) = 0;

  /// Begins to read a log.
  virtual result<std::unique_ptr<log_follower>> read_log(const v1::ReadLogRequest& req) = 0;
};

} // namespace gantry::actors
