#include "apps/gantry/foreground.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <sys/signalfd.h>
#include <unistd.h>

#include "messages/check.hpp"

namespace gantry::cli {

namespace {

/// So many SIGINT or SIGTERM end us, not the container: there must be a way out of one that
/// ignores them.
constexpr int patience = 3;

sigset_t forwarded() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2})
    sigaddset(&set, s);
  return set;
}

} // namespace

signal_inbox::signal_inbox(bool terminal) {
  sigset_t set = forwarded();
  if (terminal) {
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGCONT);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

signal_inbox::~signal_inbox() {
  if (fd_ >= 0)
    ::close(fd_);
}

int signal_inbox::take() {
  signalfd_siginfo info{};
  if (::read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info))
    return 0;
  return static_cast<int>(info.ssi_signo);
}

foreground::foreground(session& s, signal_inbox& signals)
  : s_(s), signals_(signals), out_(STDOUT_FILENO), err_(STDERR_FILENO) {}

foreground::~foreground() {
  for (auto& c : sent_)
    s_.way.drop(*c);
}

void foreground::step(int timeout_ms, stdin_copy* input) {
  std::array<pollfd, 2> set{signals_.want(), {-1, 0, 0}};
  if (input) {
    set[1] = input->want();
    const int wait = input->wait_ms();
    timeout_ms = wait < 0 ? timeout_ms : timeout_ms < 0 ? wait : std::min(wait, timeout_ms);
  }
  step_with_outputs(s_.way, out_, err_, set, timeout_ms);
  if (set[0].revents != 0)
    take_signals();
  if (input)
    input->turn(set[1].revents != 0);
  drop_sent();
}

void foreground::take_signals() {
  while (const int signal = signals_.take()) {
    if (signal == SIGWINCH || signal == SIGCONT)
      resized_ = true;
    else if ((signal == SIGINT || signal == SIGTERM) && ++interrupts_ >= patience)
      leaving_ = signal;
    else if (ref_)
      forward(signal);
    else
      early_.push_back(signal);
  }
}

void foreground::forward(int signal) {
  v1::KillRequest r;
  *r.mutable_ref() = *ref_;
  r.set_process(process_);
  r.set_signal(std::to_string(signal));
  r.set_request_id(fresh_request_id());
  sent_.push_back(std::make_unique<client::unary<v1::KillReply>>("/gantry.v1.Containers/Kill", r));
  s_.way.start(*sent_.back());
}

void foreground::drop_sent() {
  // A signal that comes too late has found what it wanted: an end. Other faults are said.
  std::erase_if(sent_, [](auto& c) {
    if (!c->finished())
      return false;
    const auto reply = c->take();
    if (!reply && reply.why().code != ec::not_found && reply.why().code != ec::wrong_state)
      say_error(reply.why());
    return true;
  });
}

int foreground::start_and_follow(const v1::Ref& ref, uint64_t instance, bool with_stdin) {
  v1::StartRequest r;
  *r.mutable_ref() = ref;
  r.set_request_id(fresh_request_id());
  start_ = std::make_unique<client::unary<v1::StartReply>>("/gantry.v1.Containers/Start", r);
  const int code = follow(ref, "", instance, with_stdin);
  if (!started_)
    s_.way.drop(*start_);
  if (!started_ || *started_)
    return code;
  v1::RemoveRequest gone; // It goes by itself; here we wait for that.
  *gone.mutable_ref() = ref;
  gone.set_force(true);
  gone.set_request_id(fresh_request_id());
  (void)ask<v1::RemoveReply>("/gantry.v1.Containers/Remove", gone);
  return failed(started_->why());
}

int foreground::follow(const v1::Ref& ref, const std::string& process, uint64_t instance,
                       bool with_stdin) {
  ref_ = ref;
  process_ = process;
  v1::ReadLogRequest read;
  *read.mutable_ref() = ref;
  read.set_process(process);
  read.set_instance(instance);
  read.set_follow(true);
  log_copy log(read, {}, out_, err_);
  s_.way.start(log);
  v1::WaitRequest until;
  *until.mutable_ref() = ref;
  until.set_process(process);
  until.set_instance(instance);
  until.set_hold(holds_);
  client::unary<v1::WaitReply> exit("/gantry.v1.Containers/Wait", until);
  s_.way.start(exit);
  if (start_)
    s_.way.start(*start_);
  for (int signal : std::exchange(early_, {}))
    forward(signal);
  std::optional<stdin_copy> input;
  if (with_stdin)
    input.emplace(s_.way, ref, process);
  while (leaving_ == 0 &&
         (!exit.finished() || !log.finished() || out_.waiting() > 0 || err_.waiting() > 0)) {
    step(-1, input ? &*input : nullptr);
    if (start_ && start_->finished() && !started_)
      started_ = start_->take();
    if (started_ && !*started_) {
      s_.way.drop(log);
      s_.way.drop(exit);
      return 125; // There is nothing to follow.
    }
  }
  if (leaving_ != 0) {
    s_.way.drop(log);
    s_.way.drop(exit);
    const std::string what = process.empty() ? ref.id() : process + " of " + ref.id();
    const std::string cure = process.empty() ? "stop " : "kill -p " + process + " ";
    say_note("left " + what + " running (end it: gantry " + cure + ref.id() + ")");
    return 128 + leaving_;
  }
  if (!log.end() && !(exit.finished() && log.end().why().code == ec::unavailable))
    say_error({log.end().why().code, "output may be missing: " + log.end().why().message, {}});
  auto reply = exit.take();
  if (!reply)
    return failed(reply.why());
  if (reply->exit().status_unknown())
    say_error({ec::unknown_outcome, "the exit status of " + ref.id() + " cannot be determined",
               "see: gantry events --since 0 --filter container=" + ref.id()});
  return exit_code_of_exit(reply->exit());
}

} // namespace gantry::cli
