#include "actors/services.hpp"

#include <csignal>
#include <cstdio>
#include <sys/stat.h>

#include "runtime/bundle.hpp"
#include "runtime/cgroup_driver.hpp"

namespace gantry::actors {

namespace {
constexpr auto claim_time = std::chrono::seconds(10);
/// Much longer than the kernel takes from counting a kill to its signal.
constexpr auto victim_time = std::chrono::milliseconds(50);
}

void log_hub::remove(uint64_t serial, std::function<void()>* f) {
  if (auto at = readers_.find(serial); at != readers_.end()) {
    at->second.erase(f);
    if (at->second.empty())
      readers_.erase(at);
  }
}

void log_hub::notify(uint64_t serial) {
  auto at = readers_.find(serial);
  if (at == readers_.end())
    return;
  const auto readers = at->second; // A reader may leave while it is told.
  for (auto* f : readers)
    if (watched(serial) && readers_[serial].contains(f))
      (*f)();
}

std::map<uint64_t, io::shelf_entry>* services::place_of(uint64_t kind) {
  switch (kind) {
    case io::shelf_kind::stdio: return &shelved;
    case shelf_stdin: return &shelved_stdin;
    case shelf_console: return &shelved_consoles;
    case shelf_fifos: return &shelved_fifos;
    case shelf_notify: return &shelved_notify;
    default: return nullptr;
  }
}

std::string services::cgroup_path(const runtime::container_name& name) const {
  return cgroup_place(name).path;
}

runtime::cgroup_place services::cgroup_place(const runtime::container_name& name) const {
  const auto* c = ledger.now().find(name);
  const bool own = c != nullptr && !c->cgroup_parent.empty();
  const bool systemd = c != nullptr ? c->by_systemd : options.systemd_cgroups;
  std::string home = options.cgroup_parent;
  if (c != nullptr && !c->cgroup_home.empty())
    home = c->cgroup_home;
  else if (systemd != options.systemd_cgroups) // Of before there was a choice.
    home = supervisor_options{}.cgroup_parent;
  std::string parent = own ? c->cgroup_parent : home;
  if (systemd)
    return runtime::scope_place(home, parent, name, c != nullptr ? c->runtime : options.runtime);
  if (parent.front() != '/')
    parent.insert(0, 1, '/');
  return {parent + "/" + name.ns + "/" + name.id, own ? parent : std::string()};
}

runtime::cgroup services::cgroup_of(const runtime::container_name& name) const {
  return {loop.sys(), cgroups, cgroup_place(name)};
}

runtime::exec_cgroup services::exec_group(const runtime::container_name& name,
                                          uint64_t serial) const {
  return {loop.sys(), cgroups, cgroup_path(name), serial};
}

std::string services::bundle_dir(uint64_t instance) const {
  return options.state_dir + "/bundles/" + hex16(instance);
}

std::string services::log_dir(uint64_t serial) const {
  return options.root_dir + "/logs/" + hex16(serial);
}

std::string services::checkpoint_dir(uint64_t instance) const {
  return options.root_dir + "/checkpoints/" + hex16(instance);
}

result<void> services::room_for_process(const runtime::container_name& name) const {
  const auto what = "container \"" + name.id + "\": no room for another process: ";
  if (auto room = ledger.file().room(); !room)
    return error{room.why().code, what + room.why().message, room.why().cure};
  // The lowest free number tells how many are in use, without reading a directory.
  const io::fd probe{loop.sys(), loop.sys().eventfd()};
  const auto used = probe ? uint32_t(probe.get()) : options.fd_limit;
  if (uint64_t{used} * 10 >= uint64_t{options.fd_limit} * 9)
    return error{ec::resource_exhausted,
                 what + std::to_string(used) + " of " + std::to_string(options.fd_limit)
                   + " file descriptors are in use",
                 "raise LimitNOFILE of gantryd (ulimit -n)"};
  return {};
}

void services::settle_request(const std::string& request_id, std::string_view method,
                              const result<std::string>& outcome) {
  // "Not now" is no last word: the same request may be tried again.
  const bool passing = !outcome
                       && (outcome.why().code == ec::unavailable
                           || outcome.why().code == ec::resource_exhausted
                           || outcome.why().code == ec::disk_full);
  if (!passing && ledger.now().answer(request_id) == nullptr) {
    journal::Record r;
    r.set_request_id(request_id);
    auto* a = r.mutable_answered();
    a->set_method(std::string{method});
    if (outcome) {
      a->set_reply(*outcome);
    } else {
      a->set_code(std::string{name_of(outcome.why().code)});
      a->set_message(outcome.why().message);
      a->set_cure(outcome.why().cure);
    }
    ledger.record(r);
  }
  if (on_request)
    on_request(request_id, outcome);
}

void remove_images(services& host, std::string dir, std::vector<std::string> names, bool whole,
                   std::function<void()> f) {
  if (names.empty() && whole) // Of itself it is empty by now.
    return runtime::remove_bundle(host.loop, std::move(dir), std::move(f));
  if (names.empty())
    return host.loop.post(std::move(f));
  const auto one = dir + "/" + names.back();
  names.pop_back();
  runtime::remove_bundle(
    host.loop, one,
    [&host, life = std::weak_ptr<int>(host.life), dir = std::move(dir), names = std::move(names),
     whole, f = std::move(f)] {
      if (!life.expired())
        remove_images(host, dir, names, whole, f);
    });
}

std::string hex16(uint64_t x) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(x));
  return text;
}

// Since Linux 6.2 the size of that directory tells. Before that it is listed, which takes about a
// microsecond each.
uint32_t open_fds(io::kernel& k) {
  struct stat found {};
  if (::stat("/proc/self/fd", &found) == 0 && found.st_size > 0)
    return uint32_t(found.st_size);
  std::vector<std::string> names;
  return k.list("/proc/self/fd", names) < 0 ? 0 : uint32_t(names.size());
}

oom_account::oom_account(services& host, runtime::container_name name, uint64_t instance,
                         past known)
  : host_(host), name_(std::move(name)), instance_(instance), level_(std::move(known.level)),
    victim_(std::move(known.victim)), late_(host.loop) {
  seen_.kills = known.kills;
  seen_.limit_hits = known.limit_hits;
  if (host_.cgroups.mode == runtime::cgroup_mode::v2)
    seen_.ancestor_kills = host_.cgroup_of(name_).oom(std::nullopt).ancestor_kills;
  if (known.kills <= known.claimed)
    return;
  grown_ = host_.loop.now();
  unclaimed_ = known.kills - known.claimed; // We died between the kill and its exit.
}

/// Who was killed since the counters were seen; empty: that is not clear yet.
///
/// The kernel counts a kill, then sends the signal, then writes its log, all within microseconds.
/// So init was not killed where it shows no sign of an end a while later, or has ended otherwise.
/// Where it has ended by SIGKILL only the log tells: anybody may have sent that.
std::string oom_account::judge(bool at_once) const {
  using answer = runtime::kill_log::answer;
  const auto* c = host_.ledger.now().find(name_);
  const auto* p = c != nullptr && c->instance == instance_ ? c->init() : nullptr;
  if (p == nullptr || p->pid == 0)
    return at_once ? "unknown" : "";
  auto& sys = host_.loop.sys();
  const bool ended = p->phase >= runtime::process_view::phase_t::died;
  int64_t at_ns = sys.realtime().count();
  if (journal::Died d; ended && !p->died.empty() && d.ParseFromString(p->died)) {
    at_ns = d.at_ns();
    if (d.known() && d.signal() != SIGKILL)
      return "other";
  }
  const auto told = host_.killed.ask(p->pid, at_ns);
  if (told == answer::killed)
    return "init";
  if (!ended && !at_once)
    return {};
  const bool lives = !ended && !runtime::is_ending(sys, p->pid, p->start_ticks);
  return lives || told == answer::not_killed ? "other" : "unknown";
}

/// systemd has taken a scope and its counters away while gantryd was away itself. Whether init was
/// killed the kernel's log still tells, and nobody whose limit it was.
bool oom_account::may_be_lost() const {
  const auto* c = host_.ledger.now().find(name_);
  const auto* p = c != nullptr && c->instance == instance_ ? c->init() : nullptr;
  if (lost_ || unclaimed_ != 0 || p == nullptr || !c->by_systemd)
    return false;
  journal::Died d;
  if (p->died.empty() || !d.ParseFromString(p->died) || d.signal() != SIGKILL)
    return false;
  return host_.loop.sys().exists(host_.cgroups.unified + host_.cgroup_path(name_)) == 0;
}

bool oom_account::is_lost() const {
  const auto* c = host_.ledger.now().find(name_);
  const auto* p = c != nullptr ? c->init() : nullptr;
  journal::Died d;
  return p != nullptr && d.ParseFromString(p->died)
         && host_.killed.ask(p->pid, d.at_ns()) == runtime::kill_log::answer::killed;
}

/// Three system calls while nobody was killed: open, read and close of memory.events (v1:
/// memory.oom_control). Each end of an init costs them, that of an exec by SIGKILL as well, and a
/// look by the watch; in a scope of systemd's an end by SIGKILL twice. Behind a kill there are
/// three more for memory.max and for each cgroup above.
runtime::oom_counters oom_account::counters() const {
  const auto now = host_.cgroup_of(name_).oom(seen_.kills);
  return now.kills < pending_.kills ? pending_ : now; // Its cgroup has gone.
}

bool oom_account::read_log(std::function<void()> f) {
  return host_.killed.read([life = std::weak_ptr<int>(life_), f = std::move(f)] {
    if (!life.expired())
      f();
  });
}

void oom_account::look(uint32_t run) {
  if (!reading_)
    check(run, false);
}

bool oom_account::settle(uint32_t run, bool by_kill, std::function<void()> again) {
  auto now = counters();
  const bool grown = now.kills > seen_.kills;
  const bool lost = by_kill && !grown && may_be_lost();
  const bool asks = grown || lost || (by_kill && unclaimed_ > 0);
  if (asks && again && !read_log(std::move(again))) {
    pending_ = now;
    return false;
  }
  if (lost && is_lost()) {
    lost_ = true;
    now = seen_;
    ++now.kills;
  }
  if (now.kills > seen_.kills) {
    late_.cancel();
    victim_ = judge(true);
    tell(run, now);
  }
  return true;
}

void oom_account::check(uint32_t run, bool at_once, bool log_is_read) {
  const auto now = counters();
  if (now.kills <= seen_.kills)
    return;
  pending_ = now;
  reading_ = !log_is_read && !read_log([this, run, at_once] {
    reading_ = false;
    check(run, at_once, true);
  });
  if (reading_)
    return;
  auto victim = judge(at_once);
  if (victim.empty()) {
    if (!late_.armed())
      late_.start(victim_time, [this, run] { check(run, true); });
    return;
  }
  late_.cancel();
  victim_ = std::move(victim);
  tell(run, now);
}

void oom_account::tell(uint32_t run, const runtime::oom_counters& now) {
  level_ = lost_ ? "inferred" : runtime::oom_level(host_.cgroups.mode, seen_, now);
  unclaimed_ += now.kills - seen_.kills;
  grown_ = host_.loop.now();
  journal::Record r;
  r.set_namespace_(name_.ns);
  r.set_container(name_.id);
  r.set_instance(instance_);
  r.set_run(run);
  auto* x = r.mutable_oom();
  x->set_level(level_);
  x->set_kills(now.kills);
  x->set_limit_hits(now.limit_hits);
  x->set_victim(victim_);
  if (level_ == "container")
    x->set_cgroup(host_.cgroup_path(name_));
  else if (now.ancestor_kills > seen_.ancestor_kills) // Since we have been looking.
    x->set_cgroup(now.ancestor);
  if (const auto stats = host_.cgroup_of(name_).stats(false)) {
    x->set_limit_bytes(stats->memory_limit_bytes());
    x->set_peak_bytes(stats->memory_peak_bytes());
  }
  const auto seq = host_.ledger.record(r);
  // Only here: v2 tells of the limit that was hit before it tells of the kill, and a look in
  // between must not take the hit away from its kill.
  seen_ = now;
  if (grew_)
    grew_(seq);
}

std::string oom_account::claim(const std::string& process, int32_t pid, int64_t died_ns,
                               bool by_policy) {
  using answer = runtime::kill_log::answer;
  // A victim that is no process of ours has no exit to claim it: its kill must not be told of
  // whoever is killed later.
  if (host_.loop.now() - grown_ > claim_time)
    unclaimed_ = 0;
  const bool spared = spared_.erase(process) > 0 || spared_.contains({});
  if (unclaimed_ == 0)
    return {};
  const auto told = by_policy ? answer::killed : host_.killed.ask(pid, died_ns);
  if (told == answer::not_killed || (told == answer::unknown && spared))
    return {};
  --unclaimed_;
  return level_;
}

} // namespace gantry::actors
