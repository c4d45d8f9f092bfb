#pragma once

#include <map>

#include "library/link.hpp"
#include "library/poll_reactor.hpp"

namespace gantry::library {

/// The link to another process's supervisor: gRPC over its unix socket. Commands share one
/// connection; each stream has one of its own, so that a slow reader holds up nobody else.
/// Lost connections are made again within the policy's patience: commands are repeated under
/// their request ids, streams go on behind what they brought last.
class remote_link final : public link {
public:
  remote_link(poll_reactor& r, std::string socket, client::channel_policy policy);
  ~remote_link() override; ///< After its streams.

  void call(v1::VersionRequest req, answer<v1::VersionReply> f) override {
    ask("/gantry.v1.Supervisor/Version", req, std::move(f));
  }
  void call(v1::InfoRequest req, answer<v1::InfoReply> f) override {
    ask("/gantry.v1.Supervisor/Info", req, std::move(f));
  }
  void call(v1::CreateRequest req, answer<v1::CreateReply> f) override {
    ask("/gantry.v1.Containers/Create", req, std::move(f));
  }
  void call(v1::StartRequest req, answer<v1::StartReply> f) override {
    ask("/gantry.v1.Containers/Start", req, std::move(f));
  }
  void call(v1::KillRequest req, answer<v1::KillReply> f) override {
    ask("/gantry.v1.Containers/Kill", req, std::move(f));
  }
  void call(v1::StopRequest req, answer<v1::StopReply> f) override {
    ask("/gantry.v1.Containers/Stop", req, std::move(f));
  }
  void call(v1::PauseRequest req, answer<v1::PauseReply> f) override {
    ask("/gantry.v1.Containers/Pause", req, std::move(f));
  }
  void call(v1::ResumeRequest req, answer<v1::ResumeReply> f) override {
    ask("/gantry.v1.Containers/Resume", req, std::move(f));
  }
  void call(v1::UpdateRequest req, answer<v1::UpdateReply> f) override {
    ask("/gantry.v1.Containers/Update", req, std::move(f));
  }
  void call(v1::RemoveRequest req, answer<v1::RemoveReply> f) override {
    ask("/gantry.v1.Containers/Remove", req, std::move(f));
  }
  void call(v1::WaitRequest req, answer<v1::WaitReply> f) override {
    ask("/gantry.v1.Containers/Wait", req, std::move(f));
  }
  void call(v1::ListRequest req, answer<v1::ListReply> f) override {
    ask("/gantry.v1.Containers/List", req, std::move(f));
  }
  void call(v1::InspectRequest req, answer<v1::ContainerDetail> f) override {
    ask("/gantry.v1.Containers/Inspect", req, std::move(f));
  }
  void call(v1::StatsRequest req, answer<v1::StatsReply> f) override {
    ask("/gantry.v1.Containers/Stats", req, std::move(f));
  }
  void call(v1::TopRequest req, answer<v1::TopReply> f) override {
    ask("/gantry.v1.Containers/Top", req, std::move(f));
  }
  void call(v1::ExecRequest req, answer<v1::ExecReply> f) override {
    ask("/gantry.v1.Processes/Exec", req, std::move(f));
  }
  void call(v1::ExecSyncRequest req, answer<v1::ExecSyncReply> f) override {
    ask("/gantry.v1.Processes/ExecSync", req, std::move(f));
  }
  void call(v1::ListProcessesRequest req, answer<v1::ListProcessesReply> f) override {
    ask("/gantry.v1.Processes/List", req, std::move(f));
  }
  void call(v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) override {
    ask("/gantry.v1.Processes/WriteStdin", req, std::move(f));
  }
  void call(v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) override {
    ask("/gantry.v1.Processes/CloseStdin", req, std::move(f));
  }
  void call(v1::DiskUseRequest req, answer<v1::DiskUseReply> f) override {
    ask("/gantry.v1.Supervisor/DiskUse", req, std::move(f));
  }
  void call(v1::CheckpointRequest req, answer<v1::CheckpointReply> f) override {
    ask("/gantry.v1.Containers/Checkpoint", req, std::move(f));
  }
  void call(v1::ListCheckpointsRequest req, answer<v1::ListCheckpointsReply> f) override {
    ask("/gantry.v1.Containers/ListCheckpoints", req, std::move(f));
  }
  void call(v1::RemoveCheckpointRequest req, answer<v1::RemoveCheckpointReply> f) override {
    ask("/gantry.v1.Containers/RemoveCheckpoint", req, std::move(f));
  }
  void call(v1::ResizeRequest req, answer<v1::ResizeReply> f) override {
    ask("/gantry.v1.Processes/Resize", req, std::move(f));
  }
  void call(v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) override {
    ask("/gantry.v1.Logs/Reopen", req, std::move(f));
  }
  void call(v1::RunProbeRequest req, answer<v1::RunProbeReply> f) override {
    ask("/gantry.v1.Containers/RunProbe", req, std::move(f));
  }
  void call(v1::ReadEvidenceRequest req, answer<v1::Evidence> f) override {
    ask("/gantry.v1.Containers/ReadEvidence", req, std::move(f));
  }

  void call(v1::GetProcessFdRequest req, answer<fd_offer> f) override {
    answer<v1::GetProcessFdReply> then = [f = std::move(f)](result<v1::GetProcessFdReply> x) {
      if (x)
        f(fd_offer{.socket = x->socket(), .ticket = x->ticket()});
      else
        f(std::move(x).why());
    };
    ask("/gantry.v1.Processes/GetProcessFd", req, std::move(then));
  }

  result<std::unique_ptr<actors::event_source>> follow(v1::FollowRequest req) override;
  result<std::unique_ptr<actors::log_follower>> read_log(v1::ReadLogRequest req) override;
  result<std::unique_ptr<actors::attachment>> attach(v1::AttachOpen open) override;
  [[nodiscard]] bool may_repeat() const noexcept override { return true; }

private:
  template <class Reply>
  class asked;

  template <class Reply, class Request>
  void ask(const char* method, const Request& req, answer<Reply> f);

  poll_reactor& reactor_;
  std::string socket_;
  client::channel_policy policy_;
  client::channel way_;
  std::map<const client::call*, std::unique_ptr<client::call>> calls_;
};

/// One command under way: hands its answer over and is gone.
template <class Reply>
class remote_link::asked final : public client::call {
public:
  template <class Request>
  asked(remote_link& owner, const char* method, const Request& req, answer<Reply> f)
    : call(method), owner_(owner), request_(req.SerializeAsString()), f_(std::move(f)) {}

  [[nodiscard]] std::string request() const override { return request_; }

  void message(std::string_view bytes) override {
    Reply fresh;
    if (fresh.ParseFromArray(bytes.data(), int(bytes.size())))
      reply_ = std::move(fresh);
  }

  void done(result<void> how) override {
    // Not from here: whoever hears it may start the next command, or end the connection.
    owner_.reactor_.later([&owner = owner_, me = this, how = std::move(how)] {
      auto f = std::move(me->f_);
      auto reply = std::move(me->reply_);
      const char* what = me->method();
      owner.calls_.erase(me);
      if (!how)
        f(how.why());
      else if (reply)
        f(std::move(*reply));
      else
        f(error{ec::internal, std::string("no readable answer came to ") + what,
                "use the same version of both"});
    });
  }

private:
  remote_link& owner_;
  std::string request_;
  answer<Reply> f_;
  std::optional<Reply> reply_;
};

template <class Reply, class Request>
void remote_link::ask(const char* method, const Request& req, answer<Reply> f) {
  auto c = std::make_unique<asked<Reply>>(*this, method, req, std::move(f));
  auto& started = *c;
  calls_.emplace(&started, std::move(c));
  way_.start(started);
}

} // namespace gantry::library
