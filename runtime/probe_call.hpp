#pragma once

#include <functional>
#include <memory>

#include "io/loop.hpp"
#include "runtime/health_policy.hpp"
#include "runtime/permits.hpp"

namespace gantry::runtime {

/// Whom a probe asks: the init of a container.
struct probe_target {
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  int pidfd = -1; ///< Used before the constructor of `probe_call` returns.
};

/// Probes that look at paths, in all containers: each may hang in a worker of the ring, of which
/// there are four for everybody's files.
inline constexpr size_t max_path_probes = 2;

/// One run of a probe that needs no process: it connects in the container's network namespace, or
/// looks at a path beneath its root, and speaks through the loop's ring alone. On the loop's
/// thread.
class probe_call {
public:
  /// The result, or why it could not be asked (which says nothing about the container).
  using done = std::function<void(result<probe_result>)>;

  /// @param paths Of `max_path_probes`, shared by all.
  /// @param what Not of the kind exec, checked.
  /// @param f Called once, from a turn of the loop, within the probe's timeout, which begins when
  ///          the probe can run. Not after the destructor.
  probe_call(io::loop& l, std::shared_ptr<permits> paths, const probe& what, uint32_t output_bytes,
             const probe_target& whom, done f);

  /// What is still in the kernel is cancelled, and goes by itself.
  ~probe_call();
  probe_call(const probe_call&) = delete;
  probe_call& operator=(const probe_call&) = delete;

  /// No call of `f` will come any more.
  void abandon();

  /// Its time is over, and it still holds a worker of the ring.
  [[nodiscard]] bool hangs() const;

private:
  struct body;
  std::weak_ptr<body> body_;
};

} // namespace gantry::runtime
