#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "apps/keeper/child.hpp"
#include "apps/keeper/dead_table.hpp"
#include "apps/keeper/shelf_table.hpp"

namespace gantry::keeper {

/// Policy of a keeper, plain data.
struct options {
  unsigned max_restarts = 0;     ///< Gives up after so many short lives in a row; 0 never.
  unsigned back_off_ms = 100;    ///< The first pause between two starts.
  const char* control = nullptr; ///< Path of the socket for a `start`; nullptr for none.
  /// The descriptors from 3 on, as many as the note has letters, lie on the shelf from the first
  /// moment on; nullptr: none do.
  const char* shelved_note = nullptr;
  uint64_t shelved_kind = 0; ///< Under this kind, serial 0.
};

/// Milliseconds to wait before the n-th short life in a row is followed by another start:
/// none after the first, then `first`, doubled each time, up to 10 s.
constexpr int64_t pause_ms(unsigned short_lives, unsigned first) noexcept {
  constexpr int64_t longest = 10'000;
  if (short_lives <= 1)
    return 0;
  const auto doubled = int64_t{first} << (short_lives > 16 ? 14 : short_lives - 2);
  return doubled > longest ? longest : doubled;
}

/// One keeper with its gantryd.
class keeper {
public:
  /// @param shelf Empty; a static object, as it is a megabyte.
  explicit constexpr keeper(shelf_table& shelf) noexcept : shelf_(shelf) {}

  /// Makes the arena, the news and the sockets. False after saying why on stderr.
  bool open(const options& how) noexcept;

  /// Starts the program and serves until gantryd has ended for good. One without a path is
  /// none: then it waits for a `start`, and ends if its sender goes without one.
  /// @returns the exit code for this process: gantryd's, or 128 + its signal.
  int run(program& first) noexcept;

private:
  enum class next { start, wait, end }; ///< What follows the end of a gantryd.

  // keeper.cpp: gantryd's life
  bool open_arena() noexcept;
  bool shelve_first() noexcept;
  void start() noexcept;
  void serve() noexcept;
  void take_signals() noexcept;
  void forward(int sig) noexcept;
  void pass_on(int sig) noexcept;
  void reap() noexcept;
  void ended(int status) noexcept;
  [[nodiscard]] next decide(int status) const noexcept;

  // messages.cpp: what comes by the sockets
  bool open_control() noexcept;
  void take_messages() noexcept;
  void obey(const verdict& v, std::span<const int> fds) noexcept;
  void list_on() noexcept;
  void take_launcher() noexcept;
  void take_request() noexcept;
  bool run_request(const wire::message& what, size_t size, std::span<const int> fds) noexcept;
  bool shelve(const wire::message& what, std::span<const int> fds) noexcept;
  void tell_launcher(wire::word what, int value) noexcept;

  shelf_table& shelf_;
  options how_;
  program* program_ = nullptr;
  belongings with_{-1, -1, -1, {}};
  io::arena arena_;
  std::optional<dead_table> dead_;
  int signals_ = -1, listener_ = -1;
  int launcher_ = -1;     ///< A starting gantryd that we run in its stead.
  bool asked_ = false;    ///< It has said what it wants.

  pid_t pid_ = -1; ///< gantryd, -1 while there is none.
  int pidfd_ = -1;
  int socket_ = -1; ///< Our end.
  int64_t started_ms_ = 0;
  int64_t start_at_ms_ = 0; ///< When the next one is started; 0 if none is due.
  unsigned short_lives_ = 0;
  bool ready_ = false, ever_ready_ = false;
  bool served_ = false; ///< One was ready since somebody last asked for a gantryd.
  bool farewell_ = false, stay_ = false;
  int told_to_end_ = 0; ///< The last ending signal that was passed on.
  int owed_ = 0; ///< An ending signal of the launcher, for a gantryd that does not serve yet.
  bool told_to_abort_ = false; ///< SIGABRT was passed on: a new launcher decides what follows.
  bool listing_ = false;
  size_t listed_ = 0;
  bool over_ = false;
  int exit_code_ = 0;
};

} // namespace gantry::keeper
