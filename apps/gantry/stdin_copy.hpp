#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <poll.h>

#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::cli {

/// Copies our stdin to a process's, piece by piece with offsets, so that a repeat after a
/// lost connection writes nothing twice; closes it at the end of the input.
class stdin_copy {
public:
  stdin_copy(client::channel& way, v1::Ref ref, std::string process);
  ~stdin_copy();

  /// For poll: our stdin while more of it is wanted.
  [[nodiscard]] pollfd want() const noexcept;

  /// Milliseconds until `turn` has something to do without an event, or -1.
  [[nodiscard]] int wait_ms() const;

  /// Reads if `readable`, takes answers, sends on.
  void turn(bool readable);

private:
  using clock = std::chrono::steady_clock;

  void take_answer();
  void send();
  void close();
  void give_up(const error& why);

  client::channel& way_;
  v1::Ref ref_;
  std::string process_;
  std::string waiting_;           ///< Read, not taken by the process yet.
  uint64_t offset_ = 0;           ///< Of `waiting_` in the whole input.
  bool at_end_ = false;           ///< Of the input.
  bool over_ = false;             ///< Closed, or the process wants no more.
  clock::time_point pause_until_; ///< Its pipe is full: not before.
  std::chrono::milliseconds pause_{0};
  std::unique_ptr<client::unary<v1::WriteStdinReply>> write_;
  std::unique_ptr<client::unary<v1::CloseStdinReply>> close_;
};

} // namespace gantry::cli
