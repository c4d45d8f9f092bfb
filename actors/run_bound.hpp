#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "runtime/world.hpp"

namespace gantry::actors {

/// Where a run's part of a log ends that the next run goes on with: for a reader of this run.
/// Each change of the run must be looked at, which its log's readers are told of.
class run_bound {
public:
  explicit run_bound(uint32_t run) : run_(std::max(run, 1u)) {}

  /// Whether the run is not the container's present one any more.
  [[nodiscard]] bool over(const runtime::container_view& c) const noexcept {
    return std::max(c.run, 1u) != run_;
  }
  void look(const runtime::container_view& c) noexcept {
    if (!last_file_ && over(c))
      last_file_ = c.earlier_log_files;
  }
  /// Whether this file of the log is a later run's.
  [[nodiscard]] bool beyond(uint64_t file) const noexcept {
    return last_file_ && file > *last_file_;
  }

private:
  uint32_t run_;
  std::optional<uint64_t> last_file_; ///< Of the run; absent while it is the present one.
};

} // namespace gantry::actors
