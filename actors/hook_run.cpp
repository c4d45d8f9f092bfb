#include "actors/hook_run.hpp"

#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <memory>
#include <poll.h>

#include "io/log.hpp"
#include "io/poll.hpp"
#include "messages/result.hpp"
#include "runtime/engine.hpp"
#include "runtime/oci_command.hpp"

namespace gantry::actors {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view group_prefix = "_hook-"; ///< No container's name begins so.
constexpr std::string_view mark = "GANTRY_HOOK";
constexpr io::nanoseconds first_look = 10ms; ///< Whether everybody who was killed has gone.
constexpr io::nanoseconds last_look = 1s;
/// For a child that an earlier life left in the middle of its exec, without our mark yet.
constexpr io::nanoseconds exec_patience = 1s;
constexpr int64_t ticks_a_second = 100; // USER_HZ is 100 on every Linux.

std::string mark_of(const services& host, uint64_t number) {
  return hex16(number) + "@" + host.options.state_dir;
}

/// How long ago somebody was started; nothing where that cannot be told.
io::nanoseconds age_of(io::kernel& k, uint64_t start_ticks) {
  std::string text;
  if (k.read_small("/proc/uptime", text) < 0)
    return 0ns;
  double up = 0;
  std::from_chars(text.data(), text.data() + text.size(), up);
  const auto began = double(start_ticks) / double(ticks_a_second);
  return up > began ? io::nanoseconds(int64_t((up - began) * 1e9)) : 0ns;
}

} // namespace

/// A hook from its begin until nothing of it is left. The services hold it.
struct running_hook : std::enable_shared_from_this<running_hook> {
  running_hook(services& h, hook_name w)
    : host(h), loop(h.loop), who(std::move(w)), ended(h.loop), limit(h.loop) {}

  // -- its cgroup: in one hierarchy, which is enough to end it as a whole --

  [[nodiscard]] std::string group_path() const {
    return "/" + host.options.cgroup_parent + "/" + who.container.ns + "/"
           + std::string{group_prefix} + hex16(who.number);
  }

  [[nodiscard]] runtime::cgroup group() const {
    return {loop.sys(), host.cgroups, runtime::cgroup_place{group_path()}};
  }

  [[nodiscard]] std::string mount() const {
    return host.cgroups.unified.empty() ? std::string{host.cgroups.mount_of("freezer")}
                                        : host.cgroups.unified;
  }

  void make_group() {
    const auto path = group_path();
    for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
      loop.sys().mkdir(mount() + path.substr(0, at), 0755);
    loop.sys().mkdir(mount() + path, 0755);
  }

  /// With everybody below it: who is there before his children are looked for leaves none behind.
  void enter_group(int32_t pid) {
    std::vector<int32_t> tree{pid};
    for (size_t i = 0; i < tree.size(); ++i) {
      const auto rc = loop.sys().write_small(mount() + group_path() + "/cgroup.procs",
                                             std::to_string(tree[i]));
      if (rc < 0 && rc != -ESRCH)
        io::log_warn("{}: {}", about(), from_errno(-rc, "enter", group_path()).text());
      for (const auto child : runtime::children_of(loop.sys(), tree[i]))
        tree.push_back(child);
    }
  }

  [[nodiscard]] bool is_ours(int32_t pid) const {
    return runtime::has_variable(loop.sys(), pid, mark, mark_of(host, who.number));
  }

  /// Whoever its process has started meanwhile comes along, also he whose parent has gone.
  void gather(int32_t pid) {
    for (const auto other : runtime::fallen_to_keeper(loop.sys()))
      if (other > pid && is_ours(other))
        enter_group(other);
  }

  // -- its process --

  [[nodiscard]] std::string about() const {
    return "container=" + who.container.id + ": hook " + who.program;
  }

  void begin(std::vector<std::string> env) {
    auto& sys = loop.sys();
    const io::fd null{sys, sys.open("/dev/null", O_RDWR)};
    io::spawn_request what;
    what.path = who.program;
    what.argv = {who.program};
    what.env = std::move(env);
    what.env.emplace_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    what.env.push_back(std::string{mark} + "=" + mark_of(host, who.number));
    what.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
    io::child made;
    make_group();
    const int err = null ? sys.spawn(what, made) : -ENFILE;
    if (err < 0) {
      say("failed", from_errno(-err, "start", who.program).text());
      return settle();
    }
    pidfd = io::fd{sys, made.pidfd};
    say_begun({made.pid, uint64_t(std::max<int64_t>(sys.start_ticks(made.pid), 0))});
    enter_group(made.pid);
    gather(made.pid);
    arm(0ns);
    ended.start(made.pidfd, POLLIN, [self = shared_from_this()](int32_t n) {
      io::exit_status how;
      if (n < 0 || self->alive.expired()) // We go, and the next life looks after it.
        return self->limit.cancel();
      if (self->loop.sys().reap(self->pidfd.get(), how) == 0)
        self->on_end(how);
    });
  }

  /// @param again Whether it may yet appear.
  void adopt(io::process_key known, bool again) {
    auto& sys = loop.sys();
    if (known.pid == 0) {
      const auto found = runtime::find_marked(sys, mark, mark_of(host, who.number));
      if (!found.empty()) {
        known = found.front();
        say_begun(known);
      }
    }
    if (known.pid == 0 && again)
      return limit.start(exec_patience, [me = weak_from_this()] {
        if (const auto self = me.lock())
          self->adopt({}, false);
      });
    if (known.pid == 0) {
      say("unknown", "gantryd died when it was about to be run");
      return settle();
    }
    make_group(); // It may not have been there yet, nor it in there.
    if (is_ours(known.pid))
      enter_group(known.pid);
    gather(known.pid);
    key = known;
    host.reaper.watch(key, [me = weak_from_this()](const io::death& d) {
      if (const auto self = me.lock())
        self->on_end(d.status);
    });
    arm(age_of(sys, key.start_ticks));
  }

  void arm(io::nanoseconds age) {
    const io::nanoseconds whole = std::chrono::milliseconds(host.options.hook_ms);
    limit.start(std::max(whole - age, io::nanoseconds{0}), on_time());
  }

  [[nodiscard]] std::function<void()> on_time() {
    return [me = weak_from_this()] {
      if (const auto self = me.lock())
        self->over();
    };
  }

  void on_end(const io::exit_status& how) {
    pidfd.reset();
    key = {};
    journal::Record r;
    auto* x = r.mutable_hook_ended();
    x->set_result(timed_out ? "timeout" : how.known ? "exited" : "unknown");
    x->set_exit_code(how.code);
    x->set_signal(how.signal);
    if (timed_out)
      x->set_message("it took longer than " + std::to_string(host.options.hook_ms) + " ms");
    say(std::move(r));
    if (timed_out || group().pids().empty())
      settle(); // Else what it started has the rest of its time.
  }

  /// Its time is over.
  void over() {
    timed_out = true;
    const int process = pidfd ? pidfd.get() : key.pid != 0 ? host.reaper.pidfd_of(key) : -1;
    if (process >= 0)
      loop.sys().pidfd_signal(process, SIGKILL);
    settle();
  }

  /// Ends what is left, and is no more when that has gone.
  void settle() {
    auto whole = group();
    if (auto killed = whole.kill_all(); !killed)
      io::log_warn("{}: {}", about(), killed.why().text());
    const int rc = loop.sys().rmdir(mount() + whole.path());
    const bool gone = rc >= 0 || rc == -ENOENT;
    if (gone && !pidfd && key.pid == 0) {
      whole.remove_parents();
      host.hooks.erase(who.number); // Perhaps the last that holds us.
      return;
    }
    look = std::min(look * 2, last_look);
    limit.start(look, on_time());
  }

  // -- what is told of it --

  void say_begun(io::process_key process) {
    journal::Record r;
    r.set_pid(process.pid);
    r.mutable_hook_began()->set_start_ticks(process.start_ticks);
    if (tell)
      tell(std::move(r));
  }

  void say(const std::string& result, const std::string& message) {
    journal::Record r;
    r.mutable_hook_ended()->set_result(result);
    r.mutable_hook_ended()->set_message(message);
    say(std::move(r));
  }

  void say(journal::Record r) {
    auto* x = r.mutable_hook_ended();
    x->set_program(who.program);
    if (x->result() != "exited" || x->signal() != 0 || x->exit_code() != 0)
      io::log_warn("{}: {}: exit {}, signal {} {}", about(), x->result(), x->exit_code(),
                   x->signal(), x->message());
    if (const auto f = std::exchange(tell, nullptr))
      f(std::move(r));
  }

  services& host;
  io::loop& loop;
  std::weak_ptr<int> alive = host.life;
  hook_name who;
  hook_teller tell; ///< Until its end was told.
  io::fd pidfd;             ///< Of a child of ours, until it has ended …
  io::process_key key{};    ///< … and of an earlier life's.
  io::poll_op ended;
  io::timer limit;
  bool timed_out = false;
  io::nanoseconds look = first_look;
};

void run_hook(services& host, hook_name who, std::vector<std::string> env, hook_teller tell) {
  const auto hook = std::make_shared<running_hook>(host, std::move(who));
  hook->tell = std::move(tell);
  host.hooks[hook->who.number] = hook;
  hook->begin(std::move(env));
}

void adopt_hook(services& host, hook_name who, io::process_key known, hook_teller tell) {
  auto& there = host.hooks[who.number]; // Its cgroup was found, perhaps.
  if (!there)
    there = std::make_shared<running_hook>(host, who);
  const auto hook = there;
  hook->who = std::move(who);
  hook->tell = std::move(tell);
  hook->adopt(known, true);
}

void guard_hook(services& host, const std::string& ns, const std::string& group) {
  hook_name who{{ns, "?"}, 0, "of an earlier life"};
  const auto digits = std::string_view{group}.substr(group_prefix.size());
  std::from_chars(digits.data(), digits.data() + digits.size(), who.number, 16);
  const auto hook = std::make_shared<running_hook>(host, std::move(who));
  io::nanoseconds oldest = 0ns;
  for (const auto pid : hook->group().pids())
    if (const auto ticks = host.loop.sys().start_ticks(pid); ticks > 0)
      oldest = std::max(oldest, age_of(host.loop.sys(), uint64_t(ticks)));
  host.hooks[hook->who.number] = hook;
  if (hook->group().pids().empty())
    hook->settle();
  else
    hook->arm(oldest);
}

void leave_hooks(services& host) {
  for (const auto& [number, hook] : host.hooks) {
    hook->limit.cancel();
    if (hook->ended.in_flight())
      hook->ended.cancel();
  }
  host.hooks.clear();
}

bool is_hook_group(std::string_view group) noexcept { return group.starts_with(group_prefix); }

} // namespace gantry::actors
