#include <algorithm>
#include <csignal>

#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

// How an exec is ended for somebody: its time is over, or its caller has gone. And what stays
// of it afterwards: its cgroup, as long as somebody lives there.

namespace gantry::actors {

namespace {

constexpr auto hold_patience = std::chrono::seconds(10); ///< For a caller to come (back).
constexpr auto term_patience = std::chrono::seconds(10); ///< From SIGTERM to SIGKILL.
constexpr io::nanoseconds first_look = std::chrono::milliseconds(20); ///< Then twice as long …
constexpr unsigned most_looks = 7; ///< … so many times.

} // namespace

/// Sets the clocks of an exec that runs.
void container_state::watch_exec(const std::string& id) {
  const auto* p = view() != nullptr ? view()->process(id) : nullptr;
  if (p == nullptr)
    return;
  v1::ProcessSpec spec;
  spec.ParseFromString(p->spec);
  const auto serial = p->serial;
  if (spec.timeout_ns() > 0) {
    const auto spent = host->loop.sys().realtime().count() - p->started_at_ns;
    const auto left = std::clamp<int64_t>(spec.timeout_ns() - spent, 0, spec.timeout_ns());
    arm_overdue(id, io::nanoseconds{left});
  }
  if (spec.on_disconnect() == v1::KEEP)
    return;
  host->holds.watch({instance_, id}, [me = container_actor{self}, id, serial] {
    caf::anon_send(me, atom::unheld::value, id, serial);
  });
  auto& timer = processes_.at(id).unheld;
  timer = std::make_unique<io::timer>(host->loop);
  timer->start(hold_patience, [me = container_actor{self}, id, serial] {
    caf::anon_send(me, atom::unheld::value, id, serial);
  });
}

void container_state::arm_overdue(const std::string& id, io::nanoseconds after) {
  auto& entry = processes_.at(id);
  entry.overdue = std::make_unique<io::timer>(host->loop);
  entry.overdue->start(after, [me = container_actor{self}, id, serial = entry.serial] {
    caf::anon_send(me, atom::overdue::value, id, serial);
  });
}

/// An earlier life may have ended in the middle of ending it.
void container_state::adopt_exec_end(const std::string& id) {
  const auto* p = view()->process(id);
  if (p->ended_by.empty()) {
    watch_exec(id);
    return;
  }
  auto& entry = processes_.at(id);
  if (p->ended_signal == SIGKILL) {
    kill_tree(entry);
    return;
  }
  (void)signal_process(entry, p->ended_signal); // Twice is better than never.
  arm_overdue(id, term_patience);
}

bool container_state::runs(const std::string& id, uint64_t serial) const {
  const auto at = processes_.find(id);
  return at != processes_.end() && at->second.serial == serial && at->second.made
         && !at->second.ended;
}

void container_state::on_overdue(const std::string& id, uint64_t serial) {
  if (!runs(id, serial))
    return;
  const auto* p = view()->process(id);
  end_exec(id, p->ended_by.empty() ? "timeout" : p->ended_by, SIGKILL);
}

void container_state::on_unheld(const std::string& id, uint64_t serial) {
  if (!runs(id, serial) || host->holds.held({instance_, id})
      || !view()->process(id)->ended_by.empty())
    return;
  v1::ProcessSpec spec;
  spec.ParseFromString(view()->process(id)->spec);
  if (spec.on_disconnect() == v1::KILL) {
    end_exec(id, "disconnect", SIGKILL);
    return;
  }
  end_exec(id, "disconnect", SIGTERM);
  arm_overdue(id, term_patience);
}

void container_state::end_exec(const std::string& id, const std::string& reason, int sig) {
  auto& entry = processes_.at(id);
  auto r = record_of(id, {}, {});
  r.set_pid(entry.key.pid);
  auto* k = r.mutable_killed();
  k->set_signal(sig);
  k->set_tree(sig == SIGKILL);
  k->set_reason(reason);
  if (sig == SIGKILL && oom_)
    oom_->spare(id);
  host->ledger.record(r);
  if (sig == SIGKILL)
    kill_tree(entry);
  else if (auto sent = signal_process(entry, sig); !sent)
    io::log_debug("container={} process={}: {}", who.id, id, sent.why().text());
}

/// SIGKILL for an exec and all that it started.
void container_state::kill_tree(const process_entry& entry) {
  if (auto killed = exec_group(entry.serial).kill_all(); !killed)
    io::log_warn("container={}: {}", who.id, killed.why().text());
  (void)signal_process(entry, SIGKILL); // It may have left its cgroup.
}

runtime::exec_cgroup container_state::exec_group(uint64_t serial) const {
  return host->exec_group(who, serial);
}

/// An exec has ended: its cgroup goes, unless somebody still lives there. Then that of the next
/// exec's end, or of its container, is its end too.
void container_state::leave_exec(const std::string& id, uint64_t serial) {
  host->holds.forget({instance_, id});
  if (auto at = processes_.find(id); at != processes_.end()) {
    at->second.overdue.reset();
    at->second.unheld.reset();
  }
  lingering_.insert(serial);
  linger_looks_ = 0;
  sweep_execs();
}

void container_state::sweep_execs() {
  std::erase_if(lingering_, [this](uint64_t s) { return exec_group(s).remove(); });
  // A zombie, too, keeps a directory of v1 until it is reaped.
  if (lingering_.empty() || linger_looks_ == most_looks)
    return;
  if (!linger_timer_)
    linger_timer_ = std::make_unique<io::timer>(host->loop);
  linger_timer_->start(first_look * (1 << linger_looks_++), while_here([this] { sweep_execs(); }));
}

} // namespace gantry::actors
