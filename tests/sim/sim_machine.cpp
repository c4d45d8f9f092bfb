#include "tests/sim/sim_machine.hpp"

#include <csignal>
#include <utility>

#include "messages/check.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

machine::machine(machine_options o)
  : options(o), rng(o.seed), groups(*this, o.hybrid), shelf_keeper(*this, o.shape) {
  for (auto dir : {"/run", "/var/lib", "/tmp", "/usr/bin", "/usr/sbin", "/bin", "/etc", "/dev"})
    files.mkdirs(dir);
  files.put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  keeper_process_ = fork(nullptr);
  keeper_process_->argv = {"gantry-keeper"};
}

machine::~machine() {
  // Processes know descriptors, which know processes: cut the ties.
  for (auto& p : history_)
    p->fds.clear();
  for (auto& [pid, p] : table_)
    p->fds.clear();
}

void machine::install(const std::string& path, program_maker f) {
  files.put(path, "\x7f" "ELF", 0755);
  executables_[path] = std::move(f);
}

void machine::install_in_containers(const std::string& name, program_maker f) {
  container_programs_[name] = std::move(f);
}

const program_maker* machine::container_program(const std::string& name) const {
  auto it = container_programs_.find(name);
  return it == container_programs_.end() ? nullptr : &it->second;
}

process_ptr machine::find(pid_t pid) const {
  auto it = table_.find(pid);
  return it == table_.end() ? nullptr : it->second;
}

pid_t machine::free_pid(uint64_t ticks) {
  for (;;) {
    if (++next_pid_ >= options.pid_max)
      next_pid_ = 100;
    // A pid is never given twice within a clock tick: real hosts do not get round that fast.
    auto last = last_ticks_.find(next_pid_);
    if (!table_.contains(next_pid_) && (last == last_ticks_.end() || last->second != ticks))
      return next_pid_;
  }
}

process_ptr machine::fork(const process_ptr& parent) {
  const auto ticks = uint64_t(time.now() / 10ms);
  auto p = std::make_shared<process>(*this, free_pid(ticks), ticks);
  last_ticks_[p->pid] = ticks;
  table_[p->pid] = p;
  history_.push_back(p);
  p->parent = parent;
  if (parent) {
    p->argv = parent->argv;
    p->env = parent->env;
    if (parent->ns)
      enter(*p, parent->ns);
  }
  groups.join(*p, parent ? parent->cgroup : "/");
  return p;
}

bool machine::enter(process& p, const std::shared_ptr<pid_namespace>& ns) {
  const auto init = ns->init.lock();
  if (!init || !init->alive())
    return false;
  p.ns = ns;
  ++ns->members;
  return true;
}

void machine::exec(process& p, const std::string& path) {
  if (auto it = executables_.find(path); it != executables_.end()) {
    p.body = it->second(p);
    return p.body->start(p);
  }
  p.exit(files.exists(path) ? 126 : 127);
}

void machine::signal(process& p, int sig) {
  time.in(rng.between(2us, 40us), [who = p.shared_from_this(), sig] { who->take_signal(sig); });
}

void machine::end(process& p, int wait_status) {
  GANTRY_CHECK(p.alive());
  auto keep = p.shared_from_this();
  p.at = process::phase::dying;
  p.wait_status = wait_status;
  p.cut();
  groups.left(p);
  std::vector<process_ptr> orphans, inmates;
  for (auto& [pid, other] : table_) {
    if (other->parent.lock() == keep)
      orphans.push_back(other);
    if (p.ns_init && other != keep && other->ns == p.ns && other->alive())
      inmates.push_back(other);
  }
  for (auto& o : orphans) {
    o->parent = keeper_process_;
    if (o->at == process::phase::zombie)
      shelf_keeper.child_died(o);
  }
  for (auto& i : inmates)
    i->die_of(SIGKILL);
  if (!p.ns_init || p.ns->members == 0)
    become_zombie(p);
}

void machine::become_zombie(process& p) {
  p.at = process::phase::zombie;
  p.tell();
  if (auto parent = p.parent.lock(); parent == keeper_process_)
    shelf_keeper.child_died(p.shared_from_this());
}

void machine::reap(process& p) {
  GANTRY_CHECK(p.at == process::phase::zombie);
  auto keep = p.shared_from_this();
  p.at = process::phase::reaped;
  p.body.reset();
  groups.reaped(p);
  table_.erase(p.pid);
  p.tell();
  if (!p.ns || p.ns_init)
    return;
  if (--p.ns->members == 0)
    if (auto init = p.ns->init.lock(); init && init->at == process::phase::dying)
      become_zombie(*init);
}

void machine::release_stuck() {
  for (auto& [pid, p] : std::map(table_))
    if (p->alive() && p->body) {
      p->body->unstick();
      p->go_on();
    }
}

void machine::forget_the_dead() {
  std::erase_if(history_, [](const auto& p) { return p->at == process::phase::reaped; });
}

bool machine::exists(const std::string& path) const {
  if (cgroup_tree::owns(path))
    return groups.exists(path);
  if (in_proc(path)) {
    std::string text;
    std::vector<std::string> names;
    return read_proc(path, text) == 0 || list(path, names) == 0;
  }
  return files.exists(path);
}

int machine::read_file(const std::string& path, std::string& out) const {
  if (cgroup_tree::owns(path))
    return groups.read(path, out);
  if (in_proc(path))
    return read_proc(path, out);
  int why = 0;
  auto n = files.find(path, why);
  if (!n)
    return why;
  if (n->dir)
    return -EISDIR;
  out = n->bytes;
  return 0;
}

} // namespace gantry::sim
