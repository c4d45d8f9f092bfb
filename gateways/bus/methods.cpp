#include "gateways/bus/methods.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "actors/front.hpp"
#include "gateways/bus/attach.hpp"
#include "gateways/bus/grpc_call.hpp"
#include "gateways/bus/health.hpp"
#include "gateways/bus/reflection.hpp"

namespace gantry::bus {

namespace {

/// Most bytes that a source is asked for at once, so that one stream does not fill a turn.
constexpr size_t max_pull_bytes = 64u << 10;

/// Reads the request; a broken one fails the call.
template <class Request>
bool parse(grpc_call& call, std::string_view bytes, Request& out) {
  if (out.ParseFromArray(bytes.data(), int(bytes.size())))
    return true;
  call.fail({ec::invalid_argument, "the request is no valid " + out.GetTypeName(), ""});
  return false;
}

/// Answers a call, if its client is still there.
template <class Reply>
actors::answer<Reply> answer_to(grpc_call& call) {
  return [weak = call.weak_from_this()](result<Reply> r) {
    const auto c = weak.lock();
    if (c == nullptr || c->ended())
      return;
    if (r.ok())
      c->answer(*r);
    else
      c->fail(r.why());
  };
}

/// One request, one reply.
template <class Request, class Reply>
void unary(grpc_call& call, std::string_view bytes) {
  Request request;
  if (!parse(call, bytes, request))
    return;
  auto& host = call.host();
  host.front.call(host.by, std::move(request), answer_to<Reply>(call));
}

/// Keeps something as long as the call's client is there.
template <class Held>
class holder final : public call_source {
public:
  explicit holder(std::unique_ptr<Held> held) : held_(std::move(held)) {}
  void ask() override {}

private:
  std::unique_ptr<Held> held_;
};

/// A wait may be long: a client that leaves takes it along.
void wait_for_exit(grpc_call& call, std::string_view bytes) {
  v1::WaitRequest request;
  if (!parse(call, bytes, request))
    return;
  auto& host = call.host();
  // Who holds a process may end it by leaving.
  if (request.hold())
    if (auto may = check_right(host.caller, right::operate, host.by, "Wait with hold"); !may)
      return call.fail(may.why());
  auto held = host.front.wait(host.by, std::move(request), answer_to<v1::WaitReply>(call));
  if (held)
    call.keep(std::make_unique<holder<actors::pending_wait>>(std::move(held)));
}

/// The same for one that runs a process first.
void exec_and_wait(grpc_call& call, std::string_view bytes) {
  v1::ExecSyncRequest request;
  if (!parse(call, bytes, request))
    return;
  auto& host = call.host();
  auto held = host.front.exec_sync(host.by, request, answer_to<v1::ExecSyncReply>(call));
  call.keep(std::make_unique<holder<actors::pending_wait>>(std::move(held)));
}

/// Feeds a call from a source that is pulled: asked only while the call's queue has room.
template <class Source, class Item>
class puller final : public call_source {
public:
  puller(grpc_call& call, std::unique_ptr<Source> from) : call_(call), from_(std::move(from)) {}

  void ask() override {
    const size_t limit = call_.host().policy.max_queued_bytes;
    if (asked_ || call_.queued() >= limit)
      return;
    asked_ = true;
    from_->next(std::min(limit - call_.queued(), max_pull_bytes),
                [this, weak = call_.weak_from_this()](result<std::vector<Item>> r) {
                  // We live in the call: where that has ended we may be gone too.
                  if (const auto c = weak.lock(); c != nullptr && !c->ended())
                    take(r);
                });
  }

private:
  void take(const result<std::vector<Item>>& r) {
    asked_ = false;
    if (!r.ok())
      return call_.fail(r.why());
    if (r.value().empty())
      return call_.finish();
    for (const auto& item : r.value())
      call_.push(item);
    ask();
  }

  grpc_call& call_;
  std::unique_ptr<Source> from_;
  bool asked_ = false;
};

template <class Item, class Source>
void draw_from(grpc_call& call, result<std::unique_ptr<Source>> from) {
  if (!from.ok())
    return call.fail(from.why());
  call.draw(std::make_unique<puller<Source, Item>>(call, std::move(*from)));
}

void follow_events(grpc_call& call, std::string_view bytes) {
  v1::FollowRequest request;
  if (parse(call, bytes, request))
    draw_from<v1::FollowItem>(call, call.host().front.follow(std::move(request)));
}

void read_log(grpc_call& call, std::string_view bytes) {
  v1::ReadLogRequest request;
  if (parse(call, bytes, request))
    draw_from<v1::LogChunk>(call, call.host().front.read_log(request));
}

constexpr std::array methods{
  method{"/gantry.v1.Supervisor/Version", right::read, unary<v1::VersionRequest, v1::VersionReply>},
  method{"/gantry.v1.Supervisor/Info", right::read, unary<v1::InfoRequest, v1::InfoReply>},
  method{"/gantry.v1.Supervisor/DiskUse", right::read,
         unary<v1::DiskUseRequest, v1::DiskUseReply>},
  method{"/gantry.v1.Containers/Create", right::operate, unary<v1::CreateRequest, v1::CreateReply>},
  method{"/gantry.v1.Containers/Start", right::operate, unary<v1::StartRequest, v1::StartReply>},
  method{"/gantry.v1.Containers/Kill", right::operate, unary<v1::KillRequest, v1::KillReply>},
  method{"/gantry.v1.Containers/Stop", right::operate, unary<v1::StopRequest, v1::StopReply>},
  method{"/gantry.v1.Containers/Pause", right::operate, unary<v1::PauseRequest, v1::PauseReply>},
  method{"/gantry.v1.Containers/Resume", right::operate, unary<v1::ResumeRequest, v1::ResumeReply>},
  method{"/gantry.v1.Containers/Update", right::operate, unary<v1::UpdateRequest, v1::UpdateReply>},
  method{"/gantry.v1.Containers/Remove", right::operate, unary<v1::RemoveRequest, v1::RemoveReply>},
  method{"/gantry.v1.Containers/Checkpoint", right::operate,
         unary<v1::CheckpointRequest, v1::CheckpointReply>},
  method{"/gantry.v1.Containers/ListCheckpoints", right::read,
         unary<v1::ListCheckpointsRequest, v1::ListCheckpointsReply>},
  method{"/gantry.v1.Containers/RemoveCheckpoint", right::operate,
         unary<v1::RemoveCheckpointRequest, v1::RemoveCheckpointReply>},
  method{"/gantry.v1.Containers/RunProbe", right::operate,
         unary<v1::RunProbeRequest, v1::RunProbeReply>},
  method{"/gantry.v1.Containers/ReadEvidence", right::read,
         unary<v1::ReadEvidenceRequest, v1::Evidence>},
  method{"/gantry.v1.Containers/Wait", right::read, wait_for_exit},
  method{"/gantry.v1.Containers/List", right::read, unary<v1::ListRequest, v1::ListReply>},
  method{"/gantry.v1.Containers/Inspect", right::read,
         unary<v1::InspectRequest, v1::ContainerDetail>},
  method{"/gantry.v1.Containers/Stats", right::read, unary<v1::StatsRequest, v1::StatsReply>},
  method{"/gantry.v1.Containers/Top", right::read, unary<v1::TopRequest, v1::TopReply>},
  method{"/gantry.v1.Processes/Exec", right::operate, unary<v1::ExecRequest, v1::ExecReply>},
  method{"/gantry.v1.Processes/ExecSync", right::operate, exec_and_wait},
  method{"/gantry.v1.Processes/List", right::read,
         unary<v1::ListProcessesRequest, v1::ListProcessesReply>},
  method{"/gantry.v1.Processes/WriteStdin", right::operate,
         unary<v1::WriteStdinRequest, v1::WriteStdinReply>},
  method{"/gantry.v1.Processes/CloseStdin", right::operate,
         unary<v1::CloseStdinRequest, v1::CloseStdinReply>},
  method{"/gantry.v1.Processes/Resize", right::operate, unary<v1::ResizeRequest, v1::ResizeReply>},
  method{"/gantry.v1.Processes/Attach", right::read, nullptr, attach},
  method{"/gantry.v1.Processes/GetProcessFd", right::read,
         unary<v1::GetProcessFdRequest, v1::GetProcessFdReply>},
  method{"/gantry.v1.Events/Follow", right::read, follow_events},
  method{"/gantry.v1.Logs/Read", right::read, read_log},
  method{"/gantry.v1.Logs/Reopen", right::operate, unary<v1::ReopenLogRequest, v1::ReopenLogReply>},
  method{"/grpc.health.v1.Health/Check", right::read, health_check},
  method{"/grpc.health.v1.Health/Watch", right::read, health_watch},
  method{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", right::read, nullptr,
         reflect},
  method{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", right::read, nullptr,
         reflect},
};

} // namespace

std::span<const method> all_methods() noexcept {
  return methods;
}

const method* find_method(std::string_view path) noexcept {
  static const auto table = [] {
    std::unordered_map<std::string_view, const method*> out;
    for (const auto& m : methods)
      out.emplace(m.path, &m);
    return out;
  }();
  const auto place = table.find(path);
  return place == table.end() ? nullptr : place->second;
}

} // namespace gantry::bus
