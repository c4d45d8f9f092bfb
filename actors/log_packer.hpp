#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/loop.hpp"

namespace gantry::actors {

/// Packs the complete files of logs, one after the other, each in a child of low priority: not on
/// the loop. What a crash interrupts is begun again when its log is adopted; what a removal takes
/// away meanwhile is nobody's loss.
class log_packer {
public:
  /// @param program What packs the file that is its last argument; empty: nothing is packed.
  log_packer(io::loop& l, std::vector<std::string> program);
  ~log_packer();
  log_packer(log_packer&&) noexcept;
  log_packer& operator=(log_packer&&) noexcept;

  /// Packs what is not packed yet of the log in `dir`, up to the file before `current`.
  void pack(const std::string& dir, uint64_t current);

  /// Nothing in `dir` is to be packed any more: it is about to be removed.
  void forget(const std::string& dir);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace gantry::actors
