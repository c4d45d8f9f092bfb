#include <algorithm>

#include "runtime/event_feed_impl.hpp"

namespace gantry::runtime {

using feed = event_feed::impl;

namespace {

/// Whether a container belongs into the list of a filtered feed.
bool listed(const v1::EventFilter& f, const v1::Container& c, const world& w) {
  v1::EventFilter without_types = f;
  without_types.clear_types();
  v1::Event e;
  e.set_namespace_(c.namespace_());
  e.set_container(c.id());
  e.set_instance(c.instance());
  return passes(without_types, e, w);
}

} // namespace

event_feed::event_feed(ledger& l, v1::FollowRequest what)
  : impl_(std::make_shared<impl>(l, std::move(what))) {
  l.feeds_.push_back(this);
  l.probe_feeds_ += size_t(impl_->runs == probe_runs::told);
}

event_feed::~event_feed() {
  impl_->closed = true;
  impl_->waiting = nullptr;
  std::erase(impl_->owner.feeds_, this);
  impl_->owner.probe_feeds_ -= size_t(impl_->runs == probe_runs::told);
}

void event_feed::next(size_t max_bytes,
                      std::function<void(result<std::vector<v1::FollowItem>>)> f) {
  impl_->next(max_bytes, std::move(f));
}

feed::impl(ledger& l, v1::FollowRequest what)
  : owner(l), request(std::move(what)), cursor(l.journal_->last_seq()),
    runs(wants_probe_runs(request.filter()) ? probe_runs::told : probe_runs::hidden) {}

/// Whether what comes next is to be read in the journal.
bool feed::behind() const {
  const auto to = runs == probe_runs::told ? owner.journal_->last_seq() : owner.recent_floor_;
  return cursor < std::min(to, end);
}

void feed::next(size_t max, answer f) {
  GANTRY_CHECK(!waiting);
  max_bytes = std::max<size_t>(max, 1);
  waiting = std::move(f);
  // The list is of this very moment; only the answer comes later.
  if (!begun) {
    begun = true;
    if (!request.follow())
      end = owner.journal_->last_seq();
    if (auto ok = begin(); !ok) {
      owner.loop_.post([self = shared_from_this(), why = ok.why()] { self->reply(why); });
      return;
    }
  }
  owner.loop_.post([self = shared_from_this()] { self->go_on(); });
}

void feed::wake(const std::shared_ptr<impl>& self) {
  const std::shared_ptr<impl> keep = self; // NOLINT(performance-*): `self` may go meanwhile.
  keep->go_on();
}

result<void> feed::begin() {
  if (request.list()) {
    take_list();
    return {};
  }
  if (!request.has_since())
    return {};
  const auto& since = request.since();
  auto now = owner.journal_->epoch();
  bool future = since.epoch() > now ||
                (since.epoch() == now && since.seq() > owner.journal_->last_seq());
  if (future)
    return error{ec::invalid_argument,
                 "cursor " + std::to_string(since.epoch()) + ":" + std::to_string(since.seq()) +
                   " is newer than the newest event " + std::to_string(now) + ":" +
                   std::to_string(owner.journal_->last_seq()),
                 "it belongs to another journal; begin anew with 0 or with a list"};
  resume_at(since);
  return {};
}

void feed::take_list() {
  const auto& w = *owner.world_;
  for (const auto& [name, c] : w.all()) {
    v1::FollowItem item;
    *item.mutable_container() = w.summary(*c);
    if (listed(request.filter(), item.container(), w))
      first.push_back(std::move(item));
  }
  cursor = owner.journal_->last_seq();
  v1::FollowItem end;
  end.mutable_listed()->set_epoch(owner.journal_->epoch());
  end.mutable_listed()->set_seq(cursor);
  first.push_back(std::move(end));
}

void feed::resume_at(const v1::Cursor& since) {
  auto& j = *owner.journal_;
  uint64_t kept = j.first_kept_seq();
  cursor = since.seq();
  if (since.epoch() == 0 && since.seq() == 0) { // All that is kept.
    cursor = kept - 1;
    return;
  }
  std::string reason = "these records are no longer kept";
  bool other = since.epoch() != j.epoch();
  if (other) {
    // What the reader saw at the end of its epoch may be more than what the disk kept of it.
    cursor = std::min(cursor, j.epoch_end(since.epoch()));
    reason = "the cursor is of epoch " + std::to_string(since.epoch()) + ", now it is epoch " +
             std::to_string(j.epoch()) + ": the newest records of the old one may be missing";
  }
  uint64_t to = std::max(cursor, since.seq());
  if (cursor + 1 < kept)
    to = cursor = kept - 1;
  else if (!other)
    return;
  add_gap(since.seq() + 1, to, reason);
}

void feed::add_gap(uint64_t from, uint64_t to, const std::string& reason) {
  journal::Record r;
  r.set_seq(cursor);
  r.set_epoch(owner.journal_->epoch());
  r.set_time_ns(owner.loop_.sys().realtime().count());
  r.mutable_gap()->set_from_seq(from);
  r.mutable_gap()->set_to_seq(to);
  r.mutable_gap()->set_reason(reason);
  v1::FollowItem item;
  *item.mutable_event() = *event_of(r);
  first.push_back(std::move(item));
  ++owner.gaps_;
}

void feed::go_on() {
  if (closed || !waiting || reading)
    return;
  items out;
  size_t size = 0;
  while (!first.empty() && size < max_bytes) {
    size += first.front().ByteSizeLong();
    out.push_back(std::move(first.front()));
    first.pop_front();
  }
  if (!first.empty() || (size >= max_bytes && !out.empty()))
    return reply(std::move(out));
  if (behind()) {
    if (!out.empty())
      return reply(std::move(out));
    return read_journal();
  }
  if (runs == probe_runs::hidden)
    take_recent(out, size);
  if (!out.empty() || !request.follow())
    reply(std::move(out));
}

void feed::take_recent(items& out, size_t& size) {
  const auto& recent = owner.recent_;
  auto i = std::upper_bound(recent.begin(), recent.end(), cursor,
                            [](uint64_t seq, const auto& e) { return seq < e.seq; });
  for (; i != recent.end() && i->seq <= end && size < max_bytes; ++i) {
    cursor = i->seq;
    v1::Event e;
    if (e.ParseFromString(i->bytes))
      add(std::move(e), out, size);
  }
}

void feed::add(v1::Event e, items& out, size_t& size) {
  if (!passes(request.filter(), e, *owner.world_))
    return;
  size += e.ByteSizeLong();
  out.emplace_back();
  *out.back().mutable_event() = std::move(e);
}

void feed::read_journal() {
  reading = true;
  read_to = runs == probe_runs::told ? owner.journal_->last_seq() : owner.recent_floor_;
  owner.journal_->read(cursor, max_bytes,
                       [self = shared_from_this()](result<std::vector<journal::Record>> r) {
                         self->reading = false;
                         if (!self->closed)
                           self->took(std::move(r));
                       });
}

void feed::took(result<std::vector<journal::Record>> records) {
  if (!records)
    return reply(std::move(records).why());
  items out;
  size_t size = 0;
  for (const auto& r : *records) {
    // Gaps that the journal itself holds are old news; this one is this reader's.
    if (r.body_case() == journal::Record::kGap && r.gap().from_seq() == cursor + 1 &&
        r.time_ns() == 0)
      ++owner.gaps_;
    cursor = r.seq();
    if (cursor > end)
      break;
    if (auto e = event_of(r, runs))
      add(*std::move(e), out, size);
  }
  if (records->empty())
    cursor = std::max(cursor, read_to);
  if (!out.empty())
    return reply(std::move(out));
  // Nothing of it passed the filter: the next piece, in a turn of its own.
  owner.loop_.post([self = shared_from_this()] { self->go_on(); });
}

void feed::reply(result<items> with) {
  if (closed || !waiting)
    return;
  auto f = std::move(waiting);
  waiting = nullptr;
  f(std::move(with));
}

} // namespace gantry::runtime
