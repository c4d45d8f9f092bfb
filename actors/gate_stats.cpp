#include "actors/gate.hpp"
#include "actors/top.hpp"

// What containers use: read from cgroup files and /proc, never by a container's actor.

namespace gantry::actors {

namespace {

/// Reads the statistics of many containers, a few in each turn: a container takes a dozen
/// small files.
class stats_round : public std::enable_shared_from_this<stats_round> {
public:
  stats_round(services& host, bool raw, std::vector<runtime::container_name> asked,
              answer<v1::StatsReply> f)
    : host_(host), raw_(raw), asked_(std::move(asked)), answer_(std::move(f)) {}

  void run() {
    if (life_.expired())
      return;
    const auto& sys = host_.loop.sys();
    const auto enough = sys.monotonic() + host_.loop.policy().slow_turn / 4;
    for (size_t n = 0; n < of_a_turn && next_ < asked_.size(); ++n) {
      if (n > 0 && sys.monotonic() >= enough)
        break; // A cgroup may take long: the machine is busy, or it has many processors.
      if (auto failed = read(asked_[next_++]); failed && asked_.size() == 1)
        return answer_(*failed);
    }
    if (next_ == asked_.size())
      return answer_(std::move(out_));
    host_.loop.post([self = shared_from_this()] { self->run(); });
  }

private:
  static constexpr size_t of_a_turn = 16;

  std::optional<error> read(const runtime::container_name& name) {
    const auto group = host_.cgroup_of(name);
    auto stats = group.stats(raw_);
    if (!stats)
      return stats.why(); // It may have gone meanwhile: then it is left out.
    stats->set_namespace_(name.ns);
    stats->set_id(name.id);
    *out_.add_stats() = std::move(*stats);
    return std::nullopt;
  }

  services& host_;
  std::weak_ptr<int> life_{host_.life};
  bool raw_;
  std::vector<runtime::container_name> asked_;
  size_t next_ = 0;
  v1::StatsReply out_;
  answer<v1::StatsReply> answer_;
};

/// Whether its processes can be somewhere: not before they are made, and not after their end.
bool has_cgroup(v1::State s) {
  return s != v1::CREATING && s != v1::STOPPED && s != v1::RESTARTING && s != v1::DEAD;
}

} // namespace

void gate::call(const v1::By&, v1::StatsRequest req, answer<v1::StatsReply> f) {
  std::vector<runtime::container_name> asked;
  if (!req.ref().id().empty()) {
    auto found = look_up(req.ref());
    if (!found) {
      later<v1::StatsReply>(std::move(f), found.why());
      return;
    }
    asked.push_back((*found)->name);
  } else {
    const auto ns = named_namespace(req.ref().namespace_());
    for (const auto& [name, c] : host_.ledger.now().all())
      if ((ns == "*" || name.ns == ns) && has_cgroup(c->state))
        asked.push_back(name);
  }
  auto round = std::make_shared<stats_round>(host_, req.raw(), std::move(asked), std::move(f));
  host_.loop.post([round] { round->run(); });
}

void gate::call(const v1::By&, v1::TopRequest req, answer<v1::TopReply> f) {
  auto found = look_up(req.ref());
  if (!found) {
    later<v1::TopReply>(std::move(f), found.why());
    return;
  }
  const auto& c = **found;
  v1::TopReply out;
  for (auto& p : processes_in(host_, c))
    *out.add_processes() = std::move(p);
  later<v1::TopReply>(std::move(f), std::move(out));
}

} // namespace gantry::actors
