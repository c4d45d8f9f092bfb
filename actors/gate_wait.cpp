#include <optional>

#include "actors/gate.hpp"

// Wait: answered from the world, no actor is asked.

namespace gantry::actors {

/// One waiter, for as long as its client is there.
class gate::held_wait final : public pending_wait {
public:
  held_wait(std::shared_ptr<gate*> door, uint64_t number, std::optional<exec_key> held)
    : door_(std::move(door)), number_(number), held_(std::move(held)) {
    if (held_)
      (*door_)->host_.holds.add(*held_);
  }
  ~held_wait() override {
    if (*door_ == nullptr)
      return;
    (*door_)->waiters_.erase(number_);
    if (held_)
      (*door_)->host_.holds.remove(*held_);
  }

private:
  std::shared_ptr<gate*> door_;
  uint64_t number_;
  std::optional<exec_key> held_;
};

void gate::call(const v1::By&, v1::WaitRequest req, answer<v1::WaitReply> f) {
  begin_wait(std::move(req), std::move(f));
}

std::unique_ptr<pending_wait> gate::wait(const v1::By&, v1::WaitRequest req,
                                         answer<v1::WaitReply> f) {
  const bool holds = req.hold();
  const auto number = begin_wait(std::move(req), std::move(f));
  if (number == 0)
    return nullptr;
  const auto& w = *waiters_.at(number);
  std::optional<exec_key> held;
  if (holds)
    held = exec_key{w.instance, w.process};
  return std::make_unique<held_wait>(here_, number, std::move(held));
}

/// @returns The waiter's number, or 0 if the answer is on its way.
uint64_t gate::begin_wait(v1::WaitRequest req, answer<v1::WaitReply> f) {
  auto name = runtime::checked_name(req.ref());
  if (!name) {
    later<v1::WaitReply>(std::move(f), name.why());
    return 0;
  }
  const auto process = req.process().empty() ? std::string{runtime::init_id} : req.process();
  if (auto x = host_.ledger.now().exit_of(*name, req.instance(), process)) {
    v1::WaitReply reply;
    *reply.mutable_exit() = x->exit;
    reply.set_instance(x->instance);
    reply.set_run(x->run);
    later<v1::WaitReply>(std::move(f), std::move(reply));
    return 0;
  }
  const auto* c = host_.ledger.now().find(*name);
  if (c == nullptr || c->process(process) == nullptr
      || (req.instance() != 0 && req.instance() != c->instance)) {
    later<v1::WaitReply>(
      std::move(f),
      error{ec::not_found, "no such process \"" + process + "\" of container \"" + name->id + "\"",
            "gantry ps -a lists what is there; exits of removed containers are kept for an hour"});
    return 0;
  }
  if (c->process(process)->phase == runtime::process_view::phase_t::exited) {
    later<v1::WaitReply>(std::move(f), error{ec::cancelled,
                                             "process \"" + process + "\" of container \""
                                               + name->id + "\" never ran: its start failed",
                                             "gantry start " + name->id + " tries again"});
    return 0;
  }
  const auto number = next_waiter_++;
  waiters_[number] = std::make_shared<waiter>(waiter{*name, c->instance, process, std::move(f)});
  if (!exits_)
    exits_ = host_.ledger.on_record([this](const journal::Record& r) { on_end(r); });
  return number;
}

void gate::on_end(const journal::Record& r) {
  if (!r.has_exited() && !r.has_deleted() && !r.has_exec_failed() && !r.has_create_failed()
      && !r.has_start_failed())
    return;
  std::vector<std::shared_ptr<waiter>> told;
  for (auto at = waiters_.begin(); at != waiters_.end();) {
    const auto& w = *at->second;
    const bool mine = w.instance == r.instance()
                      && (r.has_deleted() || r.has_create_failed() || r.has_start_failed()
                          || w.process == r.process());
    if (mine)
      told.push_back(at->second);
    at = mine ? waiters_.erase(at) : std::next(at);
  }
  for (const auto& w : told) {
    if (!r.has_exited()) {
      later<v1::WaitReply>(w->f, error{ec::cancelled,
                                       "process \"" + w->process + "\" of container \""
                                         + w->who.id + "\" went away and never ran",
                                       {}});
      continue;
    }
    v1::WaitReply reply;
    *reply.mutable_exit() = r.exited().exit();
    reply.mutable_exit()->set_seq(r.seq());
    reply.set_instance(r.instance());
    reply.set_run(r.run());
    later<v1::WaitReply>(w->f, std::move(reply));
  }
}

} // namespace gantry::actors
