#include <csignal>
#include <poll.h>

#include "actors/container.hpp"
#include "actors/terminal.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

// Runtime commands of an earlier life: they are waited for, and what they made is taken over,
// or undone and made once more.

namespace gantry::actors {

void container_state::await_orphan(uint64_t op, const std::string& process_id) {
  container_actor me{self};
  auto ended = [me, process_id] { caf::anon_send(me, atom::orphan::value, process_id); };
  const auto at = host->orphans.find(op);
  if (at == host->orphans.end()) {
    ended();
    return;
  }
  auto& sys = host->loop.sys();
  struct wait {
    explicit wait(io::loop& l) : op(l), patience(l) {}
    io::fd pidfd;
    io::poll_op op;
    io::timer patience;
  };
  auto w = std::make_shared<wait>(host->loop);
  w->pidfd = io::fd{sys, sys.pidfd_open(at->second.pid)};
  if (!w->pidfd || sys.start_ticks(at->second.pid) != int64_t(at->second.start_ticks)) {
    ended();
    return;
  }
  io::log_info("container={}: waits for the runtime command pid={} of an earlier life", who.id,
               at->second.pid);
  // Whoever it made may be dead before it ends: the table keeps that for us so long.
  const auto ticket = host->reaper.command_begins();
  w->patience.start(host->options.orphan_patience,
                    [w, &sys] { sys.pidfd_signal(w->pidfd.get(), SIGKILL); });
  w->op.start(w->pidfd.get(), POLLIN, [w, ended, ticket, &reaper = host->reaper](int32_t n) {
    w->patience.cancel();
    if (n < 0)
      return;
    reaper.command_ends(ticket);
    ended();
  });
  orphan_waits_[process_id] = {w, &w->op};
}

void container_state::on_orphan(const std::string& process_id) {
  orphan_waits_.erase(process_id); // The others wait on.
  if (process_id != init) {
    orphan_exec_ended(process_id);
    return;
  }
  if (at_ == phase::checkpointing)
    return orphan_checkpoint_ended();
  if (at_ == phase::starting) {
    const auto dir = host->options.state_dir + "/runtime/" + runtime::runtime_id(who);
    auto& sys = host->loop.sys();
    // The runtime takes its fifo away when init runs. Without its directory (a boot took it)
    // nothing ran: it says so itself.
    if (sys.exists(dir) == 1 && sys.exists(dir + "/exec.fifo") == 0)
      on_started({});
    else
      host->engine.start(runtime_, runtime::runtime_id(who), host->bundle_dir(instance_),
                         making_->op, [me = container_actor{self}](result<void> x) {
                           outcome out;
                           if (!x)
                             out.failed = x.why();
                           caf::anon_send(me, atom::started::value, out);
                         });
    return;
  }
  orphan_create_ended();
}

void container_state::orphan_create_ended() {
  if (making_->failed) {
    undo_making();
    return;
  }
  const auto id = runtime::runtime_id(who);
  auto& entry = processes_[init];
  auto made = runtime::made_before(host->loop.sys(), host->reaper,
                                   runtime::create_pid_file(host->bundle_dir(instance_)));
  const auto dir = host->options.state_dir + "/runtime/" + id;
  const bool waits = host->loop.sys().exists(dir + "/exec.fifo") == 1;
  // A runtime that fails kills what it made and forgets it; what it still knows has run.
  if (!made && made.why().code == ec::unknown_outcome && making_->run
      && host->loop.sys().exists(dir) == 1)
    made = runtime::ended_before(host->loop.sys(),
                                 runtime::create_pid_file(host->bundle_dir(instance_)));
  const bool terminal = making_->spec.terminal();
  auto streams = terminal && made && waits
                   ? take_terminal_again(*host, names(init), making_->spec.log())
                   : result<process_streams>{process_streams{}};
  if (made && streams && waits != (making_->run && !making_->two_steps())) {
    adopt_made({.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks},
               terminal ? std::make_shared<process_streams>(std::move(*streams)) : nullptr);
    return;
  }
  // Half: undone, and done once more under the same names. Without its pid file first: who is
  // killed here must not be taken for one that has run, when we die in between.
  host->loop.sys().unlink(runtime::create_pid_file(host->bundle_dir(instance_)));
  if (auto killed = group().kill_all(); !killed)
    io::log_warn("container={}: {}", who.id, killed.why().text());
  host->shelved.erase(entry.serial);
  host->shelved_stdin.erase(entry.serial);
  host->shelved_consoles.erase(entry.serial);
  drop_streams(*host, entry.serial);
  host->engine.remove(runtime_, id, true, making_->op,
                      while_here([this](result<void> x) {
                        if (!x) {
                          fail_making(x.why());
                          return;
                        }
                        // What the half one wrote is nobody's, and may end in a torn record.
                        undo_log(while_here([this] { begin_making(); }));
                      }));
}

// Whole: created and waiting, or run and running. It goes on as if we had been there.
/// @param terminal Its streams, if they are a terminal's, which was taken already.
void container_state::adopt_made(const outcome& made, std::shared_ptr<process_streams> terminal) {
  auto go_on = [this, made, terminal] {
    auto& entry = processes_[init];
    auto streams = terminal ? std::move(*terminal)
                            : adopt_streams(*host, names(init), making_->spec.log());
    // It may have been closed while it was made.
    const bool closed = view()->init()->stdin_closed || !making_->spec.with_stdin();
    if (closed) {
      streams.stdin_pipe.reset();
      drop_stdin(*host, entry.serial);
    }
    spawn_process(init, entry.serial, std::move(streams), closed);
    on_made(made);
  };
  const auto& args = making_->spec.args();
  making_->args.assign(args.begin(), args.end());
  if (!args.empty()) {
    go_on();
    return;
  }
  runtime::read_command(host->loop, host->bundle_dir(instance_),
                        while_here([this, go_on](result<std::vector<std::string>> command) {
                          if (command)
                            making_->args = std::move(*command);
                          else
                            io::log_warn("container={}: {}", who.id, command.why().text());
                          go_on();
                        }));
}

void container_state::orphan_exec_ended(const std::string& process_id) {
  auto& entry = processes_[process_id];
  auto& work = *execs_.at(process_id);
  auto made = runtime::made_before(
    host->loop.sys(), host->reaper,
    runtime::exec_pid_file(host->bundle_dir(instance_), hex16(entry.serial)));
  if (!made && made.why().code == ec::unknown_outcome)
    made = runtime::ended_before(
      host->loop.sys(), runtime::exec_pid_file(host->bundle_dir(instance_), hex16(entry.serial)));
  if (made && work.request.spec().terminal()) {
    take_exec_terminal(process_id, take_terminal_again(*host, names(process_id),
                                                       work.request.spec().log()));
    on_exec_made(process_id,
                 {.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks});
    return;
  }
  if (made) {
    spawn_process(process_id, entry.serial,
                  adopt_streams(*host, names(process_id), work.request.spec().log()),
                  !work.request.spec().with_stdin());
    on_exec_made(process_id,
                 {.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks});
    return;
  }
  host->shelved.erase(entry.serial);
  host->shelved_stdin.erase(entry.serial);
  host->shelved_consoles.erase(entry.serial);
  host->loop.sys().unlink(
    runtime::exec_pid_file(host->bundle_dir(instance_), hex16(entry.serial)));
  (void)exec_group(entry.serial).kill_all();
  // What the half one wrote is nobody's, and may end in a torn record.
  remove_logs(*host, entry.serial, while_here([this, process_id] {
    if (at_ == phase::running)
      prepare_exec(process_id);
    else
      fail_exec(process_id, refusal("it ended before the process ran"));
  }));
}

} // namespace gantry::actors
