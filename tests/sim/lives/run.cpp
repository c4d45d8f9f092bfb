#include "tests/sim/lives/run.hpp"

#include <cstdlib>

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

machine_options options_of(uint64_t seed, run_kind kind, broken canary, dice& d) {
  machine_options o;
  o.canary = canary;
  o.seed = seed;
  o.hybrid = d.chance(0.5);
  o.pidfd_status = d.chance(0.3);
  o.pidfd_hangs_up = d.chance(0.7);
  if (kind == run_kind::kind || kind == run_kind::kills)
    return o;
  auto& f = o.faults;
  f.short_write = f.short_read = f.interrupted = f.again = d.chance(0.5) ? 0.02 : 0;
  f.slow_disk = d.chance(0.3) ? 0.01 : 0;
  f.no_space = d.chance(0.2) ? 0.005 : 0;
  // Not beside kills: a log that cannot be adopted for want of a descriptor is lost (and said).
  f.emfile = kind == run_kind::faults && d.chance(0.2) ? 0.003 : 0;
  f.in_exec = d.chance(0.3) ? 0.3 : 0;
  f.spawn_again = d.chance(0.2) ? 0.02 : 0;
  f.runtime_fails = d.chance(0.4) ? 0.1 : 0;
  f.runtime_dies = d.chance(0.4) ? 0.1 : 0;
  f.delete_fails = d.chance(0.2) ? 0.1 : 0;
  f.runtime_hangs = d.chance(0.15) ? 0.05 : 0;
  return o;
}

machine_options plain_options(bool hybrid) {
  machine_options o;
  o.hybrid = hybrid;
  return o;
}

/// One world on its way.
class run {
public:
  run(uint64_t seed, run_kind kind, broken canary)
    : dice_(seed ^ 0x5eed), world_(options_of(seed, kind, canary, dice_)),
      kills_left_(kind == run_kind::kills || kind == run_kind::both ? int(dice_.between(1, 6))
                                                                    : 0) {
    wall_steps_ = dice_.chance(0.3) ? 0.01 : 0;
    // What lies between two lives: nothing, as after the keeper's first start, or its back-off.
    rest_ = dice_.chance(0.5) ? dice_.between(0ns, dice_.chance(0.5) ? 20ms : 2s) : 0ns;
    const uint64_t containers = dice_.between(2, 9);
    for (uint64_t i = 0; i < containers; ++i) {
      std::string id = "box-";
      id += std::to_string(i);
      stories_.push_back(std::make_unique<story>(world_, id, true, dice_.next()));
      if (dice_.chance(0.6))
        stories_.push_back(std::make_unique<story>(world_, id, false, dice_.next()));
    }
  }

  /// A single story, killed once.
  run(uint64_t kill_at, bool hybrid)
    : dice_(1), world_(plain_options(hybrid)), kills_left_(1), first_kill_(kill_at) {
    stories_.push_back(std::make_unique<story>(world_, "box", true, 4));
  }
  [[nodiscard]] bool killed() const noexcept { return first_kill_killed_; }

  findings go(run_totals& sum) {
    tell_stories();
    if (out_.empty())
      come_to_rest();
    for (auto& s : stories_) {
      out_.insert(out_.end(), s->problems.begin(), s->problems.end());
      sum.requests += s->requests;
      sum.containers += s->created;
    }
    sum.kills += world_.kills;
    sum.events += events_;
    return out_;
  }

private:
  [[nodiscard]] bool finished() const {
    for (const auto& s : stories_)
      if (!s->finished())
        return false;
    return true;
  }

  uint64_t next_kill() {
    if (kills_left_ <= 0)
      return 0;
    --kills_left_;
    if (first_kill_ != 0)
      return first_kill_;
    // Half of the kills fall into the first steps of a life: the recovery.
    return dice_.chance(0.5) ? dice_.between(1, 250) : dice_.between(1, 4000);
  }

  bool begin() {
    const uint64_t kill_at = next_kill();
    world_.host.time.advance(rest_);
    const bool up = world_.begin_life(kill_at);
    if (!up && !world_.why.empty() && kill_at == 0 && ++failed_starts_ > 20)
      out_.push_back("the supervisor does not come up: " + world_.why);
    for (auto& s : stories_)
      s->new_life();
    return up;
  }

  void tell_stories() {
    const auto limit = world_.host.time.now() + 30min;
    while (!finished() && out_.empty()) {
      if (!begin())
        continue;
      while (world_.lives() && !finished()) {
        if (dice_.chance(wall_steps_)) // Somebody sets the clock; nobody may care.
          world_.host.time.step_wall(dice_.between(0s, 7200s) - 3600s);
        for (auto& s : stories_)
          s->look();
        world_.here().loop.turn(true);
        if (world_.host.time.now() < limit)
          continue;
        for (auto& s : stories_)
          if (!s->finished())
            out_.push_back("a story does not end: " + s->where());
        return;
      }
      if (!finished())
        world_.end_life();
    }
  }

  void come_to_rest() {
    world_.host.options.faults = {};
    world_.pass(90s); // Deadlines of runtime commands included.
    if (world_.lives())
      check_list(world_, out_);
    world_.end_life();
    kills_left_ = 0;
    if (!begin())
      return;
    world_.pass(90s);
    check_list(world_, out_);
    check_logs(world_, out_);
    // The exits of what is gone are forgotten by age, which a stepped clock changes.
    const bool steady = wall_steps_ == 0;
    const auto before = world_.state(steady);
    const auto text = std::getenv("GANTRY_SIM_TRACE") ? world_.state_text() : std::string();
    first_kill_killed_ = world_.kills > 0;
    if (dice_.chance(0.5))
      world_.kill();
    world_.end_life();
    if (!begin())
      return;
    world_.pass(5s);
    if (world_.state(steady) != before)
      out_.push_back("a restart changed the world (GANTRY_SIM_TRACE=1 shows it):\n" + text +
                     "\ninto\n" + world_.state_text());
    remove_the_rest();
    world_.pass(90s);
    const auto events = world_.events();
    events_ = events.size();
    check_events(world_, events, true, out_);
    check_nothing_left(world_, out_);
  }

  void remove_the_rest() {
    const auto listed = world_.list();
    for (const auto& c : listed.containers()) {
      v1::RemoveRequest r;
      *r.mutable_ref() = world::ref(c.id());
      r.set_force(true);
      if (const auto gone = world_.must<v1::RemoveReply>(r); !gone.ok())
        out_.push_back(c.id() + " cannot be removed at the end: " + gone.why().text());
    }
  }

  dice dice_;
  world world_;
  int kills_left_;
  double wall_steps_ = 0;
  nanoseconds rest_{};
  uint64_t first_kill_ = 0;
  bool first_kill_killed_ = false;
  int failed_starts_ = 0;
  uint64_t events_ = 0;
  findings out_;
  std::vector<std::unique_ptr<story>> stories_;
};

} // namespace

findings run_one(uint64_t seed, run_kind kind, run_totals& sum, broken canary) {
  return run(seed, kind, canary).go(sum);
}

findings run_killed_at(uint64_t kill_at, bool hybrid, run_totals& sum, bool& reached) {
  run r(kill_at, hybrid);
  auto out = r.go(sum);
  reached = r.killed();
  return out;
}

} // namespace gantry::sim
