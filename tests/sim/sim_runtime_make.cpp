// The commands that make processes: create, run and exec.

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/sim/sim_runtime_command.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

/// `runc init`: in its namespaces and cgroup already, waiting to become the program.
class waiting_init final : public program, public listener {
public:
  waiting_init(process& self, process& runtime, std::vector<std::string> args)
    : self_(self), args_(std::move(args)) {
    listen_to(runtime);
  }

  void start(process&) override {}

  /// SIGTERM ends a created container: it has no handler, but it is not yet in the way of
  /// the kernel's protection of init either.
  bool on_signal(process& self, int sig) override {
    self.die_of(sig);
    return true;
  }

  /// The runtime has ended. Before the handshake that is the end for us, too.
  void changed() override {
    stop_listening();
    if (!ready)
      self_.after(500us, [this] {
        if (!ready)
          self_.exit(1);
      });
  }

  [[nodiscard]] const std::vector<std::string>& args() const noexcept { return args_; }

  bool ready = false;

private:
  process& self_;
  std::vector<std::string> args_;
};

std::vector<std::string> strings(const nlohmann::json& list) {
  std::vector<std::string> out;
  if (list.is_array())
    for (const auto& x : list)
      if (x.is_string())
        out.push_back(x.get<std::string>());
  return out;
}

bool has_pid_namespace(const nlohmann::json& config) {
  for (const auto& n : config.value("/linux/namespaces"_json_pointer, nlohmann::json::array()))
    if (n.value("type", "") == "pid" && !n.contains("path"))
      return true;
  return false;
}

} // namespace

process_ptr runtime_command::fork_waiting(const std::vector<std::string>& args,
                                          const std::string& cgroup) {
  auto& m = self_.host;
  auto p = m.fork(self_.shared_from_this());
  p->argv = {"runc", "init"};
  p->env.clear();
  p->fds = self_.fds;
  p->streams = self_.streams;
  m.groups.join(*p, cgroup);
  p->body = std::make_unique<waiting_init>(*p, self_, args);
  return p;
}

void runtime_command::release(process& p) {
  auto& waiting = static_cast<waiting_init&>(*p.body);
  p.argv = waiting.args();
  const auto* maker = p.host.container_program(p.argv[0]);
  auto next = (*maker)(p);
  // The old program may still be under way further up in the calls: it ends later.
  std::shared_ptr<program> before = std::move(p.body);
  p.host.time.in(0ns, [before] {});
  p.body = std::move(next);
  p.after(p.rng().between(20us, 400us), [&p] { p.body->start(p); });
}

std::string runtime_command::cannot_run(const std::vector<std::string>& args) const {
  const std::string name = args.empty() ? "" : args[0];
  if (name == "/etc" || name == "not-executable")
    return "unable to start container process: exec: \"" + name + "\": permission denied";
  if (self_.host.container_program(name))
    return {};
  if (name.starts_with('/'))
    return "unable to start container process: exec: \"" + name + "\": stat " + name +
           ": no such file or directory";
  return "unable to start container process: exec: \"" + name +
         "\": executable file not found in $PATH";
}

void runtime_command::begin_create() {
  step(4ms, 14ms, [this] {
    bundle_ = line_.get("--bundle");
    const auto config = nlohmann::json::parse(self_.host.files.get(bundle_ + "/config.json"),
                                              nullptr, false);
    if (!config.is_object())
      return fail("JSON specification file config.json not found", 1);
    wanted_ = strings(config.value("/process/args"_json_pointer, nlohmann::json::array()));
    cgroup_ = config.value("/linux/cgroupsPath"_json_pointer, "/" + id_);
    if (known() || self_.host.files.exists(dir_))
      return fail("container with given ID already exists", 1);
    step(2ms, 8ms, [this, config] {
      if (self_.host.files.mkdirs(dir_) < 0)
        return fail("mkdir " + dir_ + ": no such file or directory", 1);
      made_dir_ = true;
      self_.host.groups.make(cgroup_);
      apply_limits(config.value("/linux/resources"_json_pointer, nlohmann::json::object()),
                   cgroup_);
      child_ = fork_waiting(wanted_, cgroup_);
      if (has_pid_namespace(config)) {
        child_->ns = std::make_shared<pid_namespace>();
        child_->ns->init = child_;
        child_->ns_init = true;
      }
      step(5ms, 12ms, [this] { init_is_ready(); });
    });
  });
}

void runtime_command::init_is_ready() {
  if (const auto why = cannot_run(wanted_); !why.empty()) {
    clean_up();
    return fail("runc create failed: " + why, 1);
  }
  if (!child_->alive()) {
    clean_up();
    return fail("runc create failed: unable to start container process: waiting for init "
                "preliminary setup: read init-p: connection reset by peer",
                1);
  }
  static_cast<waiting_init&>(*child_->body).ready = true;
  auto& files = self_.host.files;
  const nlohmann::json state{{"id", id_}, {"init_process_pid", child_->pid}};
  files.put(dir_ + "/state.json", state.dump());
  files.put(dir_ + "/exec.fifo", "");
  (*all_)[dir_] = {id_, bundle_, cgroup_, child_, true};
  if (line_.verb == "create")
    return step(1ms, 4ms, [this] { write_pid_and_leave(child_, 200us, 1ms); });
  step(1ms, 4ms, [this] {
    // `run` starts the program first and writes the pid file afterwards.
    auto* c = known();
    if (c && child_->alive()) {
      c->created = false;
      child_->goes_on = line_.verb == "restore";
      self_.host.files.unlink(dir_ + "/exec.fifo");
      release(*child_);
    }
    write_pid_and_leave(child_, 200us, 1ms);
  });
}

void runtime_command::write_pid_and_leave(const process_ptr& p, nanoseconds from,
                                          nanoseconds to) {
  if (const auto path = line_.get("--pid-file"); !path.empty())
    self_.host.files.put(path, std::to_string(p->pid));
  step(from, to, [this] { self_.exit(0); });
}

/// Undoes a create or exec that has failed.
void runtime_command::clean_up() {
  if (child_ && child_->alive() && (line_.verb == "exec" || made_dir_))
    child_->die_of(SIGKILL);
  if (!made_dir_ || self_.host.options.faults.delete_fails >= 1)
    return; // Where nothing can be deleted, not by a create that fails either.
  all_->erase(dir_);
  self_.host.files.remove_all(dir_);
  // The runtime reaps its own child before it removes the group.
  if (child_ && child_->at == process::phase::zombie && child_->parent.lock().get() == &self_)
    self_.host.reap(*child_);
  if (self_.host.groups.at(cgroup_))
    self_.host.groups.remove(cgroup_);
}

void runtime_command::begin_exec() {
  step(3ms, 10ms, [this] {
    auto* c = known();
    if (!c)
      return fail("exec failed: container does not exist", 255);
    const auto now = status(*c);
    if (now == "paused")
      return fail("exec failed: cannot exec in a paused container (use --ignore-paused to "
                  "override)",
                  255);
    if (now == "stopped")
      return fail("exec failed: cannot exec in a stopped container", 255);
    const auto spec = nlohmann::json::parse(self_.host.files.get(line_.get("--process")), nullptr,
                                            false);
    if (!spec.is_object())
      return fail("exec failed: open process file: no such file or directory", 255);
    wanted_ = strings(spec.value("args", nlohmann::json::array()));
    step(2ms, 8ms, [this] { make_exec(); });
  });
}

void runtime_command::make_exec() {
  auto* c = known();
  const auto init = c ? c->init.lock() : nullptr;
  if (!init || !init->alive() || !self_.host.groups.at(c->cgroup))
    return fail("exec failed: unable to start container process: error executing setns process: "
                "exit status 1",
                255);
  const auto option = line_.get("--cgroup");
  const auto sub = option.substr(option.find(':') + 1); // In front: the controllers of v1.
  const auto group = sub.empty() ? c->cgroup : c->cgroup + "/" + sub;
  if (!self_.host.groups.at(group))
    return fail("exec failed: openat2 /sys/fs/cgroup" + group + "/cgroup.procs: no such file", 255);
  child_ = fork_waiting(wanted_, group);
  if (init->ns)
    self_.host.enter(*child_, init->ns);
  // The child does its part itself: in a frozen group that waits for the thaw, and so does
  // the runtime.
  auto runtime = self_.weak_from_this();
  child_->after(self_.rng().between(3ms, 9ms), [this, runtime] {
    if (auto r = runtime.lock(); !r || !r->alive())
      return;
    if (const auto why = cannot_run(wanted_); !why.empty()) {
      released_ = true;
      child_->exit(1);
      return self_.after(500us, [this, why] { fail("exec failed: " + why, 255); });
    }
    released_ = true;
    static_cast<waiting_init&>(*child_->body).ready = true;
    release(*child_);
    step(300us, 1ms, [this] { write_pid_and_leave(child_, 200us, 1ms); });
  });
  watch_child();
}

/// A child that dies before it is the program (killed with its init) fails the exec.
void runtime_command::watch_child() {
  self_.after(5ms, [this] {
    if (released_)
      return;
    if (child_->alive())
      return watch_child();
    fail("exec failed: unable to start container process: read init-p: connection reset by peer",
         255);
  });
}

} // namespace gantry::sim
