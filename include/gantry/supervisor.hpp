#pragma once

#include <future>
#include <memory>

#include <gantry/attach.hpp>
#include <gantry/options.hpp>
#include <gantry/requests.hpp>
#include <gantry/subscription.hpp>

namespace gantry {

/// Takes the answer to one command.
template <class T>
using callback = std::function<void(result<T>)>;

/// A supervisor of containers: one inside this process (`start`) or another process's
/// (`connect`). The same commands, events and streams for both.
///
/// THREADS. Each supervisor has one thread of its own. Every callback and handler runs there,
/// one at a time. It must be short and must not wait: in a supervisor of our own that very
/// thread moves all containers' output. So do not call `get` on a future of this class there.
/// What a callback throws ends the program. All calls may come from any thread, callbacks
/// included; `~supervisor` and the blocking `stop` must not come from a callback.
///
/// LIFETIME. Every callback is called exactly once. What is under way when the supervisor ends
/// is answered with `cancelled` or `unavailable`, so that no future waits for ever; what is
/// asked afterwards is answered with `unavailable` before the call returns.
///
/// WHAT IT DOES TO YOUR PROCESS. Nothing but this: one thread, with all signals blocked but
/// those of faults; some descriptors, all close-on-exec; children (the OCI runtime's commands),
/// reaped one by one through their pidfds. No signal handler; no change of anybody's signal
/// mask, of the environment, the umask, the working directory or a limit; no `waitpid(-1)`; no
/// atexit handler; no use of spdlog's or CAF's process-wide registries; nothing on stdout or
/// stderr, except the last line of an abort over a bug of gantry. What the libraries below have
/// once per process: protobuf's table of descriptors knows the package gantry.v1.
///
/// WITHOUT A KEEPER a started supervisor makes this process a child sub-reaper (prctl(2)): the
/// containers' processes become its children. What that costs:
///   - When this process dies, its containers go on without anybody who reads their output or
///     knows their exit status. The next start takes over what lives; statuses of what died
///     are unknown, and who writes to a broken pipe gets SIGPIPE.
///   - Records of the last moments, which are not on disk yet, die with it: a container that was
///     just being made is then made once more.
///   - This process must not reap them: no `waitpid(-1)`, no SIGCHLD set to SIG_IGN. An exit
///     status that is stolen is asked of the kernel (6.15 and later), or is `status_unknown`.
///   - Other orphans that fall to this process are not reaped: they stay zombies until it ends.
/// UNDER A KEEPER (`gantry-keeper -- PROGRAM …`) none of this holds: it restarts the program
/// when that dies, and `start` finds every container, exit and byte of output again.
class GANTRY_API supervisor {
public:
  /// Starts a supervisor in this process and recovers what an earlier one left there; returns
  /// when it serves. Needs root, an OCI runtime and io_uring.
  /// `already_exists`: another supervisor has these directories, or the keeper.
  static result<std::unique_ptr<supervisor>> start(start_options how);

  /// Connects to a running supervisor; returns when it has answered.
  /// `unavailable`: nobody is there. Needs neither root nor io_uring.
  static result<std::unique_ptr<supervisor>> connect(connect_options how = {});

  ~supervisor(); ///< Stops it first (see `start_options::stop_containers`), and waits for that.
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  /// Ends a started supervisor; with `stop_containers` each container gets its stop signal
  /// and its grace first. A connected one only goes away. Returns when all is released.
  void stop(bool stop_containers);

  // Each command in two forms: with a callback, and with a future.

  void version(callback<version_report> f);
  void info(callback<supervisor_report> f);
  void create(create_request r, callback<created_container> f);
  void start(container_ref c, callback<started_process> f);
  void kill(kill_request r, callback<void> f);
  void stop(stop_request r, callback<exit_report> f);
  void pause(container_ref c, callback<void> f);
  void resume(container_ref c, callback<void> f);
  void update(container_ref c, resource_limits limits, callback<void> f);
  void update(update_request r, callback<void> f);
  void remove(remove_request r, callback<void> f);
  void wait(wait_request r, callback<waited_exit> f);
  /// @param ns "*": all namespaces. @param all The stopped ones, too.
  void list(std::string ns, bool all, callback<container_list> f);
  void list(list_request r, callback<container_list> f);
  void inspect(container_ref c, callback<container_detail> f);
  /// @param c With an empty id: all running ones of its namespace. @param raw Raw files, too.
  void usage(container_ref c, bool raw, callback<std::vector<usage_report>> f);
  void top(container_ref c, callback<std::vector<host_process>> f);
  void exec(exec_request r, callback<exec_started> f);
  void exec_sync(exec_sync_request r, callback<exec_result> f);
  /// @param all The ended ones that are remembered, too.
  void processes(container_ref c, bool all, callback<std::vector<process_summary>> f);
  void open_io(io_options what, callback<io_bundle> f); ///< Streams of a process that exists.
  /// Joins the streams of a living process as they are; see `attachment`. Answered with the
  /// streams. `not_found`: no such process, or a cursor of another run of it.
  void attach(attach_options what, callback<attachment> f);
  void close_stdin(container_ref c, std::string process, callback<void> f);
  /// The size of a process's terminal, before or after its start; it stays across runs.
  void resize(container_ref c, std::string process, terminal_size size, callback<void> f);
  /// The log goes on in a new file: for who rotates logs himself.
  void reopen_log(container_ref c, std::string process, callback<log_file> f);
  void checkpoint(checkpoint_request r, callback<made_checkpoint> f);
  void checkpoints(container_ref c, callback<std::vector<checkpoint_summary>> f);
  void remove_checkpoint(container_ref c, std::string name, callback<void> f);
  void restore(restore_request r, callback<started_process> f);
  void disk_use(callback<disk_report> f); ///< Looks at every file.
  /// Runs a probe at once; its result counts as any other. `wrong_state`: it does not run.
  /// @param role Empty: the only one.
  void run_probe(container_ref c, std::string role, callback<ran_probe> f);
  /// What was captured before the supervisor ended it by itself. `not_found`: no such.
  /// @param number As in `health_report::evidence`; 0: the newest.
  void read_evidence(container_ref c, uint64_t number, callback<evidence> f);

  /// A pidfd of a living process (empty: init): readable once it has ended, whatever becomes
  /// of the supervisor; yours to close, close-on-exec. How it ended, `wait` tells. Blocks for
  /// at most some seconds: not for callbacks.
  /// `not_found`, `wrong_state`: it has ended; `unsupported`: a program without an fds.sock.
  result<int> process_fd(container_ref c, std::string process = {});

  /// Begins to hear events.
  subscription subscribe(subscribe_options what, event_handler f);

  std::future<result<version_report>> version() {
    return soon<version_report>([&](auto f) { version(std::move(f)); });
  }
  std::future<result<supervisor_report>> info() {
    return soon<supervisor_report>([&](auto f) { info(std::move(f)); });
  }
  std::future<result<created_container>> create(create_request r) {
    return soon<created_container>([&](auto f) { create(std::move(r), std::move(f)); });
  }
  std::future<result<started_process>> start(container_ref c) {
    return soon<started_process>([&](auto f) { start(std::move(c), std::move(f)); });
  }
  std::future<result<void>> kill(kill_request r) {
    return soon<void>([&](auto f) { kill(std::move(r), std::move(f)); });
  }
  std::future<result<exit_report>> stop(stop_request r) {
    return soon<exit_report>([&](auto f) { stop(std::move(r), std::move(f)); });
  }
  std::future<result<void>> pause(container_ref c) {
    return soon<void>([&](auto f) { pause(std::move(c), std::move(f)); });
  }
  std::future<result<void>> resume(container_ref c) {
    return soon<void>([&](auto f) { resume(std::move(c), std::move(f)); });
  }
  std::future<result<void>> update(container_ref c, resource_limits limits) {
    return soon<void>([&](auto f) { update(std::move(c), std::move(limits), std::move(f)); });
  }
  std::future<result<void>> update(update_request r) {
    return soon<void>([&](auto f) { update(std::move(r), std::move(f)); });
  }
  std::future<result<void>> remove(remove_request r) {
    return soon<void>([&](auto f) { remove(std::move(r), std::move(f)); });
  }
  std::future<result<waited_exit>> wait(wait_request r) {
    return soon<waited_exit>([&](auto f) { wait(std::move(r), std::move(f)); });
  }
  std::future<result<container_list>> list(std::string ns = "default", bool all = false) {
    return soon<container_list>([&](auto f) { list(std::move(ns), all, std::move(f)); });
  }
  std::future<result<container_detail>> inspect(container_ref c) {
    return soon<container_detail>([&](auto f) { inspect(std::move(c), std::move(f)); });
  }
  std::future<result<std::vector<usage_report>>> usage(container_ref c, bool raw = false) {
    return soon<std::vector<usage_report>>(
      [&](auto f) { usage(std::move(c), raw, std::move(f)); });
  }
  std::future<result<std::vector<host_process>>> top(container_ref c) {
    return soon<std::vector<host_process>>([&](auto f) { top(std::move(c), std::move(f)); });
  }
  std::future<result<exec_started>> exec(exec_request r) {
    return soon<exec_started>([&](auto f) { exec(std::move(r), std::move(f)); });
  }
  std::future<result<exec_result>> exec_sync(exec_sync_request r) {
    return soon<exec_result>([&](auto f) { exec_sync(std::move(r), std::move(f)); });
  }
  std::future<result<std::vector<process_summary>>> processes(container_ref c, bool all = false) {
    return soon<std::vector<process_summary>>(
      [&](auto f) { processes(std::move(c), all, std::move(f)); });
  }
  std::future<result<io_bundle>> open_io(io_options what) {
    return soon<io_bundle>([&](auto f) { open_io(std::move(what), std::move(f)); });
  }
  std::future<result<attachment>> attach(attach_options what) {
    return soon<attachment>([&](auto f) { attach(std::move(what), std::move(f)); });
  }
  std::future<result<void>> close_stdin(container_ref c, std::string process = {}) {
    return soon<void>(
      [&](auto f) { close_stdin(std::move(c), std::move(process), std::move(f)); });
  }

  std::future<result<container_list>> list(list_request r) {
    return soon<container_list>([&](auto f) { list(std::move(r), std::move(f)); });
  }
  std::future<result<void>> resize(container_ref c, terminal_size size, std::string process = {}) {
    return soon<void>(
      [&](auto f) { resize(std::move(c), std::move(process), size, std::move(f)); });
  }
  std::future<result<log_file>> reopen_log(container_ref c, std::string process = {}) {
    return soon<log_file>(
      [&](auto f) { reopen_log(std::move(c), std::move(process), std::move(f)); });
  }
  std::future<result<made_checkpoint>> checkpoint(checkpoint_request r) {
    return soon<made_checkpoint>([&](auto f) { checkpoint(std::move(r), std::move(f)); });
  }
  std::future<result<std::vector<checkpoint_summary>>> checkpoints(container_ref c) {
    return soon<std::vector<checkpoint_summary>>(
      [&](auto f) { checkpoints(std::move(c), std::move(f)); });
  }
  std::future<result<void>> remove_checkpoint(container_ref c, std::string name) {
    return soon<void>(
      [&](auto f) { remove_checkpoint(std::move(c), std::move(name), std::move(f)); });
  }
  std::future<result<started_process>> restore(restore_request r) {
    return soon<started_process>([&](auto f) { restore(std::move(r), std::move(f)); });
  }
  std::future<result<disk_report>> disk_use() {
    return soon<disk_report>([&](auto f) { disk_use(std::move(f)); });
  }
  std::future<result<ran_probe>> run_probe(container_ref c, std::string role = {}) {
    return soon<ran_probe>([&](auto f) { run_probe(std::move(c), std::move(role), std::move(f)); });
  }
  std::future<result<evidence>> read_evidence(container_ref c, uint64_t number = 0) {
    return soon<evidence>([&](auto f) { read_evidence(std::move(c), number, std::move(f)); });
  }

  struct impl; ///< INTERNAL.

private:
  explicit supervisor(std::unique_ptr<impl> x);

  /// A future for what `ask` answers by a callback.
  template <class T, class Ask>
  static std::future<result<T>> soon(Ask ask) {
    auto answer = std::make_shared<std::promise<result<T>>>();
    auto out = answer->get_future();
    ask(callback<T>([answer](result<T> x) { answer->set_value(std::move(x)); }));
    return out;
  }

  std::unique_ptr<impl> impl_;
};

} // namespace gantry
