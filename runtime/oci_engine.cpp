#include "runtime/oci_driver.hpp"

#include <cerrno>
#include <cstdio>

#include "runtime/criu_config.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t log_limit = 64u << 10;
/// A process that died at once is gone from /proc a moment before the keeper's table has it.
constexpr auto table_retry = std::chrono::milliseconds(1);
constexpr int table_tries = 2000; // So long the reaper waits for a word, too.

/// Pipes of the process, or a terminal that the runtime makes and sends us.
void set_streams(oci_call& x, const std::array<int, 3>& stdio, const std::string& console) {
  if (console.empty()) {
    x.stdio = stdio;
    return;
  }
  x.argv.emplace_back("--console-socket");
  x.argv.push_back(console);
}

} // namespace

oci_call oci_driver::call(std::string step, const std::string& runtime, const std::string& id,
                      std::string log, io::nanoseconds deadline, uint64_t op) const {
  oci_call c;
  c.argv = {runtime, "--root", root_, "--log", log, "--log-format", "json", step};
  c.step = std::move(step);
  c.runtime = runtime;
  c.id = id;
  c.log = std::move(log);
  c.deadline = deadline;
  c.op = op;
  return c;
}

/// What went wrong with a command, in our words; nothing where it went well.
std::optional<error> oci_driver::failure(const oci_call& c, const oci_end& end) {
  if (end.fine())
    return std::nullopt;
  commands_.count_failure();
  auto runtime = std::string(base_name(c.runtime));
  if (end.spawn_error != 0)
    return from_errno(end.spawn_error, "start " + runtime + " to " + c.step + " container",
                      "\"" + display_name(c.id) + "\"");
  if (end.overdue) {
    auto seconds = std::chrono::duration<double>(c.deadline).count();
    char text[32];
    std::snprintf(text, sizeof text, "%g", seconds);
    error out{ec::deadline_exceeded, {}, {}};
    out.message = "container \"" + display_name(c.id) + "\": " + c.step + " by " + runtime
                  + " took longer than " + text + " s and was "
                  + (end.undead ? "not ended even by SIGKILL (pid " + std::to_string(end.pid) + ")"
                                : std::string("killed"));
    out.cure = "look at the host: a hanging file system or an overload is the usual cause";
    return out;
  }
  failed_command what{c.step, c.runtime, c.id, end.status, {}, end.output};
  if (!c.log.empty())
    loop_.sys().read_small(c.log, what.log, log_limit);
  return runtime_error(what);
}

void oci_driver::create(create_command c, made_answer answer) {
  const auto* host = c.images.empty() ? nullptr : cgroups();
  if (host == nullptr || host->mode != cgroup_mode::v2) // runc tells CRIU itself on v1.
    return make(std::move(c), std::move(answer));
  const auto bundle = c.bundle;
  const auto cgroup = c.by_systemd && cgroup_of_ ? cgroup_of_(c.id).path : std::string();
  tell_criu_cgroup(loop_, bundle, cgroup,
                   [weak = weak_from_this(), c = std::move(c),
                    f = std::move(answer)](const result<void>& x) mutable {
                     if (auto self = weak.lock(); self && x)
                       self->make(std::move(c), std::move(f));
                     else if (self)
                       f(x.why());
                   });
}

void oci_driver::make(create_command c, made_answer answer) {
  auto f = std::make_shared<made_answer>(
    [weak = weak_from_this(), id = c.id, answer = std::move(answer)](result<made_process> r) {
      if (const auto self = weak.lock(); self && !r)
        self->parent_left(id); // Nobody deletes what the runtime does not know.
      answer(std::move(r));
    });
  auto pid_file = create_pid_file(c.bundle);
  const bool restore = !c.images.empty();
  auto x = call(restore ? "restore" : c.run ? "run" : "create", c.runtime, c.id,
                c.bundle + "/create.log",
                restore ? policy_.checkpoint_deadline : policy_.create_deadline, c.op);
  x.step = restore ? "restore" : "create";
  if (c.by_systemd) // A word of the runtime itself: it stands before the step.
    x.argv.insert(x.argv.begin() + 1, "--systemd-cgroup");
  if (c.run || restore)
    x.argv.emplace_back("--detach");
  set_streams(x, c.stdio, c.console);
  if (restore) {
    x.argv.emplace_back("--no-subreaper"); // runc would be one, and the restored init its child.
    add_images(x, c.images, c.image);
  }
  for (const auto& word : {std::string("--bundle"), c.bundle, std::string("--pid-file"), pid_file,
                           c.id})
    x.argv.push_back(word);
  std::weak_ptr<oci_driver> weak = weak_from_this();
  x.on_overdue = [weak, id = c.id, pid_file] {
    const auto self = weak.lock();
    if (!self)
      return;
    self->unlink(pid_file); // Else our next life takes who is killed here for one that has run.
    self->empty_cgroup(id);
  };
  run(x, f, [weak, x, f, pid_file, images = c.images, kept = keep_parent(c.id)](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    if (!why)
      return self->take_made(pid_file, 0, end, std::move(*f));
    self->unlink(pid_file);
    self->commands_.settled(end);
    bool torn = end.overdue || end.status.signal != 0;
    auto refuse = [f](error e) { (*f)(std::move(e)); };
    if (!torn && images.empty())
      return refuse(*std::move(why));
    if (!torn)
      return self->explain_images(images + "/restore.log", *std::move(why), refuse);
    self->clean_up(x, [f, kept, why = *why] { (*f)(why); });
  });
}

/// Removes what a create left that did not come to its own end.
void oci_driver::clean_up(const oci_call& c, std::function<void()> f) {
  empty_cgroup(c.id);
  remove(c.runtime, c.id, true, c.op, [f = std::move(f)](result<void>) { f(); });
}

void oci_driver::empty_cgroup(const std::string& id) {
  if (!cgroup_of_)
    return;
  const auto* host = cgroups();
  if (host == nullptr)
    return;
  cgroup group(loop_.sys(), *host, cgroup_of_(id));
  [[maybe_unused]] bool killed = group.kill_all().ok();
}

void oci_driver::start(const std::string& runtime, const std::string& id, const std::string& bundle,
                   uint64_t op, plain_answer answer) {
  auto f = std::make_shared<plain_answer>(std::move(answer));
  auto x = call("start", runtime, id, bundle + "/start.log", policy_.start_deadline, op);
  x.argv.push_back(id);
  run(x, f, [weak = weak_from_this(), x, f](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    why ? (*f)(*std::move(why)) : (*f)({});
  });
}

void oci_driver::exec(exec_command c, made_answer answer) {
  auto f = std::make_shared<made_answer>(std::move(answer));
  auto base = c.dir + "/exec." + c.name;
  auto pid_file = exec_pid_file(c.dir, c.name);
  int rc = loop_.sys().create_small(base + ".json", c.process_json, 0600);
  if (rc < 0) {
    loop_.post([f, why = from_errno(-rc, "write", base + ".json")] { (*f)(why); });
    return;
  }
  auto x = call("exec", c.runtime, c.id, base + ".log", policy_.exec_deadline, c.op);
  set_streams(x, c.stdio, c.console);
  for (const auto& word : {std::string("--detach"), std::string("--process"), base + ".json",
                           std::string("--pid-file"), pid_file})
    x.argv.push_back(word);
  if (!c.cgroup.empty()) {
    x.argv.emplace_back("--cgroup");
    x.argv.push_back(c.cgroup);
  }
  x.argv.push_back(c.id);
  auto answered = std::make_shared<made_answer>(
    [weak = weak_from_this(), f, base](result<made_process> r) {
      if (auto self = weak.lock())
        self->unlink(base + ".json");
      (*f)(std::move(r));
    });
  run(x, answered, [weak = weak_from_this(), x, answered, pid_file](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    if (!why)
      return self->take_made(pid_file, 0, end, std::move(*answered));
    self->unlink(pid_file);
    self->commands_.settled(end);
    (*answered)(*std::move(why));
  });
}

/// Answers with the process of the pid file. The file stays: whoever made it may hear of it in
/// a later turn only, and takes it away when the process is recorded, so that a recovery knows
/// it from one place or the other.
void oci_driver::take_made(const std::string& pid_file, int tries, const oci_end& end,
                       made_answer f) {
  auto made = made_before(loop_.sys(), reaper_, pid_file);
  if (!made && made.why().code == ec::unknown_outcome && tries < table_tries) {
    later(table_retry, [this, pid_file, tries, end, f = std::move(f)] {
      take_made(pid_file, tries + 1, end, f);
    });
    return;
  }
  // The runtime has made it, and nobody says how it ended: there is no keeper.
  if (!made && made.why().code == ec::unknown_outcome)
    made = ended_before(loop_.sys(), pid_file);
  auto keep = shared_from_this(); // the answer may end the engine
  if (!made)
    unlink(pid_file);
  f(std::move(made));
  commands_.settled(end);
}

void oci_driver::later(io::nanoseconds after, std::function<void()> f) {
  auto number = next_timer_++;
  auto& place = timers_[number];
  place = std::make_unique<io::timer>(loop_);
  place->start(after, [this, number, f = std::move(f)] {
    auto keep = shared_from_this();
    timers_.erase(number);
    f();
  });
}

namespace {

/// What the seam shows of the driver.
class oci_engine final : public engine {
public:
  explicit oci_engine(std::shared_ptr<oci_driver> d) : driver_(std::move(d)) {}

  void create(create_command c, std::function<void(result<made_process>)> f) override {
    driver_->create(std::move(c), std::move(f));
  }
  void start(std::string runtime, std::string id, std::string bundle, uint64_t op,
             std::function<void(result<void>)> f) override {
    driver_->start(runtime, id, bundle, op, std::move(f));
  }
  void exec(exec_command c, std::function<void(result<made_process>)> f) override {
    driver_->exec(std::move(c), std::move(f));
  }
  void remove(std::string runtime, std::string id, bool force, uint64_t op,
              std::function<void(result<void>)> f) override {
    driver_->remove(runtime, id, force, op, std::move(f));
  }
  void update(std::string runtime, std::string id, std::string resources_json, uint64_t op,
              std::function<void(result<void>)> f) override {
    driver_->update(runtime, id, resources_json, op, std::move(f));
  }
  void checkpoint(checkpoint_command c, std::function<void(result<void>)> f) override {
    driver_->checkpoint(std::move(c), std::move(f));
  }
  void version(std::string runtime, std::function<void(result<std::string>)> f) override {
    driver_->version(runtime, std::move(f));
  }
  [[nodiscard]] engine_stats stats() const override { return driver_->stats(); }

private:
  std::shared_ptr<oci_driver> driver_;
};

} // namespace

std::unique_ptr<engine>
make_oci_engine(io::loop& l, io::reaper& r, std::string runtime_root, engine_policy policy,
                std::function<cgroup_place(const std::string& id)> cgroup_of) {
  return std::make_unique<oci_engine>(std::make_shared<oci_driver>(l, r, std::move(runtime_root),
                                                               policy, std::move(cgroup_of)));
}

std::string create_pid_file(const std::string& bundle) {
  return bundle + "/init.pid";
}

std::string exec_pid_file(const std::string& dir, const std::string& name) {
  return dir + "/exec." + name + ".pid";
}

} // namespace gantry::runtime
