#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <map>
#include <optional>

#include "runtime/cgroup.hpp"
#include "runtime/engine.hpp"
#include "runtime/oci_command.hpp"
#include "runtime/runtime_errors.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t log_limit = 64u << 10;
constexpr auto first_retry = std::chrono::milliseconds(10);
constexpr auto last_retry = std::chrono::milliseconds(640);
/// A process that died at once is gone from /proc a moment before the keeper's table has it.
constexpr auto table_retry = std::chrono::milliseconds(1);
constexpr int table_tries = 200;

/// Everything of the engine that callbacks may outlive: they hold it weakly.
class driver : public std::enable_shared_from_this<driver> {
public:
  driver(io::loop& l, io::reaper& r, std::string root, engine_policy policy,
         std::function<std::string(const std::string&)> cgroup_of)
    : loop_(l), reaper_(r), root_(std::move(root)), notes_(root_ + ".tmp"), policy_(policy),
      cgroup_of_(std::move(cgroup_of)), commands_(l, r, root_, policy) {}

  void create(create_command c, std::function<void(result<made_process>)> f);
  void start(const std::string& runtime, const std::string& id, const std::string& bundle,
             uint64_t op, std::function<void(result<void>)> f);
  void exec(exec_command c, std::function<void(result<made_process>)> f);
  void remove(const std::string& runtime, const std::string& id, bool force, uint64_t op,
              std::function<void(result<void>)> f);
  void update(const std::string& runtime, const std::string& id, const std::string& resources,
              uint64_t op, std::function<void(result<void>)> f);
  void version(const std::string& runtime, std::function<void(result<std::string>)> f);
  [[nodiscard]] engine_stats stats() const { return commands_.stats(); }

private:
  using made_answer = std::function<void(result<made_process>)>;
  using plain_answer = std::function<void(result<void>)>;

  /// One `remove` with its tries.
  struct removal {
    std::string runtime, id;
    bool force = false;
    uint64_t op = 0;
    io::nanoseconds until{};
    io::nanoseconds pause = first_retry;
    plain_answer f;
  };

  oci_call call(std::string step, const std::string& runtime, const std::string& id,
                std::string log, io::nanoseconds deadline, uint64_t op) const;
  template <class Answer>
  void run(oci_call c, std::shared_ptr<Answer> f, std::function<void(oci_end)> done);
  std::optional<error> failure(const oci_call& c, const oci_end& end);
  void take_made(const std::string& pid_file, int tries, const oci_end& end, made_answer f);
  void clean_up(const oci_call& c, std::function<void()> f);
  void empty_cgroup(const std::string& id);
  void try_remove(std::shared_ptr<removal> r);
  void make_notes();
  void later(io::nanoseconds after, std::function<void()> f);
  void unlink(const std::string& path) {
    if (!path.empty())
      loop_.sys().unlink(path);
  }

  io::loop& loop_;
  io::reaper& reaper_;
  std::string root_;
  std::string notes_; ///< Where files of commands without a bundle go, beside the root.
  bool has_notes_ = false;
  engine_policy policy_;
  std::function<std::string(const std::string&)> cgroup_of_;
  std::optional<cgroup_host> cgroups_; ///< Looked at when it is first needed.
  std::map<std::string, std::string> versions_;
  std::map<uint64_t, std::unique_ptr<io::timer>> timers_;
  uint64_t next_timer_ = 0;
  oci_commands commands_;
};

oci_call driver::call(std::string step, const std::string& runtime, const std::string& id,
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

/// Runs the call; `done` gets its end, unless the queue is full: then `f` gets that.
template <class Answer>
void driver::run(oci_call c, std::shared_ptr<Answer> f, std::function<void(oci_end)> done) {
  auto who = "container \"" + display_name(c.id) + "\": " + c.step;
  if (commands_.run(std::move(c), std::move(done)))
    return;
  error full{ec::resource_exhausted,
             who + ": " + std::to_string(policy_.max_queued) + " runtime commands wait already",
             "try again later"};
  loop_.post([f = std::move(f), full] { (*f)(full); });
}

/// What went wrong with a command, in our words; nothing where it went well.
std::optional<error> driver::failure(const oci_call& c, const oci_end& end) {
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

void driver::create(create_command c, made_answer answer) {
  auto f = std::make_shared<made_answer>(std::move(answer));
  auto pid_file = create_pid_file(c.bundle);
  auto x = call(c.run ? "run" : "create", c.runtime, c.id, c.bundle + "/create.log",
                policy_.create_deadline, c.op);
  x.step = "create";
  if (c.run)
    x.argv.emplace_back("--detach");
  for (const auto& word : {std::string("--bundle"), c.bundle, std::string("--pid-file"), pid_file,
                           c.id})
    x.argv.push_back(word);
  x.stdio = c.stdio;
  std::weak_ptr<driver> weak = weak_from_this();
  x.on_overdue = [weak, id = c.id] {
    if (auto self = weak.lock())
      self->empty_cgroup(id);
  };
  auto pin = std::make_shared<cgroup_pin>(cgroup_of_ ? cgroup_of_(c.id) : std::string());
  run(x, f, [weak, x, f, pin, pid_file](oci_end end) {
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
    if (!torn)
      return (*f)(*std::move(why));
    self->clean_up(x, [f, pin, why = *why] { (*f)(why); });
  });
}

/// Removes what a create left that did not come to its own end.
void driver::clean_up(const oci_call& c, std::function<void()> f) {
  empty_cgroup(c.id);
  remove(c.runtime, c.id, true, c.op, [f = std::move(f)](result<void>) { f(); });
}

void driver::empty_cgroup(const std::string& id) {
  if (!cgroup_of_)
    return;
  if (!cgroups_) {
    auto found = detect_cgroups(loop_.sys());
    if (!found)
      return; // no cgroups, nothing to empty
    cgroups_ = *std::move(found);
  }
  cgroup group(loop_.sys(), *cgroups_, cgroup_of_(id));
  [[maybe_unused]] bool killed = group.kill_all().ok();
}

void driver::start(const std::string& runtime, const std::string& id, const std::string& bundle,
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

void driver::exec(exec_command c, made_answer answer) {
  auto f = std::make_shared<made_answer>(std::move(answer));
  auto base = c.dir + "/exec." + c.name;
  auto pid_file = exec_pid_file(c.dir, c.name);
  int rc = loop_.sys().create_small(base + ".json", c.process_json, 0600);
  if (rc < 0) {
    loop_.post([f, why = from_errno(-rc, "write", base + ".json")] { (*f)(why); });
    return;
  }
  auto x = call("exec", c.runtime, c.id, base + ".log", policy_.exec_deadline, c.op);
  for (const auto& word : {std::string("--detach"), std::string("--process"), base + ".json",
                           std::string("--pid-file"), pid_file, c.id})
    x.argv.push_back(word);
  x.stdio = c.stdio;
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

/// Answers with the process of the pid file, then takes the file away: whoever answers has
/// recorded the process by then, so that a recovery knows it from one place or the other.
void driver::take_made(const std::string& pid_file, int tries, const oci_end& end,
                       made_answer f) {
  auto made = made_before(loop_.sys(), reaper_, pid_file);
  if (!made && made.why().code == ec::unknown_outcome && tries < table_tries) {
    later(table_retry, [this, pid_file, tries, end, f = std::move(f)] {
      take_made(pid_file, tries + 1, end, f);
    });
    return;
  }
  auto keep = shared_from_this(); // the answer may end the engine
  f(std::move(made));
  unlink(pid_file);
  commands_.settled(end);
}

void driver::make_notes() {
  if (has_notes_)
    return;
  loop_.sys().mkdir(notes_, 0700);
  has_notes_ = true;
}

void driver::remove(const std::string& runtime, const std::string& id, bool force, uint64_t op,
                    plain_answer answer) {
  make_notes();
  auto r = std::make_shared<removal>();
  r->runtime = runtime;
  r->id = id;
  r->force = force;
  r->op = op;
  r->until = loop_.sys().monotonic() + policy_.delete_deadline;
  r->f = std::move(answer);
  try_remove(std::move(r));
}

void driver::try_remove(std::shared_ptr<removal> r) {
  auto x = call("delete", r->runtime, r->id, notes_ + "/" + r->id + ".delete.log",
                policy_.delete_deadline, r->op);
  if (r->force)
    x.argv.emplace_back("--force");
  x.argv.push_back(r->id);
  auto f = std::shared_ptr<plain_answer>(r, &r->f);
  run(x, f, [weak = weak_from_this(), x, r](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    if (!why || why->code == ec::not_found)
      return r->f({});
    bool again = !end.overdue && is_not_stopped_yet(*why)
                 && self->loop_.sys().monotonic() + r->pause < r->until;
    if (!again)
      return r->f(*std::move(why));
    auto pause = std::exchange(r->pause, std::min<io::nanoseconds>(2 * r->pause, last_retry));
    self->later(pause, [driver = self.get(), r] { driver->try_remove(r); });
  });
}

void driver::update(const std::string& runtime, const std::string& id,
                    const std::string& resources, uint64_t op, plain_answer answer) {
  make_notes();
  auto f = std::make_shared<plain_answer>(std::move(answer));
  // A file, not "-": crun opens /dev/stdin for that, which must exist.
  auto file = notes_ + "/" + id + "." + std::to_string(op) + ".update.json";
  int rc = loop_.sys().create_small(file, resources, 0600);
  if (rc < 0) {
    loop_.post([f, why = from_errno(-rc, "write", file)] { (*f)(why); });
    return;
  }
  auto x = call("update", runtime, id, file + ".log", policy_.update_deadline, op);
  for (const auto& word : {std::string("--resources"), file, id})
    x.argv.push_back(word);
  auto answered = std::make_shared<plain_answer>(
    [weak = weak_from_this(), f, file](result<void> r) {
      if (auto self = weak.lock())
        self->unlink(file);
      (*f)(std::move(r));
    });
  run(x, answered, [weak = weak_from_this(), x, answered](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    why ? (*answered)(*std::move(why)) : (*answered)({});
  });
}

void driver::version(const std::string& runtime, std::function<void(result<std::string>)> f) {
  using answer_t = std::function<void(result<std::string>)>;
  auto answer = std::make_shared<answer_t>(std::move(f));
  if (auto known = versions_.find(runtime); known != versions_.end()) {
    loop_.post([answer, text = known->second] { (*answer)(text); });
    return;
  }
  oci_call x;
  x.step = "version";
  x.runtime = runtime;
  x.argv = {runtime, "--version"};
  x.keep_output = true;
  x.deadline = policy_.start_deadline;
  run(x, answer, [weak = weak_from_this(), x, answer](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    self->commands_.settled(end);
    auto line = end.output.substr(0, end.output.find('\n'));
    if (end.fine() && !line.empty()) {
      self->versions_[x.runtime] = line;
      return (*answer)(std::move(line));
    }
    self->commands_.count_failure();
    (*answer)(error{ec::runtime_missing,
                    "the runtime " + x.runtime + " does not tell its version",
                    "install it (apt-get install runc), or name another with --runtime"});
  });
}

void driver::later(io::nanoseconds after, std::function<void()> f) {
  auto number = next_timer_++;
  auto& place = timers_[number];
  place = std::make_unique<io::timer>(loop_);
  place->start(after, [this, number, f = std::move(f)] {
    auto keep = shared_from_this();
    timers_.erase(number);
    f();
  });
}

/// What the seam shows of the driver.
class oci_engine final : public engine {
public:
  explicit oci_engine(std::shared_ptr<driver> d) : driver_(std::move(d)) {}

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
  void version(std::string runtime, std::function<void(result<std::string>)> f) override {
    driver_->version(runtime, std::move(f));
  }
  [[nodiscard]] engine_stats stats() const override { return driver_->stats(); }

private:
  std::shared_ptr<driver> driver_;
};

} // namespace

std::unique_ptr<engine> make_oci_engine(io::loop& l, io::reaper& r, std::string runtime_root,
                                        engine_policy policy,
                                        std::function<std::string(const std::string& id)> cgroup_of) {
  return std::make_unique<oci_engine>(std::make_shared<driver>(l, r, std::move(runtime_root),
                                                               policy, std::move(cgroup_of)));
}

std::string create_pid_file(const std::string& bundle) {
  return bundle + "/init.pid";
}

std::string exec_pid_file(const std::string& dir, const std::string& name) {
  return dir + "/exec." + name + ".pid";
}

} // namespace gantry::runtime
