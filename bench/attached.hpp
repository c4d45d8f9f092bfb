#pragma once

#include <utility>
#include <vector>

#include "bench/session.hpp"

namespace gantry::bench {

/// Processes that are attached to a container: they take what they can.
class followers {
public:
  /// Returns when all of them are attached.
  /// @param bytes What the container will write to stdout, for their check.
  followers(const std::string& socket, const std::string& id, int count, uint64_t bytes);

  /// Waits for their end. @returns bytes that they got, and that they were told were left out.
  std::pair<uint64_t, uint64_t> end();

private:
  struct one {
    int pid;
    int news;
  };
  std::vector<one> all_;
};

} // namespace gantry::bench
