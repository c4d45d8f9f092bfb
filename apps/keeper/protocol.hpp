#pragma once

#include <cstddef>
#include <span>

#include "io/keeper_socket.hpp"

/// The keeper: holds what must outlive gantryd, reaps its orphans, starts it again. It knows
/// nothing of containers. No allocation after start, no exceptions, one thread.
namespace gantry::keeper {

namespace wire = io::keeper_wire;

/// What a packet asks for, or why it is refused.
struct verdict {
  bool ok = false;
  wire::refusal why = wire::refusal::malformed; ///< When not ok.
  wire::message what;                           ///< When ok; the key also for `fds_lost`.
};

/// Judges a packet from gantryd. Pure: it looks only at `size`, `cut`, `count` and `what`,
/// of which no more than `size` bytes have arrived.
verdict judge(const io::keeper_packet& packet) noexcept;

/// Judges a packet that came by the control socket: `start` or `signal`. Pure.
verdict judge_control(const io::keeper_packet& packet) noexcept;

/// A program to run: pointers into memory of somebody else.
struct program {
  const char* path = nullptr;
  const char* directory = nullptr; ///< nullptr: where the keeper is.
  char* arguments[wire::max_arguments + 1] = {};
  char* variables[wire::max_variables + 2] = {}; ///< One is added for the child.
};

/// Takes the strings of a `start` apart; false if they do not fit together. The variable
/// that names a keeper is left out. Pure; `out` points into `strings`.
bool take_apart(const wire::message& start, std::span<char> strings, program& out) noexcept;

/// Copies an environment, without the variable that names a keeper; false if it is too large.
bool copy_variables(char* const* from, program& out) noexcept;

} // namespace gantry::keeper
