#pragma once

#include "library/link.hpp"

namespace gantry::library {

/// The link to the supervisor of our own: its front, with this process as the caller.
class local_link final : public link {
public:
  local_link(actors::front& f, v1::By who) : front_(f), who_(std::move(who)) {}

  void call(v1::VersionRequest req, answer<v1::VersionReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::InfoRequest req, answer<v1::InfoReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::CreateRequest req, answer<v1::CreateReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::StartRequest req, answer<v1::StartReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::KillRequest req, answer<v1::KillReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::StopRequest req, answer<v1::StopReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::PauseRequest req, answer<v1::PauseReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ResumeRequest req, answer<v1::ResumeReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::UpdateRequest req, answer<v1::UpdateReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::RemoveRequest req, answer<v1::RemoveReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::WaitRequest req, answer<v1::WaitReply> f) override {
    keep<v1::WaitReply>(
      std::move(f), [&](auto g) { return front_.wait(who_, std::move(req), std::move(g)); });
  }
  void call(v1::ListRequest req, answer<v1::ListReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::InspectRequest req, answer<v1::ContainerDetail> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::StatsRequest req, answer<v1::StatsReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::TopRequest req, answer<v1::TopReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ExecRequest req, answer<v1::ExecReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ExecSyncRequest req, answer<v1::ExecSyncReply> f) override {
    keep<v1::ExecSyncReply>(
      std::move(f), [&](auto g) { return front_.exec_sync(who_, req, std::move(g)); });
  }
  void call(v1::ListProcessesRequest req, answer<v1::ListProcessesReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::DiskUseRequest req, answer<v1::DiskUseReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::CheckpointRequest req, answer<v1::CheckpointReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ListCheckpointsRequest req, answer<v1::ListCheckpointsReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::RemoveCheckpointRequest req, answer<v1::RemoveCheckpointReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ResizeRequest req, answer<v1::ResizeReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ReopenLogRequest req, answer<v1::ReopenLogReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::RunProbeRequest req, answer<v1::RunProbeReply> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }
  void call(v1::ReadEvidenceRequest req, answer<v1::Evidence> f) override {
    front_.call(who_, std::move(req), std::move(f));
  }

  void call(v1::GetProcessFdRequest req, answer<fd_offer> f) override {
    auto made = front_.process_fd(req);
    if (made)
      f(fd_offer{.fd = made->release()});
    else
      f(std::move(made).why());
  }

  result<std::unique_ptr<actors::event_source>> follow(v1::FollowRequest req) override {
    return front_.follow(std::move(req));
  }
  result<std::unique_ptr<actors::log_follower>> read_log(v1::ReadLogRequest req) override {
    return front_.read_log(req);
  }
  result<std::unique_ptr<actors::attachment>> attach(v1::AttachOpen open) override {
    return front_.attach(who_, open);
  }
  [[nodiscard]] bool may_repeat() const noexcept override { return false; }

private:
  /// A wait that goes on while this lives: whoever holds a process so lets go of it then.
  struct held {
    std::unique_ptr<actors::pending_wait> wait;
    bool over = false;
  };

  template <class Reply, class Ask>
  void keep(answer<Reply> f, Ask ask) {
    std::erase_if(held_, [](const auto& h) { return h->over; }); // Not from its own answer.
    auto h = std::make_shared<held>();
    held_.push_back(h);
    h->wait = ask(answer<Reply>([weak = std::weak_ptr<held>(h), f](result<Reply> x) {
      if (const auto here = weak.lock())
        here->over = true;
      f(std::move(x));
    }));
  }

  actors::front& front_;
  v1::By who_;
  std::vector<std::shared_ptr<held>> held_;
};

} // namespace gantry::library
