#include "actors/gate.hpp"

#include <caf/all.hpp>

#include "io/scheduler.hpp"

namespace gantry::actors {

using errand_atom = caf::atom_constant<caf::atom("errand")>;

} // namespace gantry::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::function<void(caf::event_based_actor*)>)

namespace gantry::actors {

namespace {

/// Sends what it is given and hands the answers back: a request needs an actor to send it.
caf::behavior errands(caf::event_based_actor* self) {
  io::abort_on_surprise(*self);
  return {[self](errand_atom, const std::function<void(caf::event_based_actor*)>& f) { f(self); }};
}

error going_away() { return {ec::unavailable, "gantryd is going away", "ask again"}; }

template <class Reply>
result<Reply> parsed(const result<std::string>& outcome) {
  if (!outcome)
    return outcome.why();
  Reply reply;
  if (!reply.ParseFromString(*outcome))
    return error{ec::data_loss, "the remembered answer to this request id is damaged",
                 "use a new request id"};
  return reply;
}

} // namespace

gate::gate(caf::actor_system& sys, services& host, supervisor_actor to)
  : sys_(sys), host_(host), to_(std::move(to)), errands_(sys.spawn(errands)),
    tickets_(host.loop) {
  host_.on_request = [this](const std::string& id, result<std::string> outcome) {
    if (auto at = requests_.find(id); at != requests_.end() && at->second.earlier_life)
      settle(id, outcome);
  };
}

gate::~gate() {
  *here_ = nullptr;
  host_.on_request = nullptr;
}

void gate::close() {
  caf::anon_send_exit(errands_, caf::exit_reason::user_shutdown);
  errands_ = nullptr;
  to_ = nullptr;
  waiters_.clear();
  exits_.reset();
  for (const auto& [number, fail] : std::exchange(asked_, {}))
    fail(going_away());
}

template <class Reply, class Request>
void gate::send(const v1::By& by, Request req, answer<Reply> f) {
  if (!errands_)
    return later<Reply>(std::move(f), going_away());
  const auto number = next_asked_++;
  asked_.emplace(number, [f](const error& why) { f(why); });
  const auto settles = [here = here_, number] {
    return *here != nullptr && (*here)->asked_.erase(number) > 0;
  };
  errand job = [to = to_, by, req = std::move(req), f = std::move(f),
                settles](caf::event_based_actor* me) {
    me->request(to, caf::infinite, by, req)
      .then(
        [f, settles](Reply& reply) {
          if (settles())
            f(std::move(reply));
        },
        [f, settles](caf::error& why) {
          if (settles())
            f(from_caf(why));
        });
  };
  caf::anon_send(errands_, errand_atom::value, std::move(job));
}

template <class Reply>
void gate::repeat(const journal::Answered& known, std::string_view method, answer<Reply> f) {
  if (known.method() != method)
    later<Reply>(std::move(f), error{ec::invalid_argument,
                                     "this request id was used for " + known.method(),
                                     "choose a new request id for each request"});
  else if (!known.code().empty())
    later<Reply>(std::move(f), error{code_named(known.code()), known.message(), known.cure()});
  else
    later<Reply>(std::move(f), parsed<Reply>(known.reply()));
}

template <class Reply, class Request>
void gate::change(std::string_view method, const v1::By& by, Request req, answer<Reply> f) {
  const auto id = req.request_id();
  if (id.empty()) {
    send<Reply>(by, std::move(req), std::move(f));
    return;
  }
  if (!requests_.contains(id))
    if (const auto* known = host_.ledger.now().answer(id)) {
      repeat<Reply>(*known, method, std::move(f));
      return;
    }
  auto& entry = requests_[id];
  const bool first = entry.method.empty();
  if (!first && entry.method != method) {
    later<Reply>(std::move(f), error{ec::invalid_argument,
                                     "request id \"" + id + "\" is in use for " + entry.method,
                                     "choose a new request id for each request"});
    return;
  }
  entry.method = method;
  entry.listeners.push_back(
    [f = std::move(f)](const result<std::string>& x) { f(parsed<Reply>(x)); });
  if (!first)
    return; // Under way: a repeat hears the first one's outcome.
  send<Reply>(by, std::move(req), answer<Reply>{[this, id](result<Reply> x) {
                settle(id, x ? result<std::string>{x->SerializeAsString()}
                             : result<std::string>{x.why()});
              }});
}

void gate::expect(const std::string& request_id, std::string method) {
  if (request_id.empty() || host_.ledger.now().answer(request_id) != nullptr)
    return;
  auto& entry = requests_[request_id];
  entry.method = std::move(method);
  entry.earlier_life = true;
}

void gate::settle(const std::string& request_id, const result<std::string>& outcome) {
  auto at = requests_.find(request_id);
  if (at == requests_.end())
    return;
  auto entry = std::move(at->second);
  requests_.erase(at);
  // An answer that only says "not now" is not the last word on a request.
  if (outcome || outcome.why().code != ec::unavailable)
    host_.settle_request(request_id, entry.method, outcome);
  for (auto& f : entry.listeners)
    f(outcome);
}

void gate::call(const v1::By& by, v1::CreateRequest req, answer<v1::CreateReply> f) {
  change<v1::CreateReply>("Create", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::StartRequest req, answer<v1::StartReply> f) {
  change<v1::StartReply>("Start", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::KillRequest req, answer<v1::KillReply> f) {
  change<v1::KillReply>("Kill", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::StopRequest req, answer<v1::StopReply> f) {
  change<v1::StopReply>("Stop", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::PauseRequest req, answer<v1::PauseReply> f) {
  change<v1::PauseReply>("Pause", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::ResumeRequest req, answer<v1::ResumeReply> f) {
  change<v1::ResumeReply>("Resume", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::UpdateRequest req, answer<v1::UpdateReply> f) {
  change<v1::UpdateReply>("Update", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::RemoveRequest req, answer<v1::RemoveReply> f) {
  change<v1::RemoveReply>("Remove", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::CheckpointRequest req, answer<v1::CheckpointReply> f) {
  change<v1::CheckpointReply>("Checkpoint", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::RemoveCheckpointRequest req,
                answer<v1::RemoveCheckpointReply> f) {
  change<v1::RemoveCheckpointReply>("RemoveCheckpoint", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::ExecRequest req, answer<v1::ExecReply> f) {
  change<v1::ExecReply>("Exec", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::RunProbeRequest req, answer<v1::RunProbeReply> f) {
  send<v1::RunProbeReply>(by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::WriteStdinRequest req, answer<v1::WriteStdinReply> f) {
  send<v1::WriteStdinReply>(by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::CloseStdinRequest req, answer<v1::CloseStdinReply> f) {
  change<v1::CloseStdinReply>("CloseStdin", by, std::move(req), std::move(f));
}
void gate::call(const v1::By& by, v1::ResizeRequest req, answer<v1::ResizeReply> f) {
  send<v1::ResizeReply>(by, std::move(req), std::move(f));
}

} // namespace gantry::actors
