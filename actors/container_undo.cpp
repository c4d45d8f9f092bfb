#include <algorithm>

#include "actors/container.hpp"
#include "actors/fifos.hpp"
#include "actors/terminal.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

// What a failed create (or new run) has left is taken away again. The runtime's part may
// refuse to go: then whoever asked is answered, and it is tried again until it goes.

namespace gantry::actors {

namespace {

constexpr io::nanoseconds first_pause = std::chrono::seconds(1);
constexpr io::nanoseconds last_pause = std::chrono::seconds(60);

template <class Failure>
void fill(Failure* f, const error& why) {
  f->set_code(std::string{name_of(why.code)});
  f->set_message(why.message);
  f->set_cure(why.cure);
}

} // namespace

void container_state::fail_making(error why) {
  for (auto& theirs : making_->streams.theirs)
    theirs.reset();
  if (making_->streams.console.listener) {
    making_->streams.console.listener.reset();
    close_console(*host, processes_[init].serial);
  }
  making_->failed = std::move(why);
  if (processes_[init].actor) {
    self->send(processes_[init].actor, atom::release::value); // `released` goes on.
    return;
  }
  undo_making();
}

void container_state::undo_making() {
  io::discard_slot(host->keeper.memory(), host->blocks, processes_[init].serial);
  forget_fifos(*host, processes_[init].serial);
  // What the runtime has no directory for it does not know; it may not even have run.
  const auto known = host->options.state_dir + "/runtime/" + runtime::runtime_id(who);
  if (host->loop.sys().exists(known) == 0 && !group().populated()) {
    finish_undo();
    return;
  }
  host->engine.remove(
    runtime_, runtime::runtime_id(who), true, making_->op, while_here([this](result<void> x) {
      if (x) {
        finish_undo();
      } else if (making_->fresh) { // Its next start or its removal deletes that first.
        io::log_warn("container={}: {}", who.id, x.why().text());
        finish_undo();
      } else {
        undo_later(x.why());
      }
    }));
}

void container_state::undo_later(const error& hindrance) {
  const auto why = *making_->failed;
  if (!view()->undoing) {
    auto r = record(making_->by, making_->request_id);
    r.set_cause(instance_);
    fill(r.mutable_undoing(), why);
    host->ledger.record(r);
    host->fail_request(making_->request_id, "Create", why);
    for (auto& p : std::exchange(making_->creates, {}))
      p.deliver(to_caf(why));
  }
  undo_pause_ = std::clamp(2 * undo_pause_, first_pause, last_pause);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(undo_pause_).count();
  host->stuck[who] = "its create failed, and what that left cannot be deleted (tried again every "
                     + std::to_string(seconds) + " s): " + hindrance.message;
  io::log_warn("container={}: {}", who.id, host->stuck[who]);
  arm_undo();
}

void container_state::arm_undo() {
  undo_timer_ = std::make_unique<io::timer>(host->loop);
  undo_timer_->start(undo_pause_,
                     [me = container_actor{self}] { caf::anon_send(me, atom::undo::value); });
}

void container_state::on_undo() {
  if (making_ && making_->failed) {
    if (auto killed = group().kill_all(); !killed) // It may be what is in the way.
      io::log_warn("container={}: {}", who.id, killed.why().text());
    undo_making();
  } else if (at_ == phase::stopped && remove_on_exit_) {
    begin_remove({}, {}, false, 0);
  }
}

void container_state::finish_undo() {
  auto files_gone = while_here([this] {
    auto why = *making_->failed;
    auto group = this->group(); // The record takes the container out of the world.
    auto r = record(making_->by, making_->request_id);
    r.set_cause(instance_);
    if (making_->fresh)
      fill(r.mutable_start_failed(), why);
    else
      fill(r.mutable_create_failed(), why);
    host->ledger.record(r);
    host->logs.notify(processes_[init].serial);
    auto done = std::move(making_);
    group.remove();
    host->fail_request(done->request_id, done->fresh ? "Start" : "Create", why);
    if (done->fresh) {
      for (auto& p : done->starts)
        p.deliver(to_caf(why));
      come_to_stop();
      return;
    }
    happen(event::make_failed, [this] { enter(phase::gone); });
    go_away();
    for (auto& p : done->creates)
      p.deliver(to_caf(why));
  });
  auto bundle_gone = while_here([this, files_gone] { undo_log(files_gone); });
  runtime::remove_bundle(host->loop, host->bundle_dir(instance_), bundle_gone);
}

} // namespace gantry::actors
