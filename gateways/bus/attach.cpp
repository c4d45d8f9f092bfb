#include "gateways/bus/attach.hpp"

#include <memory>
#include <vector>

#include "actors/front.hpp"
#include "gateways/bus/grpc_call.hpp"

namespace gantry::bus {

namespace {

constexpr size_t bytes_at_once = 64u << 10;

/// Both sides of one call have a part of it.
struct joined {
  std::unique_ptr<actors::attachment> at;
};

/// Draws the replies while the call's queue has room.
class replies final : public call_source {
public:
  replies(grpc_call& call, std::shared_ptr<joined> with) : call_(call), with_(std::move(with)) {}

  void ask() override {
    const size_t limit = call_.host().policy.max_queued_bytes;
    if (asked_ || call_.queued() >= limit)
      return;
    asked_ = true;
    with_->at->next(std::min(limit - call_.queued(), bytes_at_once),
                    [this, weak = call_.weak_from_this()](
                      const result<std::vector<v1::AttachReply>>& r) {
                      // We live in the call: where that has ended we may be gone too.
                      if (const auto c = weak.lock(); c != nullptr && !c->ended())
                        take(r);
                    });
  }

private:
  void take(const result<std::vector<v1::AttachReply>>& r) {
    asked_ = false;
    if (!r.ok())
      return call_.fail(r.why());
    if (r.value().empty())
      return call_.finish();
    for (const auto& one : r.value())
      call_.push(one);
    ask();
  }

  grpc_call& call_;
  std::shared_ptr<joined> with_;
  bool asked_ = false;
};

class requests final : public call_sink {
public:
  explicit requests(grpc_call& call) : call_(call) {}

  void take(std::string_view message) override {
    v1::AttachRequest request;
    if (!request.ParseFromArray(message.data(), int(message.size())))
      return call_.fail({ec::invalid_argument, "the request is no valid AttachRequest", ""});
    if (with_ == nullptr)
      return open(request);
    if (request.has_open())
      return call_.fail({ec::invalid_argument, "a call opens once", "make another call"});
    const auto goes_on = with_->at->take(std::move(request));
    if (!goes_on)
      return call_.fail(goes_on.why());
    if (!*goes_on)
      call_.hold(true);
  }

  void end() override {
    if (with_ == nullptr)
      return call_.fail({ec::invalid_argument, "the call has no request", "send `open` first"});
    with_->at->end_of_requests();
  }

private:
  void open(const v1::AttachRequest& request) {
    if (!request.has_open())
      return call_.fail({ec::invalid_argument, "the first request does not open",
                         "send `open` before input and sizes"});
    auto& host = call_.host();
    if (request.open().input())
      if (auto may = check_right(host.caller, right::operate, host.by,
                                 "/gantry.v1.Processes/Attach with input");
          !may)
        return call_.fail(may.why());
    auto at = host.front.attach(host.by, request.open());
    if (!at)
      return call_.fail(at.why());
    with_ = std::make_shared<joined>();
    with_->at = std::move(*at);
    with_->at->on_room([weak = call_.weak_from_this()] {
      if (const auto c = weak.lock(); c != nullptr && !c->ended())
        c->hold(false);
    });
    call_.draw(std::make_unique<replies>(call_, with_));
  }

  grpc_call& call_;
  std::shared_ptr<joined> with_;
};

} // namespace

void attach(grpc_call& call) {
  call.receive(std::make_unique<requests>(call));
}

} // namespace gantry::bus
