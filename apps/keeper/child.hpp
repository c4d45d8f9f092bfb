#pragma once

#include <initializer_list>
#include <sys/resource.h>
#include <sys/types.h>

#include "apps/keeper/protocol.hpp"

namespace gantry::keeper {

/// Writes one line to stderr, in one write.
void say(std::initializer_list<const char*> parts) noexcept;

/// Gives every signal its default disposition, those that the C library keeps for itself
/// too: a SIGCHLD or a signal 33 ignored by whoever started us must not be handed on.
void default_dispositions() noexcept;

/// What a gantryd gets from us besides its program.
struct belongings {
  int socket, arena, news;
  rlimit files; ///< The limit of open files that the keeper itself was started with.
};

/// Starts the program with default dispositions, an empty mask and no other descriptors
/// than 0, 1, 2 and the three at their fixed numbers. If it cannot be executed the child
/// says so and ends with 127 (not found) or 126.
/// @returns the pid, or -1 with errno.
pid_t start_program(program& what, const belongings& with) noexcept;

} // namespace gantry::keeper
