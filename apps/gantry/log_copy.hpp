#pragma once

#include <array>
#include <optional>
#include <string>

#include "apps/gantry/sink.hpp"
#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::cli {

/// How log chunks become output.
struct log_form {
  bool json = false;       ///< Objects, all to stdout.
  bool timestamps = false; ///< In front of every line.
};

/// Copies a process's log to stdout and stderr. After a lost connection it goes on from the
/// last cursor: nothing is printed twice and nothing is left out.
class log_copy final : public client::call {
public:
  log_copy(v1::ReadLogRequest request, log_form form, sink& out, sink& err);

  [[nodiscard]] std::string request() const override;
  void message(std::string_view bytes) override;
  void done(result<void> how) override { end_ = std::move(how); }

  [[nodiscard]] bool finished() const noexcept { return end_.has_value(); }
  [[nodiscard]] const result<void>& end() const { return *end_; }

private:
  void put_plain(v1::LogChunk& chunk);
  void put_gap(uint64_t files);
  void put_notice(const v1::LogChunk& chunk);
  void put_json(const v1::LogChunk& chunk);

  v1::ReadLogRequest request_;
  log_form form_;
  sink& out_;
  sink& err_;
  std::array<bool, 2> at_line_start_{true, true}; ///< Of stdout, of stderr.
  std::optional<result<void>> end_;
};

/// Polls gantryd and the outputs once, beside others, and reads on only while the outputs
/// keep up.
void step_with_outputs(client::channel& way, sink& out, sink& err, std::span<pollfd> others,
                       int timeout_ms = -1);

} // namespace gantry::cli
