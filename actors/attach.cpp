#include "actors/attach.hpp"

#include <algorithm>

#include "io/pump.hpp"

namespace gantry::actors {

namespace {

constexpr size_t usual_queue = 1u << 20;
constexpr size_t least_queue = 64u << 10;
constexpr size_t most_queue = 16u << 20;
constexpr size_t log_bytes = 64u << 10;
/// Live pieces of one stream are joined up to this: one message each would cost more.
constexpr size_t joined_bytes = 64u << 10;
constexpr auto usual_patience = std::chrono::seconds(10);
/// Of a process that writes at full speed, pieces are larger.
constexpr size_t small_piece = 16u << 10;
constexpr int rest_factor = 16;
constexpr io::nanoseconds least_rest = std::chrono::milliseconds(1);

size_t queue_limit(const v1::AttachOpen& open) {
  if (open.queue_bytes() == 0)
    return usual_queue;
  return std::clamp<size_t>(open.queue_bytes(), least_queue, most_queue);
}

bool is_before(const io::log_place& a, const io::log_place& b) {
  return a.file_seq != b.file_seq ? a.file_seq < b.file_seq : a.offset < b.offset;
}

} // namespace

attached::attached(services& host, front& way, v1::By by, v1::AttachOpen open, attach_target who)
  : host_(host), way_(way), by_(std::move(by)), open_(std::move(open)), who_(std::move(who)),
    limit_(queue_limit(open_)), bound_(who_.run), rest_(host.loop), patience_(host.loop) {
  on_news_ = [this] { wake(); };
  host_.logs.add(who_.serial, &on_news_);
  host_.outputs.add(who_.serial, *this);
}

attached::~attached() {
  host_.outputs.remove(who_.serial, *this);
  host_.logs.remove(who_.serial, &on_news_);
}

void attached::begin(attach_place from, v1::AttachOpened opened) {
  skip_ = from.skip;
  read_to_ = from.log;
  if (from.serial != 0)
    reader_ = std::make_unique<io::log_reader>(host_.loop, host_.log_dir(who_.serial), from.log,
                                               who_.format);
  else if (host_.outputs.pump_of(who_.serial) != nullptr)
    go_live(false);
  else
    at_ = stage::waiting; // It is being made, or has ended.
  opened.set_cursor(cursor_text(place()));
  opened_ = std::move(opened);
  if (greet() && at_ != stage::log && over())
    push_exit();
}

bool attached::over() const {
  const auto* c = host_.ledger.now().find(who_.container);
  if (c == nullptr || c->instance != who_.instance)
    return true;
  const auto* p = c->process(who_.process);
  using phase = runtime::process_view::phase_t;
  if (p == nullptr || p->serial != who_.serial || p->phase == phase::exited || later_run())
    return true;
  // Removed before it was ever started: it has no exit.
  return c->state == v1::DELETING && p->phase == phase::died && p->started_at_ns == 0;
}

/// Its run is over, and its log goes on with another one's words.
bool attached::later_run() const {
  const auto* c = host_.ledger.now().find(who_.container);
  return c != nullptr && c->instance == who_.instance && who_.process == runtime::init_id
         && bound_.over(*c);
}

/// The log has grown, the pump has begun, or the process has ended.
void attached::wake() {
  news_ = true;
  if (later_run())
    bound_.look(*host_.ledger.now().find(who_.container));
  if (!greet())
    return;
  if (at_ == stage::log) {
    if (waiting_ && !reading_)
      go_on();
  } else if (at_ == stage::waiting && host_.outputs.pump_of(who_.serial) != nullptr) {
    go_live(true); // Nothing of it was there before: all of it is new.
  }
  if ((at_ == stage::live || at_ == stage::waiting) && over())
    push_exit();
}

void attached::next(size_t max_bytes, answer<std::vector<v1::AttachReply>> f) {
  max_bytes_ = max_bytes;
  waiting_ = std::move(f);
  if (!queue_.empty() || failed_ || at_ == stage::ended || dropped_[0] + dropped_[1] > 0)
    deliver_later();
  else if (at_ == stage::log && !reading_ && !opened_)
    go_on();
}

// -- from the log ---------------------------------------------------------------------------

/// The next step of a client that has not caught up: hand on, read on, go live, or wait.
void attached::go_on() {
  take_pending();
  if (!queue_.empty())
    return deliver_later();
  if (!pending_.empty())
    return; // The pump's next commit goes on.
  if (beyond_ || (at_end_ && !news_ && later_run()))
    return push_exit();
  if (!at_end_ || news_)
    return read();
  if (host_.outputs.pump_of(who_.serial) == nullptr) {
    if (over())
      push_exit();
    return;
  }
  if (caught_up())
    go_live(true);
  if (at_ == stage::live && over())
    push_exit();
}

void attached::read() {
  reading_ = true;
  news_ = false;
  reader_->next(log_bytes, [weak = weak_from_this()](result<io::log_reader::batch> b) {
    if (auto me = weak.lock())
      me->on_batch(std::move(b));
  });
}

void attached::on_batch(result<io::log_reader::batch> b) {
  reading_ = false;
  if (!b)
    return fail(b.why());
  if (b->missing_files > 0) {
    v1::AttachReply gap;
    gap.mutable_gap()->set_missing_files(b->missing_files);
    push(std::move(gap), 0);
    skip_ = {}; // What they told of went with the files.
  }
  at_end_ = b->at_end;
  for (auto& piece : b->pieces)
    pending_.push_back(std::move(piece));
  if (pending_.empty())
    read_to_ = b->next;
  go_on();
}

/// Hands on what the pump has committed. What it has written and not committed may be
/// written once more after a crash, and is still among its unlogged bytes.
void attached::take_pending() {
  const auto* pump = host_.outputs.pump_of(who_.serial);
  io::log_place committed;
  if (pump != nullptr) {
    const auto totals = pump->totals();
    committed = {totals.file_seq, totals.file_offset};
  }
  while (!pending_.empty() && queued_ < limit_) {
    auto& piece = pending_.front();
    beyond_ = bound_.beyond(piece.next.file_seq);
    if (beyond_)
      return pending_.clear();
    if (pump != nullptr && is_before(committed, piece.next))
      return;
    const int stream = piece.stream == 2 ? 1 : 0;
    auto& skip = skip_[size_t(stream)];
    const auto known = std::min<uint64_t>(skip, piece.bytes.size());
    skip -= known;
    read_to_ = piece.next;
    if (known < piece.bytes.size())
      push_output(stream, std::string_view(piece.bytes).substr(known), false, 0);
    pending_.pop_front();
  }
}

bool attached::caught_up() const {
  const auto totals = host_.outputs.pump_of(who_.serial)->totals();
  if (totals.bytes[0] + totals.bytes[1] == 0)
    return true; // Nothing is in the log.
  return read_to_.file_seq == totals.file_seq && read_to_.offset == totals.file_offset;
}

// -- as it comes --------------------------------------------------------------------------------

void attached::go_live(bool with_unlogged) {
  at_ = stage::live;
  reader_.reset();
  auto* pump = host_.outputs.pump_of(who_.serial);
  const auto totals = pump->totals();
  std::array<std::string_view, 2> rest;
  for (size_t i = 0; i < 2; ++i) {
    rest[i] = pump->unlogged(int(i));
    const auto known =
      with_unlogged ? std::min<size_t>(rest[i].size(), skip_[i]) : rest[i].size();
    rest[i].remove_prefix(known);
    sent_[i] = totals.bytes[i] + totals.dropped[i] + known;
    skip_[i] = 0;
  }
  for (size_t i = 0; i < 2; ++i) // Each cursor tells of what came before it, and no more.
    if (const auto n = rest[i].size(); n > 0) {
      sent_[i] += n;
      push_output(int(i), rest[i], true, sent_[i] - n);
    }
}

void attached::came(int stream, uint64_t offset, std::span<const char> bytes) {
  if (at_ != stage::live)
    return;
  const auto i = size_t(stream);
  GANTRY_CHECK(offset >= sent_[i]);
  // What the log's policy gave up unread, nobody gets.
  dropped_[i] += offset - std::exchange(sent_[i], offset + bytes.size());
  if (make_room(stream, bytes.size()))
    push_output(stream, {bytes.data(), bytes.size()}, true, offset);
}

/// The queue is full: its client waits, or makes the process wait, or goes without.
/// @returns false if these bytes are left out.
bool attached::make_room(int stream, size_t bytes) {
  if (rest_.armed() && bytes <= small_piece) { // The process is no more at full speed.
    rest_.cancel();
    late_ = false;
  }
  if (!late_ && queued_ + bytes <= limit_) {
    push_gaps();
    return true;
  }
  if (!late_ && open_.slow() == v1::AttachOpen::DROP)
    go_without();
  if (late_) {
    dropped_[size_t(stream)] += bytes;
    return false;
  }
  if (!patience_.armed()) {
    host_.outputs.hold(who_.serial, *this, true);
    const auto bound =
      open_.patience_ns() > 0 ? io::nanoseconds(open_.patience_ns()) : usual_patience;
    patience_.start(bound, [this] {
      go_without();
      host_.outputs.hold(who_.serial, *this, false);
    });
  }
  return true;
}

/// It cannot keep up: it goes without until it has read what waits. Then it rests some times as
/// long as that took, so that who reads slowly leaves the loop to the log.
void attached::go_without() {
  late_ = true;
  late_since_ = host_.loop.now();
  if (queue_.empty())
    rest();
}

void attached::rest() {
  const auto took = std::max<io::nanoseconds>(host_.loop.now() - late_since_, least_rest);
  rest_.start(rest_factor * took, [this] {
    late_ = false;
    deliver_later(); // What it went without.
  });
}

void attached::push_gaps() {
  for (size_t i = 0; i < 2; ++i) {
    const auto lost = std::exchange(dropped_[i], 0);
    if (lost == 0)
      continue;
    v1::AttachReply gap;
    gap.mutable_gap()->set_stream(uint32_t(i) + 1);
    gap.mutable_gap()->set_bytes(lost);
    push(std::move(gap), 0);
  }
}

attach_place attached::place() const {
  attach_place out{.serial = who_.serial, .log = read_to_, .skip = skip_};
  const auto* pump = host_.outputs.pump_of(who_.serial);
  if (pump != nullptr && at_ == stage::live) {
    const auto totals = pump->totals();
    out.log = {totals.file_seq, totals.file_offset};
    for (size_t i = 0; i < 2; ++i) { // More were given up unread than came: none is ahead.
      const uint64_t gone = totals.bytes[i] + totals.dropped[i];
      out.skip[i] = sent_[i] - std::min(sent_[i], gone);
    }
  }
  return out;
}

void attached::push_output(int stream, std::string_view bytes, bool live, uint64_t offset) {
  if (!queue_.empty() && queue_.back().first.has_output()) {
    auto& last = *queue_.back().first.mutable_output();
    if (last.stream() == uint32_t(stream) + 1 && last.live() == live
        && last.data().size() + bytes.size() <= joined_bytes) {
      last.mutable_data()->append(bytes);
      last.set_cursor(cursor_text(place()));
      queue_.back().second += bytes.size();
      queued_ += bytes.size();
      return;
    }
  }
  v1::AttachReply reply;
  auto& out = *reply.mutable_output();
  out.set_stream(uint32_t(stream) + 1);
  out.set_data(std::string(bytes));
  out.set_cursor(cursor_text(place()));
  out.set_live(live);
  out.set_offset(offset);
  push(std::move(reply), bytes.size());
}

// -- to the client ----------------------------------------------------------------------------

void attached::push(v1::AttachReply reply, size_t bytes) {
  queue_.emplace_back(std::move(reply), bytes);
  queued_ += bytes;
  if (waiting_)
    deliver_later();
}

void attached::push_exit() {
  if (at_ == stage::ended)
    return;
  push_gaps();
  at_ = stage::ended;
  const auto x = host_.ledger.now().exit_of(who_.container, who_.instance, who_.process);
  if (!x)
    return fail({ec::cancelled,
                 "process \"" + who_.process + "\" of container \"" + who_.container.id
                   + "\" went away and never ran",
                 {}});
  v1::AttachReply last;
  *last.mutable_exit() = x->exit;
  push(std::move(last), 0);
}

void attached::fail(error why) {
  failed_ = std::move(why);
  if (waiting_)
    deliver_later();
}

void attached::deliver_later() {
  if (std::exchange(deliver_posted_, true))
    return;
  host_.loop.post([weak = weak_from_this()] {
    if (auto me = weak.lock()) {
      me->deliver_posted_ = false;
      me->deliver();
    }
  });
}

void attached::deliver() {
  if (!waiting_)
    return;
  if (queue_.empty() && !late_)
    push_gaps();
  std::vector<v1::AttachReply> out;
  for (size_t bytes = 0; !queue_.empty() && (out.empty() || bytes < max_bytes_);) {
    bytes += queue_.front().second;
    queued_ -= queue_.front().second;
    out.push_back(std::move(queue_.front().first));
    queue_.pop_front();
  }
  if (late_ && queue_.empty() && !rest_.armed())
    rest();
  if (patience_.armed() && queued_ <= limit_ / 2) {
    patience_.cancel();
    host_.outputs.hold(who_.serial, *this, false);
  }
  if (out.empty() && !failed_ && at_ != stage::ended)
    return;
  auto f = std::exchange(waiting_, nullptr);
  if (out.empty() && failed_)
    f(*failed_);
  else
    f(std::move(out)); // Empty: that was all.
}

} // namespace gantry::actors
