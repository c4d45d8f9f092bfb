#include "library/attach.hpp"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include "library/convert.hpp"

// SIGPIPE is no matter here: the library's thread has all signals blocked.

namespace gantry::library {

namespace {

constexpr size_t pieces_at_once = 64u << 10;
constexpr size_t input_at_once = 64u << 10; // a pipe's own size

result<void> check_open(const attach_options& what) {
  const auto bad = [&what](const char* why, const char* cure) {
    return error{ec::invalid_argument, "attach to \"" + what.ref.id + "\": " + why, cure};
  };
  if (!what.in && !what.out && !what.err)
    return bad("no stream was asked for", "ask for in, out or err");
  if (what.patience && *what.patience < nanoseconds{0})
    return bad("the patience is less than nothing", "give a time, or none for 10 s");
  return {};
}

v1::AttachOpen open_of(const attach_options& x) {
  v1::AttachOpen out;
  *out.mutable_ref() = to_bus(x.ref);
  out.set_process(x.process);
  out.set_instance(x.instance);
  out.set_input(x.in);
  out.set_replay(x.replay);
  out.set_cursor(x.cursor);
  out.set_close_stdin(x.close_stdin);
  out.set_queue_bytes(x.queue_bytes);
  // The wire's 0 is the default; who wants no patience goes without at once.
  const bool holds = x.when_slow == slow_reader::hold && x.patience != nanoseconds{0};
  out.set_slow(holds ? v1::AttachOpen::BLOCK : v1::AttachOpen::DROP);
  if (x.patience)
    out.set_patience_ns(x.patience->count());
  return out;
}

} // namespace

void open_attachment(const std::shared_ptr<site>& at, attach_options what,
                     callback<attachment> f) {
  auto fine = check_open(what);
  if (fine && at->way() == nullptr)
    fine = site::ended();
  if (!fine)
    return call_out(f, fine.why());
  auto from = at->way()->attach(open_of(what));
  if (!from)
    return call_out(f, std::move(from).why());
  std::make_shared<attach_pump>(at, std::move(what), std::move(f))->begin(std::move(*from));
}

attach_pump::attach_pump(std::shared_ptr<site> at, attach_options what, callback<attachment> f)
  : site_(std::move(at)), what_(std::move(what)), f_(std::move(f)),
    says_(std::make_shared<io_bundle::shared>()),
    joined_(std::make_shared<attachment::joined>()) {
  joined_->at = site_;
  joined_->input = what_.in;
}

attach_pump::~attach_pump() { GANTRY_CHECK(over_); }

std::function<void()> attach_pump::soon(void (attach_pump::*f)()) {
  return [weak = weak_from_this(), f] {
    if (auto me = weak.lock(); me && !me->over_)
      (*me.*f)();
  };
}

void attach_pump::begin(std::unique_ptr<actors::attachment> from) {
  from_ = std::move(from);
  joined_->pump = weak_from_this();
  site_->add(shared_from_this());
  // Not from inside it: what follows may end it.
  from_->on_room([this, again = soon(&attach_pump::await_input)] {
    room_ = true;
    site_->react().later(again);
  });
  pull();
}

void attach_pump::resize(const v1::TerminalSize& size) {
  v1::AttachRequest req;
  *req.mutable_size() = size;
  if (auto said = from_->take(std::move(req)); !said)
    says_->note(said.why());
}

// -- output ------------------------------------------------------------------------------------

void attach_pump::pull() {
  pulling_ = true;
  from_->next(pieces_at_once, [weak = weak_from_this()](result<std::vector<v1::AttachReply>> x) {
    if (auto me = weak.lock(); me && !me->over_)
      me->took(std::move(x));
  });
}

void attach_pump::took(result<std::vector<v1::AttachReply>> x) {
  pulling_ = false;
  if (!x)
    return end_with(std::move(x).why());
  if (x->empty())
    return end_with(error{ec::unavailable, "the supervisor ended the streams", "attach anew"});
  std::move(x->begin(), x->end(), std::back_inserter(pending_));
  go_on();
}

void attach_pump::go_on() {
  blocked_ = false;
  while (!pending_.empty()) {
    if (!hand_on(pending_.front())) {
      blocked_ = true;
      return;
    }
    if (over_)
      return;
    pending_.pop_front();
  }
  if (!pulling_)
    pull();
}

/// @returns false when the pipe it belongs into is full: then it comes again.
bool attach_pump::hand_on(const v1::AttachReply& x) {
  switch (x.what_case()) {
  case v1::AttachReply::kOpened:
    give(x.opened());
    return true;
  case v1::AttachReply::kOutput:
    return put(x.output());
  case v1::AttachReply::kGap:
    tell_gap(x.gap());
    return true;
  case v1::AttachReply::kStdinOffset: {
    std::unique_lock lock(joined_->mutex);
    joined_->stdin_offset = std::max(joined_->stdin_offset, x.stdin_offset());
    lock.unlock();
    leave_if_alone();
    return true;
  }
  case v1::AttachReply::kInputEnd: {
    const auto code = code_named(x.input_end().code());
    // A process that ended or closed its stdin does not need the rest: as in a shell's pipe.
    if (code != ec::wrong_state && code != ec::not_found)
      says_->note({code, x.input_end().message(), ""});
    input_over_ = true;
    end_input();
    return true;
  }
  case v1::AttachReply::kExit:
    end_with(from_bus(x.exit()));
    return true;
  case v1::AttachReply::WHAT_NOT_SET: // Of a newer supervisor.
    return true;
  }
  return true;
}

/// The first answer, or the first one after a lost connection.
void attach_pump::give(const v1::AttachOpened& opened) {
  {
    std::lock_guard guard(joined_->mutex);
    joined_->stdin_offset = std::max(joined_->stdin_offset, opened.stdin_offset());
  }
  if (!f_)
    return;
  sent_to_ = opened.stdin_offset();
  joined_->cursor = opened.cursor();
  auto f = std::exchange(f_, nullptr);
  auto streams = make_pipes(opened);
  if (!streams) {
    end();
    return call_out(f, std::move(streams).why());
  }
  attachment out;
  static_cast<io_bundle&>(out) = std::move(*streams);
  attach_access::fill(out, opened, joined_);
  call_out(f, std::move(out));
  if (!over_)
    await_input();
}

result<io_bundle> attach_pump::make_pipes(const v1::AttachOpened& opened) {
  io_bundle out;
  stream_access::terminal(out, opened.terminal());
  stream_access::shared(out) = says_;
  for (size_t i = 0; i < 2; ++i) {
    if (!(i == 0 ? what_.out : what_.err && !opened.terminal()))
      continue;
    int ends[2];
    if (auto made = make_pipe(ends, 1); !made)
      return std::move(made).why();
    stream_access::fd(out, i + 1) = ends[0];
    outputs_[i].pipe = joined_->pipes[i] = ends[1];
    outputs_[i].left = site_->react().ready(outputs_[i].pipe, 0, [weak = weak_from_this(), i] {
      if (auto me = weak.lock())
        me->close_output(i);
    });
  }
  if (what_.in && opened.stdin_open()) {
    int ends[2];
    if (auto made = make_pipe(ends, 0); !made)
      return std::move(made).why();
    stream_access::fd(out, 0) = ends[1];
    in_ = ends[0];
  }
  if (out.in() < 0 && out.out() < 0 && out.err() < 0)
    return error{ec::wrong_state,
                 "attach to \"" + what_.ref.id + "\": the process has none of these streams",
                 "its stdin is open only if it was made with one, and nobody has closed it"};
  return out;
}

bool attach_pump::put(const v1::AttachOutput& x) {
  const size_t i = x.stream() == 2 ? 1 : 0;
  const auto& data = x.data();
  while (outputs_[i].pipe >= 0 && written_ < data.size()) {
    std::unique_lock lock(joined_->mutex); // So that nobody sees bytes that are not counted.
    const auto n = ::write(outputs_[i].pipe, data.data() + written_, data.size() - written_);
    const int why = errno;
    if (n > 0) {
      written_ += size_t(n);
      joined_->put[i] += uint64_t(n);
      continue;
    }
    lock.unlock();
    if (why == EINTR)
      continue;
    if (why == EAGAIN) {
      outputs_[i].writable =
        site_->react().ready(outputs_[i].pipe, POLLOUT, soon(&attach_pump::go_on));
      return false;
    }
    close_output(i); // EPIPE: nobody reads any more.
    if (over_)
      return true;
  }
  written_ = 0;
  joined_->passed(x.cursor());
  return true;
}

void attach_pump::tell_gap(const v1::AttachGap& x) {
  const size_t i = x.stream() == 2 ? 1 : 0;
  attach_gap gap{.stream = uint32_t(i) + 1, .bytes = x.bytes(), .missing_files = x.missing_files()};
  {
    std::lock_guard guard(joined_->mutex);
    joined_->left_out[i] += x.bytes();
    gap.at = joined_->put[i];
  }
  if (x.missing_files() > 0)
    says_->note({ec::data_loss,
                 std::to_string(x.missing_files())
                   + " log files were rotated away before they were read",
                 "keep more log files, or attach sooner"});
  if (what_.on_gap)
    call_out(what_.on_gap, gap);
}

void attach_pump::close_output(size_t which) {
  auto& x = outputs_[which];
  if (x.pipe < 0)
    return;
  {
    std::lock_guard guard(joined_->mutex);
    joined_->pipes[which] = -1;
  }
  x.writable.reset();
  x.left.reset();
  site_->react().close(std::exchange(x.pipe, -1));
  if (blocked_)
    site_->react().later(soon(&attach_pump::go_on));
  leave_if_alone();
}

void attach_pump::end_with(result<exit_report> how) {
  if (over_)
    return;
  if (!how)
    says_->note(how.why());
  else {
    std::lock_guard guard(joined_->mutex);
    joined_->exit = *how;
  }
  const auto me = shared_from_this();
  auto f = std::exchange(f_, nullptr);
  end();
  if (f) // It ends before it has begun.
    return call_out(f, how ? error{ec::wrong_state, "the process has ended", ""} : how.why());
  if (what_.on_end)
    call_out(what_.on_end, how);
}

void attach_pump::end() {
  if (std::exchange(over_, true))
    return;
  const auto me = shared_from_this();
  for (size_t i = 0; i < 2; ++i)
    close_output(i);
  readable_.reset();
  if (in_ >= 0)
    site_->react().close(std::exchange(in_, -1));
  from_.reset();
  site_->remove(me);
}

// -- input -------------------------------------------------------------------------------------

void attach_pump::await_input() {
  if (in_ >= 0 && room_)
    readable_ = site_->react().ready(in_, POLLIN, soon(&attach_pump::read_input));
}

void attach_pump::read_input() {
  std::string data(input_at_once, '\0');
  const auto n = ::read(in_, data.data(), data.size());
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    at_end_ = true;
    from_->end_of_requests();
    return end_input();
  }
  if (n > 0) {
    data.resize(size_t(n));
    sent_to_ += size_t(n);
    v1::AttachRequest req;
    *req.mutable_input()->mutable_data() = std::move(data);
    const auto taken = from_->take(std::move(req));
    if (!taken)
      return end_with(taken.why());
    room_ = *taken;
  }
  await_input();
}

/// No more input is read from the program around us.
void attach_pump::end_input() {
  readable_.reset();
  if (in_ >= 0)
    site_->react().close(std::exchange(in_, -1));
  leave_if_alone();
}

bool attach_pump::untaken() const {
  std::lock_guard guard(joined_->mutex);
  return !input_over_ && joined_->stdin_offset < sent_to_;
}

/// The program around us has closed all that it had, and its input has arrived.
void attach_pump::leave_if_alone() {
  if (over_ || f_ || closing_ || in_ >= 0 || outputs_[0].pipe >= 0 || outputs_[1].pipe >= 0
      || untaken())
    return;
  if (!what_.close_stdin || !at_end_ || input_over_)
    return end();
  closing_ = true; // Who leaves the streams may be faster than the end of his input.
  v1::CloseStdinRequest req;
  *req.mutable_ref() = to_bus(what_.ref);
  req.set_process(what_.process);
  if (site_->way() != nullptr && site_->way()->may_repeat())
    req.set_request_id(fresh_request_id());
  site_->ask<v1::CloseStdinReply>(std::move(req),
                                  [me = shared_from_this()](const result<v1::CloseStdinReply>&) {
                                    me->end(); // Closed already, or gone: as good.
                                  });
}

} // namespace gantry::library
