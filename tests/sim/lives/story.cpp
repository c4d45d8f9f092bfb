#include "tests/sim/lives/story.hpp"

#include <csignal>

namespace gantry::sim {

using namespace std::chrono_literals;

story::story(world& w, std::string id, bool main, uint64_t seed)
  : world_(w), id_(std::move(id)), main_(main), dice_(seed), left_(int(dice_.between(1, 8))),
    rounds_(dice_.chance(0.3) ? 1 : 0) {
  rest(dice_.between(0ms, 20ms));
}

std::string story::where() const {
  static constexpr const char* places[] = {"create", "start", "middle", "end",
                                           "check",  "remove", "over"};
  return id_ + (main_ ? " main" : " side") + " at " + places[size_t(at_)] +
         (now_ ? ", waits for " + now_->method + (asked_ ? "" : " (not asked)") : "");
}

void story::rest(nanoseconds span) {
  ready_at_ = world_.host.time.now() + span;
  world_.alarm(span);
}

std::string story::fresh_id() {
  return id_ + (main_ ? "-m" : "-s") + std::to_string(++serial_);
}

template <class Request>
Request story::about(bool with_id) {
  Request r;
  *r.mutable_ref() = world::ref(id_);
  if constexpr (requires { r.set_request_id(std::string()); })
    if (with_id)
      r.set_request_id(fresh_id());
  return r;
}

void story::look() {
  if (finished_ || !world_.lives() || asked_)
    return;
  if (now_)
    return ask();
  if (world_.host.time.now() >= ready_at_)
    next();
}

void story::ask() {
  asked_ = true;
  life_ = world_.lives_lived;
  ++requests;
  world_.trace(id_ + (main_ ? "" : " side") + " asks " + now_->method + " " + now_->request_id);
  now_->issue(world_.door(), world_.by(), [this, life = life_](std::string answer) {
    // Nobody hears what a dead supervisor says.
    if (life == world_.lives_lived && world_.lives() && asked_)
      heard(std::move(answer));
  });
}

void story::heard(std::string answer) {
  asked_ = false;
  auto done = *std::move(now_);
  now_.reset();
  done.answer = std::move(answer);
  world_.trace(id_ + (main_ ? "" : " side") + " hears " + done.method + " " + done.request_id +
               ": " + (done.ok() ? "ok" : done.answer));
  if (done.is(ec::internal))
    problems.push_back(where() + ": " + done.method + " answered " + done.answer);
  if (again_) {
    ++repeats;
    // "Not now" is no last word: see services::settle_request.
    const bool passing = again_->is(ec::unavailable) || again_->is(ec::resource_exhausted) ||
                         again_->is(ec::disk_full);
    if (!passing && again_->answer != done.answer)
      problems.push_back(id_ + ": " + done.method + " " + done.request_id +
                         " was answered first `" + again_->answer + "`, then `" + done.answer +
                         "`");
    again_.reset();
    return rest(dice_.between(0ms, 5ms));
  }
  const bool repeat = !done.request_id.empty() && dice_.chance(0.1);
  if (repeat) {
    again_ = done;
    now_ = done;
  }
  if (at_ == place::create && done.method == "Create") {
    created += done.ok();
    at_ = !done.ok() ? place::check : place::start;
  } else if (at_ == place::start && done.method == "Start") {
    at_ = place::middle;
  } else if (at_ == place::end) {
    at_ = place::check;
  } else if (at_ == place::remove) {
    const bool gone = done.ok() || done.is(ec::not_found);
    if (!gone && ++tries_ > 30)
      problems.push_back(id_ + ": cannot be removed: " + done.answer);
    if (gone || tries_ > 30)
      at_ = place::over;
    else
      rest(200ms);
  }
  if (at_ != place::remove)
    rest(dice_.chance(0.5) ? 0ms : dice_.between(0ms, 30ms));
}

void story::next() { main_ ? next_of_main() : next_of_side(); }

void story::next_of_main() {
  switch (at_) {
  case place::create: {
    const bool start = dice_.chance(0.5);
    now_ = create_call(start);
    break;
  }
  case place::start: {
    // After a create that started it this is refused, or begins a new run of one that ended.
    auto r = about<v1::StartRequest>();
    now_ = make_call<v1::StartReply>("Start", r.request_id(), r);
    break;
  }
  case place::middle:
    if (--left_ <= 0 || hurry_)
      at_ = place::end;
    else
      now_ = random_call();
    break;
  case place::end:
    if (dice_.chance(0.5)) {
      auto r = about<v1::StopRequest>();
      r.set_timeout_ns(int64_t(dice_.between(0ms, 300ms).count()));
      now_ = make_call<v1::StopReply>("Stop", r.request_id(), r);
    } else {
      at_ = place::check;
    }
    break;
  case place::check:
    check_logs(world_, id_, problems);
    at_ = place::remove;
    break;
  case place::remove: {
    auto r = about<v1::RemoveRequest>();
    r.set_force(true);
    now_ = make_call<v1::RemoveReply>("Remove", r.request_id(), r);
    break;
  }
  case place::over:
    if (rounds_-- > 0) {
      at_ = place::create;
      left_ = int(dice_.between(1, 5));
      tries_ = 0;
    } else {
      finished_ = true;
    }
    break;
  }
  if (!finished_)
    look();
}

void story::next_of_side() {
  if (--left_ <= 0 || hurry_) {
    finished_ = true;
    return;
  }
  now_ = random_call();
  look();
}

call story::create_call(bool start) {
  auto r = about<v1::CreateRequest>();
  const auto args = random_work(true);
  *r.mutable_spec() = dice_.chance(0.1) ? world::spec(args) : world::bundle_spec(args);
  r.set_start(start);
  r.mutable_spec()->set_with_stdin(dice_.chance(0.2));
  if (dice_.chance(0.3))
    r.mutable_spec()->mutable_resources()->set_memory_bytes(64 << 20);
  r.mutable_spec()->mutable_log()->set_max_file_bytes(1 << 20);
  if (dice_.chance(0.25))
    r.mutable_spec()->mutable_notify()->set_start_timeout_ns(100'000'000);
  return make_call<v1::CreateReply>("Create", r.request_id(), r);
}

std::vector<std::string> story::random_work(bool init) {
  if (dice_.chance(0.05))
    return {"no-such-program"};
  std::vector<std::string> w{"work"};
  if (dice_.chance(0.6))
    w.push_back("after=" + std::to_string(dice_.below(init ? 60 : 30)) + "ms");
  if (dice_.chance(0.4))
    w.push_back("exit=" + std::to_string(dice_.below(256)));
  if (dice_.chance(0.1))
    w.push_back("sig=" + std::to_string(dice_.chance(0.5) ? SIGSEGV : SIGKILL));
  if (dice_.chance(0.5))
    w.push_back("out=" + std::to_string(dice_.below(dice_.chance(0.1) ? 150'000 : 3000)));
  if (dice_.chance(0.3))
    w.push_back("err=" + std::to_string(dice_.below(2000)));
  if (dice_.chance(0.1))
    w.push_back("ignore-term");
  if (dice_.chance(0.05))
    w.push_back("oom");
  if (dice_.chance(0.1)) {
    w.push_back("child");
    if (dice_.chance(0.8)) {
      w.push_back("stay=" + std::to_string(dice_.below(80)) + "ms");
      w.push_back("late=" + std::to_string(dice_.below(2000)));
    }
  }
  return w;
}

call story::random_call() {
  switch (dice_.below(12)) {
  case 0:
  case 1:
  case 2: {
    auto r = about<v1::ExecRequest>();
    r.set_process("x" + r.request_id());
    for (const auto& a : random_work(false))
      r.mutable_spec()->add_args(a);
    execs_.push_back(r.process());
    return make_call<v1::ExecReply>("Exec", r.request_id(), r);
  }
  case 3:
  case 4: {
    auto r = about<v1::KillRequest>();
    if (!execs_.empty() && dice_.chance(0.6))
      r.set_process(execs_[dice_.below(execs_.size())]);
    r.set_signal(dice_.chance(0.5) ? "KILL" : dice_.chance(0.5) ? "TERM" : "HUP");
    r.set_all(r.process().empty() && dice_.chance(0.2));
    return make_call<v1::KillReply>("Kill", r.request_id(), r);
  }
  case 5:
  case 6: {
    auto r = about<v1::PauseRequest>();
    return make_call<v1::PauseReply>("Pause", r.request_id(), r);
  }
  case 7:
  case 8: {
    auto r = about<v1::ResumeRequest>();
    return make_call<v1::ResumeReply>("Resume", r.request_id(), r);
  }
  case 9: {
    auto r = about<v1::UpdateRequest>();
    r.mutable_resources()->set_memory_bytes(int64_t(dice_.between(32, 128)) << 20);
    return make_call<v1::UpdateReply>("Update", r.request_id(), r);
  }
  case 10: {
    auto r = about<v1::StartRequest>();
    return make_call<v1::StartReply>("Start", r.request_id(), r);
  }
  default: {
    if (dice_.chance(0.5))
      return make_call<v1::ListReply>("List", "", v1::ListRequest());
    if (dice_.chance(0.5))
      return make_call<v1::StatsReply>("Stats", "", about<v1::StatsRequest>());
    auto r = about<v1::StopRequest>();
    r.set_timeout_ns(int64_t(dice_.between(0ms, 100ms).count()));
    return make_call<v1::StopReply>("Stop", r.request_id(), r);
  }
  }
}

} // namespace gantry::sim
