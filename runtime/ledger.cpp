#include "runtime/ledger.hpp"

#include <algorithm>

#include "runtime/event_feed_impl.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t recent_max = 4096;
constexpr size_t recent_bytes_max = 2u << 20;

} // namespace

ledger::watch::watch(ledger& l, std::function<void(const journal::Record&)> f)
  : ledger_(l), f_(std::move(f)) {
  l.watches_.push_back(this);
}

ledger::watch::~watch() {
  // The list may be walked right now: only leave a hole.
  std::replace(ledger_.watches_.begin(), ledger_.watches_.end(), this,
               static_cast<watch*>(nullptr));
  if (!ledger_.telling_)
    std::erase(ledger_.watches_, nullptr);
}

ledger::ledger(io::loop& l, std::unique_ptr<journal_file> j, std::unique_ptr<class world> w)
  : loop_(l), journal_(std::move(j)), world_(std::move(w)), recent_floor_(journal_->last_seq()),
    alive_(std::make_shared<bool>(true)) {
  journal_->on_snapshot([this] { return world_->pack(); });
}

ledger::~ledger() {
  *alive_ = false;
  std::erase(watches_, nullptr);
  GANTRY_CHECK(watches_.empty());
  GANTRY_CHECK(feeds_.empty());
}

uint64_t ledger::record(journal::Record& r) {
  fill_in(r);
  auto seq = journal_->append(r);
  world_->apply(r);
  keep(r);
  tell_watches(r);
  return seq;
}

void ledger::fill_in(journal::Record& r) const {
  using journal::Record;
  switch (r.body_case()) {
  case Record::kCreated:
    if (const auto* known = world_->labels(r.instance()); known && r.created().labels().empty())
      r.mutable_created()->mutable_labels()->insert(known->begin(), known->end());
    return;
  case Record::kPaused:
  case Record::kResumed:
  case Record::kUpdated:
  case Record::kOom: // About the container as a whole: by its init it is found on the host.
    if (const auto* c = world_->find({r.namespace_(), r.container()}); c && r.pid() == 0)
      if (const auto* p = c->init())
        r.set_pid(p->pid);
    return;
  default:
    return;
  }
}

void ledger::keep(const journal::Record& r) {
  auto e = event_of(r);
  if (!e) {
    if (r.has_probe_ended() && probe_feeds_ > 0) // They read it themselves.
      wake_soon();
    return;
  }
  recent_.push_back({r.seq(), e->SerializeAsString()});
  recent_bytes_ += recent_.back().bytes.size() + sizeof(kept_event);
  while (recent_.size() > recent_max || recent_bytes_ > recent_bytes_max) {
    recent_floor_ = recent_.front().seq;
    recent_bytes_ -= recent_.front().bytes.size() + sizeof(kept_event);
    recent_.pop_front();
  }
  wake_soon();
}

void ledger::wake_soon() {
  if (feeds_.empty() || wake_posted_)
    return;
  wake_posted_ = true; // However many records this turn brings, feeds wake once.
  loop_.post([this, alive = alive_] {
    if (*alive)
      wake_feeds();
  });
}

void ledger::wake_feeds() {
  wake_posted_ = false;
  auto feeds = feeds_; // A feed's callback may end feeds.
  for (auto* f : feeds)
    if (std::find(feeds_.begin(), feeds_.end(), f) != feeds_.end())
      event_feed::impl::wake(f->impl_);
}

std::unique_ptr<ledger::watch> ledger::on_record(std::function<void(const journal::Record&)> f) {
  return std::make_unique<watch>(*this, std::move(f));
}

void ledger::tell_watches(const journal::Record& r) {
  if (watches_.empty())
    return;
  if (telling_) {
    untold_.push_back(r);
    return;
  }
  telling_ = true;
  auto tell = [this](const journal::Record& x) {
    // By index: a callback may register another watch, which hears of the next record.
    for (size_t i = 0, n = watches_.size(); i < n; ++i)
      if (watches_[i] != nullptr) {
        auto f = watches_[i]->f_; // It may end itself.
        f(x);
      }
  };
  tell(r);
  while (!untold_.empty()) {
    auto next = std::move(untold_.front());
    untold_.pop_front();
    tell(next);
  }
  telling_ = false;
  std::erase(watches_, nullptr);
}

} // namespace gantry::runtime
