#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/gantry/attached.hpp"
#include "apps/gantry/log_copy.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/sink.hpp"
#include "apps/gantry/stdin_copy.hpp"

namespace gantry::cli {

/// Signals that go to the container instead of us. From construction on they are only
/// taken in; nothing that arrives is forgotten.
class signal_inbox {
public:
  /// @param terminal Also those that tell of our terminal: its size, and that we go on.
  explicit signal_inbox(bool terminal = false);
  ~signal_inbox();
  signal_inbox(const signal_inbox&) = delete;
  signal_inbox& operator=(const signal_inbox&) = delete;

  [[nodiscard]] pollfd want() const noexcept { return {fd_, POLLIN, 0}; }

  /// The next one that has come, or 0.
  int take();

private:
  int fd_;
};

/// A process in the foreground: its output is ours, our input and signals are its own, and
/// it ends when all its output is printed and its exit is known.
class foreground {
public:
  foreground(session& s, signal_inbox& signals);
  ~foreground();

  /// Asks and waits; a third SIGINT or SIGTERM meanwhile gives up.
  template <class Reply>
  result<Reply> ask(const char* method, const google::protobuf::MessageLite& request) {
    client::unary<Reply> c(method, request);
    s_.way.start(c);
    while (!c.finished() && leaving_ == 0)
      step(-1, nullptr);
    if (c.finished())
      return c.take();
    s_.way.drop(c);
    return error{ec::cancelled, "interrupted; what was asked for may still be done", {}};
  }

  /// From now on the process that is followed is held: see `on_disconnect` of its spec.
  void hold() noexcept { holds_ = true; }

  /// Follows the process to its end.
  /// @returns The program's exit code.
  int follow(const v1::Ref& ref, const std::string& process, uint64_t instance, bool with_stdin);

  /// The same for a container that is created and not started: it is started once its log
  /// has a reader, so that one that removes itself takes no output with it.
  int start_and_follow(const v1::Ref& ref, uint64_t instance, bool with_stdin);

  /// Joins the process's streams; with a terminal, it is as if it ran in ours. Ends with the
  /// process, or when the detach keys are typed.
  /// @returns The program's exit code.
  int join(const attach_plan& plan);

private:
  struct stay;

  void stay_step(stay& here);
  int leave(stay& here, client::unary<v1::WaitReply>& exit);
  void step(int timeout_ms, stdin_copy* input);
  void take_signals();
  void forward(int signal);
  void drop_sent();

  session& s_;
  signal_inbox& signals_;
  sink out_;
  sink err_;
  std::optional<v1::Ref> ref_; ///< Known once it runs; signals wait for that.
  std::string process_;
  std::vector<int> early_;
  std::vector<std::unique_ptr<client::unary<v1::KillReply>>> sent_;
  std::unique_ptr<client::unary<v1::StartReply>> start_; ///< To be sent behind the readers.
  std::optional<result<v1::StartReply>> started_; ///< Its answer.
  bool resized_ = false; ///< Our terminal may have another size.
  bool holds_ = false;
  int interrupts_ = 0;
  int leaving_ = 0; ///< The signal that made us give up.
};

} // namespace gantry::cli
