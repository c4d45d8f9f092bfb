#pragma once

#include <memory>
#include <optional>
#include <sys/resource.h>
#include <vector>

#include "io/kernel.hpp"

namespace gantry::io {

/// Starts processes without waiting for their exec. A child is cloned into our own memory
/// (CLONE_VM, as vfork does: no page tables are copied) but we go on at once, so everything
/// that it touches before its exec lies in a block that stays untouched until then. The
/// kernel itself tells when: it clears a word of the block as soon as the child has left
/// our memory, by exec or by death (CLONE_CHILD_CLEARTID).
///
/// The child has no thread-local storage of its own, so it uses raw system calls only and
/// touches neither errno nor the heap.
class spawner {
public:
  spawner();
  ~spawner();
  spawner(const spawner&) = delete;
  spawner& operator=(const spawner&) = delete;

  /// See `kernel::spawn`: 0 or a negated errno of clone(2). Cost: some 50 µs, most of it
  /// the kernel's clone; not a function of our size.
  int spawn(const spawn_request& what, child& out);

  /// RLIMIT_NOFILE of every child from now on; without this call, our own.
  void limit_files(const rlimit& files) noexcept { files_ = files; }

  /// Children that have not come to their exec yet.
  [[nodiscard]] size_t before_exec() noexcept;

private:
  struct block;
  std::unique_ptr<block> take_block();
  void sweep() noexcept;

  std::optional<rlimit> files_;
  std::vector<std::unique_ptr<block>> busy_;
  std::vector<std::unique_ptr<block>> idle_; ///< A few, to be used again.
};

} // namespace gantry::io
