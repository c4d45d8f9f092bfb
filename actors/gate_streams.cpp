#include "actors/attach.hpp"
#include "actors/gate.hpp"

// The stream of events, from the ledger. It is pulled by its reader.

namespace gantry::actors {

namespace {

class feed_source final : public event_source {
public:
  feed_source(runtime::ledger& l, v1::FollowRequest req) : feed_(l, std::move(req)) {}
  void next(size_t max_bytes, answer<std::vector<v1::FollowItem>> f) override {
    feed_.next(max_bytes, std::move(f));
  }

private:
  runtime::event_feed feed_;
};

} // namespace

result<std::unique_ptr<event_source>> gate::follow(v1::FollowRequest req) {
  return std::unique_ptr<event_source>{
    std::make_unique<feed_source>(host_.ledger, std::move(req))};
}

result<std::unique_ptr<attachment>> gate::attach(const v1::By& by, const v1::AttachOpen& open) {
  return attach_to(host_, *this, by, open);
}

} // namespace gantry::actors
