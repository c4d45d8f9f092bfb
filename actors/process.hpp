#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "actors/fifos.hpp"
#include "actors/stdio.hpp"
#include "io/poll.hpp"
#include "messages/actors.hpp"

namespace gantry::actors {

/// What a process actor is made from.
struct process_setup {
  services* host = nullptr;
  container_actor parent;
  process_names who;
  process_streams streams;
  std::shared_ptr<oom_account> oom;
  bool is_init = false;
  bool stdin_closed = false; ///< Never was any, or CloseStdin came.
  // Of an adopted process:
  io::process_key key;
  bool started = false;
  std::optional<ended> death; ///< It died in an earlier life and is not settled yet.
  bool settled = false; ///< Its exit is told: only its output goes on.
};

/// State of the PROCESS actor: one host process, from its pipes to its settled exit.
class process_state {
public:
  process_actor::stateful_pointer<process_state> self = nullptr;
  process_setup setup;

  static inline const char* name = "process";

  ~process_state();

  /// An adopted process goes on where it was.
  void take_up();

  /// Begins to watch. The death is recorded before the reaper forgets it.
  void made(io::process_key key, bool running);

  /// Init was started: a death that waited for this is settled now.
  void started();

  void on_died(const ended& e);
  void on_drained(bool io_open);

  /// The last writer of its streams has left, after its exit.
  void on_closed();

  /// Lets go of the streams; ends the actor when the pump is at rest.
  void release();
  void on_released();

  caf::result<v1::WriteStdinReply> write_stdin(const v1::WriteStdinRequest& req);
  caf::result<v1::CloseStdinReply> close_stdin(const v1::By& by, const v1::CloseStdinRequest& req);
  caf::result<v1::ResizeReply> resize(const v1::ResizeRequest& req);
  void on_writable();

  caf::result<atom::shutdown> shutdown();

  /// Bytes that came through the FIFO of stdin.
  void on_fed(const std::string& bytes);

private:
  struct pending_write {
    caf::typed_response_promise<v1::WriteStdinReply> promise;
    v1::WriteStdinRequest request;
  };

  /// A wait for room in the pipe; takes the pipe over when the wait must end first.
  struct stdin_wait {
    explicit stdin_wait(io::loop& l) : op(l) {}
    io::fd pipe;
    io::poll_op op;
  };

  void join_fifos();

  /// Tries one write; nothing when the pipe is full.
  std::optional<result<v1::WriteStdinReply>> try_write(const v1::WriteStdinRequest& req);
  void wait_writable();
  void settle(bool io_open);
  void await_close();
  /// Two turns on: in the first the readers of events are given the exit, in the second it is
  /// submitted to their sockets. What the container does about the end of its process (looks
  /// at cgroups, starts the runtime) takes longer than all of that.
  template <class... Ts>
  void tell_parent(Ts... xs);
  [[nodiscard]] v1::Exit make_exit(bool io_open);
  [[nodiscard]] bool settle_oom();
  void put_oom(v1::Exit& x);
  [[nodiscard]] std::string ended_by_checkpoint() const;
  void end_stdin();
  void forget_pump();
  [[nodiscard]] error no_stdin() const;

  io::process_key key_;
  bool started_ = false;
  bool settled_ = false;
  bool drained_ = false;
  bool io_open_ = false;
  bool log_read_ = false; ///< The kernel's log was waited for, where that was necessary.
  bool releasing_ = false;
  bool stopping_ = false; ///< `shutdown` waits for the pump: nothing else counts any more.
  std::optional<caf::typed_response_promise<atom::shutdown>> rest_; ///< `on_released` answers.
  std::optional<ended> death_;
  std::unique_ptr<io::timer> drain_limit_; ///< While the last words are on their way.
  std::shared_ptr<fifo_relay> relay_; ///< Where the client named FIFOs.
  uint64_t stdin_taken_ = 0; ///< Where the log slot is not there to keep it.
  std::deque<pending_write> writes_;
  std::shared_ptr<stdin_wait> writable_;
};

process_actor::behavior_type process(process_actor::stateful_pointer<process_state> self,
                                     std::shared_ptr<process_setup> setup);

} // namespace gantry::actors
