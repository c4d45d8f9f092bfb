#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "messages/result.hpp"
#include "runtime/health_policy.hpp"

namespace gantry::runtime {

/// What is said on a connection to learn whether somebody works, and what the answer means: no
/// input and no output of its own, bounded memory.
class probe_talk {
public:
  enum class state : uint8_t { more, passed, failed };

  virtual ~probe_talk() = default;

  /// What is to be sent now; empty: nothing, before something has come.
  virtual std::string output() = 0;

  /// Takes the next bytes. Not after a verdict.
  virtual state feed(std::string_view bytes) = 0;

  /// The peer has ended the connection, without a verdict so far.
  virtual state end() = 0;

  /// With a verdict: what it answered, or why that was no answer. Perhaps no valid UTF-8.
  [[nodiscard]] virtual std::string text() const = 0;

  /// Without a verdict: what has to come next, for people.
  [[nodiscard]] virtual std::string_view waits_for() const { return "an answer"; }
};

/// @returns null where a connection is all that is asked for; an error where we cannot speak so.
result<std::unique_ptr<probe_talk>> talk_of(const probe_question& q);

} // namespace gantry::runtime
