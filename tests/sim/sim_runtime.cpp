#include "tests/sim/sim_runtime.hpp"

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/sim/sim_runtime_command.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

/// Flags that take a value, of every command that is simulated.
bool takes_value(std::string_view flag) {
  for (auto f : {"--root", "--log", "--log-format", "--bundle", "-b", "--pid-file", "--process",
                 "-p", "--console-socket", "--preserve-fds", "--cwd", "-e", "--env", "-u", "--user",
                 "-r", "--resources", "--cgroup", "--cgroup-manager", "--memory", "--pids-limit",
                 "--image-path", "--work-path"})
    if (flag == f)
      return true;
  return false;
}

std::string long_name(const std::string& flag) {
  if (flag == "-b")
    return "--bundle";
  if (flag == "-p")
    return "--process";
  if (flag == "-r")
    return "--resources";
  if (flag == "-d")
    return "--detach";
  return flag == "-f" ? "--force" : flag;
}

} // namespace

command_line command_line::parse(const std::vector<std::string>& argv) {
  command_line c;
  for (size_t i = 1; i < argv.size(); ++i) {
    std::string flag = argv[i];
    if (flag.size() < 2 || flag[0] != '-') {
      if (c.verb.empty())
        c.verb = flag;
      else
        c.args.push_back(flag);
      continue;
    }
    std::string value;
    if (const auto cut = flag.find('='); cut != std::string::npos) {
      value = flag.substr(cut + 1);
      flag.resize(cut);
    } else if (takes_value(flag) && i + 1 < argv.size()) {
      value = argv[++i];
    }
    c.flags[long_name(flag)] = value;
  }
  return c;
}

runtime_command::runtime_command(process& self, std::shared_ptr<oci_containers> all)
  : self_(self), all_(std::move(all)), line_(command_line::parse(self.argv)) {}

void runtime_command::start(process&) {
  if (line_.has("--version"))
    return self_.after(self_.rng().between(1ms, 4ms), [this] {
      self_.write_all(1, "runc version 1.1.5+sim\nspec: 1.0.2-dev\n", [this] { self_.exit(0); });
    });
  id_ = line_.args.empty() ? "" : line_.args[0];
  dir_ = line_.get("--root") + "/" + id_;
  const auto& v = line_.verb;
  if (v == "create" || v == "run")
    return begin_create();
  if (v == "restore")
    return begin_restore();
  if (v == "checkpoint")
    return step(3ms, 9ms, [this] { begin_checkpoint(); });
  if (v == "start")
    return step(2ms, 6ms, [this] { do_start(); });
  if (v == "exec")
    return begin_exec();
  if (v == "delete")
    return step(1ms, 4ms, [this] { do_delete(); });
  if (v == "update")
    return begin_update();
  if (v == "state")
    return step(2ms, 5ms, [this] { do_state(); });
  fail("No help topic for '" + v + "'", 3);
}

void runtime_command::step(nanoseconds from, nanoseconds to, std::function<void()> f) {
  const auto& faults = self_.host.options.faults;
  auto& rng = self_.rng();
  // A command has about five steps: the chances are meant for a whole one.
  if (rng.chance(faults.runtime_hangs / 5))
    return; // Waits for something that never comes.
  if (rng.chance(faults.runtime_dies / 5)) {
    const int sig = rng.chance(0.5) ? SIGKILL : SIGSEGV;
    return self_.after(rng.between(from, to), [this, sig] { self_.die_of(sig); });
  }
  if (rng.chance(line_.verb == "delete" ? faults.delete_fails / 2 : faults.runtime_fails / 5))
    return self_.after(rng.between(from, to), [this] {
      clean_up();
      fail("runc " + line_.verb + " failed: simulated: no luck", 1);
    });
  self_.after(rng.between(from, to), std::move(f));
}

void runtime_command::fail(const std::string& message, int code) {
  const nlohmann::json entry{
    {"level", "error"}, {"msg", message}, {"time", "2026-01-01T00:00:00Z"}};
  if (const auto log = line_.get("--log"); !log.empty()) {
    auto& files = self_.host.files;
    files.put(log, files.get(log) + entry.dump() + "\n");
  }
  // The runtime's words go to the container's stderr as well.
  const std::string words = "time=\"2026\" level=error msg=\"" + message + "\"\n";
  self_.write_all(2, words, [this, code] { self_.exit(code); });
}

oci_container* runtime_command::known() {
  auto it = all_->find(dir_);
  if (it == all_->end())
    return nullptr;
  if (!self_.host.files.exists(dir_ + "/state.json")) { // Somebody removed it behind our back.
    all_->erase(it);
    return nullptr;
  }
  return &it->second;
}

std::string runtime_command::status(const oci_container& c) const {
  const auto init = c.init.lock();
  if (!init || init->at == process::phase::zombie || init->at == process::phase::reaped)
    return "stopped"; // While init waits for its pid namespace to empty it still counts as alive.
  if (self_.host.groups.frozen(c.cgroup))
    return "paused";
  return c.created ? "created" : "running";
}

void runtime_command::do_start() {
  auto* c = known();
  if (!c)
    return fail("container does not exist", 1);
  const auto now = status(*c);
  if (now == "stopped")
    return fail("cannot start a container that has stopped", 1);
  if (now != "created")
    return fail("cannot start an already running container", 1);
  c->created = false;
  self_.host.files.unlink(dir_ + "/exec.fifo");
  release(*c->init.lock());
  step(500us, 2ms, [this] { self_.exit(0); });
}

void runtime_command::do_delete() {
  auto* c = known();
  const bool force = line_.has("--force");
  if (!c) {
    // What a create that was killed left behind has no state.json.
    if (force) {
      self_.host.files.remove_all(dir_);
      return self_.exit(0);
    }
    return fail("container does not exist", 1);
  }
  const auto now = status(*c);
  if (now == "stopped")
    return destroy();
  if (now != "created" && !force)
    return fail("cannot delete container " + id_ + " that is not stopped: " + now, 1);
  if (auto init = c->init.lock())
    self_.host.signal(*init, SIGKILL);
  if (self_.host.groups.hybrid() && self_.host.groups.frozen_v1(c->cgroup))
    self_.host.groups.write("/sys/fs/cgroup/freezer" + c->cgroup + "/freezer.state", "THAWED");
  poll_until_dead(0);
}

void runtime_command::poll_until_dead(int tries) {
  self_.after(100ms, [this, tries] {
    auto* c = known();
    if (!c || status(*c) == "stopped")
      return destroy();
    if (tries == 100)
      return fail("container init still running", 1);
    poll_until_dead(tries + 1);
  });
}

void runtime_command::destroy() {
  step(500us, 2ms, [this] {
    auto* c = known();
    if (!c)
      return self_.exit(0);
    const std::string cgroup = c->cgroup;
    bool removed = true; // With what is below, the lowest first.
    const auto paths = self_.host.groups.paths();
    for (auto at = paths.rbegin(); at != paths.rend(); ++at)
      if (*at == cgroup || at->starts_with(cgroup + "/"))
        removed = self_.host.groups.remove(*at) && removed;
    self_.host.files.remove_all(dir_);
    all_->erase(dir_);
    if (self_.host.options.canary == broken::a_file)
      self_.host.files.put(line_.get("--root") + "/litter", "x");
    if (!removed)
      return fail("unable to remove container's cgroup: Failed to remove paths: " + cgroup, 1);
    step(200us, 1ms, [this] { self_.exit(0); });
  });
}

void runtime_command::begin_update() {
  const auto from = line_.get("--resources");
  if (from != "-")
    return step(1ms, 3ms, [this, from] { do_update(self_.host.files.get(from)); });
  read_stdin({});
}

void runtime_command::read_stdin(std::string so_far) {
  self_.read_some(0, 4096, [this, so_far = std::move(so_far)](std::string got) mutable {
    if (got.empty())
      return step(1ms, 3ms, [this, all = std::move(so_far)] { do_update(all); });
    read_stdin(so_far + got);
  });
}

void runtime_command::do_update(const std::string& text) {
  auto* c = known();
  if (!c)
    return fail("container does not exist", 1);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object())
    return fail("invalid character in resources", 1);
  apply_limits(json, c->cgroup);
  self_.exit(0);
}

void runtime_command::do_state() {
  auto* c = known();
  if (!c)
    return fail("container does not exist", 1);
  const auto init = c->init.lock();
  const nlohmann::json state{{"id", id_},
                             {"pid", init ? init->pid : 0},
                             {"status", status(*c)},
                             {"bundle", c->bundle}};
  self_.write_all(1, state.dump() + "\n", [this] { self_.exit(0); });
}

void runtime_command::apply_limits(const nlohmann::json& resources, const std::string& cgroup) {
  const auto g = self_.host.groups.at(cgroup);
  if (!g)
    return;
  if (auto limit = resources.value("/memory/limit"_json_pointer, int64_t(0)); limit != 0)
    g->memory_limit = limit;
  if (auto limit = resources.value("/pids/limit"_json_pointer, int64_t(0)); limit != 0)
    g->pids_limit = limit;
}

std::shared_ptr<oci_containers> install_runtimes(machine& m) {
  auto all = std::make_shared<oci_containers>();
  auto maker = [all](const process& p) {
    return std::make_unique<runtime_command>(const_cast<process&>(p), all);
  };
  for (auto path : {"/usr/sbin/runc", "/usr/bin/runc", "/usr/bin/crun"})
    m.install(path, maker);
  return all;
}

} // namespace gantry::sim
