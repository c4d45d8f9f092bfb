#pragma once

#include <array>

#include "io/kernel.hpp"
#include "io/log_state.hpp"
#include "io/shelf.hpp"

namespace gantry::io {

/// The pipe through which every batch of a container's output goes on its way into the arena.
/// It lies on the keeper's shelf and is empty between batches. A splice takes bytes out of the
/// container's pipe and puts the same ones in here, in one step; a read takes them out of here
/// into the arena. Nobody else uses it, so what it still holds after a crash tells exactly how
/// far a batch had come, whatever the container does to its own pipe.
///
/// One for each arena. Loop's thread only.
class stage {
public:
  /// The pipe that an earlier life put on the shelf. Finishes the batch that was under way and
  /// empties the pipe: before any pump is made.
  void take(kernel& k, const arena& a, std::array<fd, 2> ends);

  /// Makes the pipe and puts it on the shelf, unless it is there already.
  /// @returns an error without descriptors or memory: try again later.
  result<void> open(kernel& k, shelf& keeper);

  /// Carries out the batch that `log` intends: moves its bytes from the pipe `from` into the
  /// arena and makes it true. The log has no batch afterwards.
  /// @returns how many bytes came; fewer than intended, or none, where others read that pipe, or
  ///          packets are in it.
  uint32_t move(const arena& a, log_state& log, int from);

  /// Throws away at most `bytes` of what the pipe `from` holds and counts them as dropped from
  /// `log`, exactly. If the last of them does not end a line, the rest of its line is to be
  /// skipped (`log_position::skip`).
  /// @param lines False for a log without lines: nothing is skipped.
  void discard(log_state& log, size_t stream, int from, uint32_t bytes, bool lines);

  /// Whether an empty pipe has no writer any more. (A read would tell, too, but could take a
  /// byte that came in this moment.)
  bool at_end(int from);

private:
  void finish_batches(const arena& a);
  void settle(const arena& a, log_state& log);
  bool bring_in(const arena& a, log_state& log, uint32_t left);
  char empty();
  void finish_discard(log_state& log, bool lines, uint32_t moved);

  kernel* kernel_ = nullptr;
  std::array<fd, 2> ends_;
};

} // namespace gantry::io
