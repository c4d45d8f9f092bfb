#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::client {

/// What the owner of a bundle hears, from inside `channel::step`.
struct io_events {
  /// The streams are there; after a lost connection they are there once more.
  std::function<void()> ready;
  /// Bytes of stdout (1) or stderr (2); each comes once, in its order.
  std::function<void(uint32_t stream, std::string bytes)> output;
  /// Output that will not come: left out, or rotated away.
  std::function<void(const v1::AttachGap& gap)> gap;
  /// Every reply, for who wants them whole: behind what it means for the bundle, and instead of
  /// `output` and `gap`.
  std::function<void(v1::AttachReply reply)> reply;
  /// The end of the call.
  std::function<void(const result<void>& how)> end;
};

/// The three streams of one process: stdin, stdout and stderr; with a terminal, stdout is all
/// its output. A call of `Processes.Attach` that goes on after a lost connection: output behind
/// the last byte that came, input behind the last byte that was taken. One thread: that of the
/// channel, which outlives it.
class io_bundle final : public call {
public:
  io_bundle(channel& way, v1::AttachOpen open, io_events on);

  /// Begins, with the channel's next step.
  void start() { way_.start(*this); }

  /// Input, behind what was written before. Ignored once stdin is at its end.
  void write(std::string_view bytes);
  /// The end of the input: of our side, and of the process's stdin where that was asked for.
  void close_stdin();
  /// The size of its terminal; said again to a supervisor that was restarted.
  void resize(const v1::TerminalSize& size);

  /// Closes all that is open. A stream that there is not, or that is closed, is no error.
  /// @returns the first error that any of the three had.
  result<void> close();

  [[nodiscard]] bool ready() const noexcept { return known_.has_value(); }
  /// What the first answer said; after `ready`.
  [[nodiscard]] const v1::AttachOpened& process() const { return *known_; }
  /// It has a terminal: there is no stderr of its own. After `ready`.
  [[nodiscard]] bool terminal() const { return known_->terminal(); }
  /// The process keeps up with the input.
  [[nodiscard]] bool wants_input() const noexcept;
  [[nodiscard]] bool finished() const noexcept { return end_.has_value(); }
  /// Only after `finished`.
  [[nodiscard]] const result<void>& end() const { return *end_; }
  [[nodiscard]] const std::optional<v1::Exit>& exit() const noexcept { return exit_; }

  // call
  [[nodiscard]] std::string request() const override;
  [[nodiscard]] bool talks() const noexcept override { return true; }
  void message(std::string_view bytes) override;
  void done(result<void> how) override;

private:
  void take_note(v1::AttachReply& reply);
  void begin(const v1::AttachOpened& opened);
  void taken_to(uint64_t offset);
  void put(v1::AttachOutput& output);
  void end_input(const v1::AttachInputEnd& why);
  void send_input(std::string_view bytes);

  channel& way_;
  v1::AttachOpen open_;
  io_events on_;
  mutable bool linked_ = false; ///< The connection has answered: what is said is heard.
  std::optional<v1::AttachOpened> known_;
  std::optional<v1::Exit> exit_;
  std::optional<result<void>> end_;
  std::optional<v1::TerminalSize> size_;
  std::array<std::optional<error>, 3> faults_; ///< By stream.
  std::string untaken_;      ///< Written, and not known to be taken.
  uint64_t taken_ = 0;       ///< Where `untaken_` begins in the whole input.
  bool input_ended_ = false; ///< By us.
  bool input_over_ = false;  ///< The process takes no more.
};

} // namespace gantry::client
