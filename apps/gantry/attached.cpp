#include "apps/gantry/attached.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <unistd.h>

#include "apps/gantry/foreground.hpp"
#include "apps/gantry/raw_terminal.hpp"
#include "gateways/client/io_bundle.hpp"

// The foreground at a process's streams: its terminal is ours.

namespace gantry::cli {

namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

/// So long a beginning of the detach keys is held back.
constexpr milliseconds key_patience{500};

v1::TerminalSize our_size() {
  auto size = terminal_size_of(STDOUT_FILENO);
  return size.width() != 0 ? size : terminal_size_of(STDIN_FILENO);
}

v1::AttachOpen opening(const attach_plan& plan) {
  v1::AttachOpen open;
  *open.mutable_ref() = plan.ref;
  open.set_process(plan.process);
  open.set_instance(plan.instance);
  open.set_input(plan.input);
  open.set_close_stdin(plan.close_stdin);
  open.set_replay(plan.replay);
  return open;
}

void put_gap(const v1::AttachGap& gap, sink& err) {
  std::string text = "\r\ngantry: ";
  if (gap.missing_files() > 0)
    text += std::to_string(gap.missing_files())
            + " log files were rotated away before they were read";
  else
    text += std::to_string(gap.bytes()) + " bytes were left out, as we were too slow";
  err.put(text + ": output is missing here\r\n");
}

client::io_events copying_to(sink& out, sink& err) {
  client::io_events on;
  on.output = [&out, &err](uint32_t stream, std::string bytes) {
    (stream == 2 ? err : out).put(std::move(bytes));
  };
  on.gap = [&err](const v1::AttachGap& gap) { put_gap(gap, err); };
  return on;
}

} // namespace

/// What one stay at a process's streams needs besides the foreground.
struct foreground::stay {
  stay(session& s, const attach_plan& p, sink& out, sink& err)
    : plan(p), streams(s.way, opening(p), copying_to(out, err)), keys(p.keys) {}

  const attach_plan& plan;
  client::io_bundle streams;
  detach_filter keys;
  std::optional<raw_terminal> raw;
  clock::time_point held_since;
  bool began = false;
  bool detached = false;
  bool at_end = false; ///< Of our stdin.
  std::optional<error> refused;

  [[nodiscard]] bool reads() const noexcept {
    return began && plan.input && !at_end && streams.process().stdin_open()
           && streams.wants_input();
  }

  [[nodiscard]] int wait_ms() const {
    if (!keys.holds())
      return -1;
    const auto left = std::chrono::ceil<milliseconds>(held_since + key_patience - clock::now());
    return std::max(0, static_cast<int>(left.count()));
  }

  /// The first answer has come: now we know whether there is a terminal.
  void begin() {
    began = true;
    if (!streams.process().terminal())
      return;
    if (plan.input && streams.process().stdin_open()) {
      if (::isatty(STDIN_FILENO) != 1) {
        refused = error{ec::invalid_argument, "our stdin is not a terminal, the process's is",
                        "run it in a terminal, or leave -t or the input out"};
        return;
      }
      raw.emplace(STDIN_FILENO);
    }
    resize();
  }

  void resize() {
    if (raw)
      raw->again();
    const auto size = our_size();
    if (plan.input && streams.process().terminal() && size.width() != 0)
      streams.resize(size);
  }

  void read_keys() {
    std::array<char, 4096> bytes; // NOLINT(cppcoreguidelines-pro-type-member-init)
    const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
      return;
    if (n <= 0) {
      at_end = true;
      streams.write(keys.let_go());
      streams.close_stdin();
      return;
    }
    const std::string_view typed(bytes.data(), static_cast<size_t>(n));
    if (!raw) // Keys are for people: what a pipe brings is passed on as it is.
      return streams.write(typed);
    held_since = clock::now();
    auto x = keys.feed(typed);
    streams.write(x.pass);
    detached = x.detached;
  }
};

void foreground::stay_step(stay& here) {
  std::array<pollfd, 2> set{signals_.want(), {here.reads() ? STDIN_FILENO : -1, POLLIN, 0}};
  step_with_outputs(s_.way, out_, err_, set, here.wait_ms());
  if (set[0].revents != 0)
    take_signals();
  if (here.streams.ready() && !here.began) {
    here.begin();
    if (start_)
      s_.way.start(*start_);
  }
  if (std::exchange(resized_, false) && here.began)
    here.resize();
  if (set[1].revents != 0)
    here.read_keys();
  if (here.keys.holds() && here.wait_ms() == 0)
    here.streams.write(here.keys.let_go());
  if (start_ && start_->finished() && !started_)
    started_ = start_->take();
  drop_sent();
}

int foreground::join(const attach_plan& plan) {
  ref_ = plan.ref;
  process_ = plan.process;
  if (plan.start) {
    v1::StartRequest r;
    *r.mutable_ref() = plan.ref;
    r.set_request_id(fresh_request_id());
    start_ = std::make_unique<client::unary<v1::StartReply>>("/gantry.v1.Containers/Start", r);
  }
  v1::WaitRequest until;
  *until.mutable_ref() = plan.ref;
  until.set_process(plan.process);
  until.set_instance(plan.instance);
  until.set_hold(holds_);
  client::unary<v1::WaitReply> exit("/gantry.v1.Containers/Wait", until);
  s_.way.start(exit);
  stay here(s_, plan, out_, err_);
  here.streams.start();
  for (int signal : std::exchange(early_, {}))
    forward(signal);
  const auto goes_on = [&] {
    if (leaving_ != 0 || here.detached || here.refused || (started_ && !*started_))
      return false;
    if (!here.streams.finished() || out_.waiting() + err_.waiting() > 0)
      return true;
    return !here.streams.exit() && here.streams.end() && !exit.finished();
  };
  while (goes_on())
    stay_step(here);
  here.raw.reset();
  const bool ended = here.streams.finished();
  if (const auto closed = here.streams.close(); !closed && !ended)
    say_error({closed.why().code, "the input did not reach the process: " + closed.why().message,
               {}});
  const int code = leave(here, exit);
  s_.way.drop(exit);
  return code;
}

int foreground::leave(stay& here, client::unary<v1::WaitReply>& exit) {
  const auto& plan = here.plan;
  const std::string what =
    plan.process.empty() ? plan.ref.id() : plan.ref.id() + " " + plan.process;
  if (start_ && !started_)
    s_.way.drop(*start_);
  if (started_ && !*started_) {
    v1::RemoveRequest gone; // It never ran: nobody could have a use for it.
    *gone.mutable_ref() = plan.ref;
    gone.set_force(true);
    gone.set_request_id(fresh_request_id());
    (void)ask<v1::RemoveReply>("/gantry.v1.Containers/Remove", gone);
    return failed(started_->why());
  }
  if (here.refused)
    return failed(*here.refused);
  if (here.detached || leaving_ != 0) {
    say_note("left " + what + " running (come back: gantry attach " + what + ")");
    return leaving_ != 0 ? 128 + leaving_ : 0;
  }
  if (here.streams.exit())
    return exit_code_of_exit(*here.streams.exit());
  if (!here.began && !here.streams.end()) // It was refused: what else is known does not matter.
    return failed(here.streams.end().why());
  // Its exit may be known although it went away under our hands.
  while (!exit.finished() && leaving_ == 0)
    step(-1, nullptr);
  if (exit.finished()) {
    if (auto reply = exit.take())
      return exit_code_of_exit(reply->exit());
  }
  return failed(here.streams.end() ? error{ec::unknown_outcome, "the exit of " + what
                                             + " cannot be determined", {}}
                                   : here.streams.end().why());
}

int attach_command(session& s) {
  attach_plan plan;
  plan.ref = s.ref(s.opt.ids.front());
  plan.process = s.opt.process;
  plan.input = !s.opt.no_stdin;
  plan.replay = s.opt.replay;
  plan.keys = s.opt.detach_keys;
  signal_inbox signals(true);
  foreground front(s, signals);
  return front.join(plan);
}

} // namespace gantry::cli
