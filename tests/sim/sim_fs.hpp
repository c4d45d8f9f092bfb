#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace gantry::sim {

/// A file or directory of the simulated disk.
struct node {
  bool dir = false;
  mode_t mode = 0644;
  std::chrono::nanoseconds changed{0}; ///< As a test has set it.
  std::string bytes;
  std::map<std::string, std::shared_ptr<node>, std::less<>> children;
};
using node_ptr = std::shared_ptr<node>;

/// The regular file systems of the simulated host (disk and tmpfs alike): a tree in memory
/// that survives the death of a supervisor. Paths are absolute; every call that returns int
/// answers 0 or a negated errno.
class file_tree {
public:
  file_tree();

  /// The node of a path, or null with the reason in `why`.
  node_ptr find(std::string_view path, int& why) const;
  [[nodiscard]] bool exists(std::string_view path) const;

  /// Opens as open(2) does: O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY are heeded.
  int open(std::string_view path, int flags, mode_t mode, node_ptr& out);
  int mkdir(std::string_view path, mode_t mode);
  int mkdirs(std::string_view path); ///< With its parents; what exists is fine.
  int unlink(std::string_view path);
  int rmdir(std::string_view path);
  int rename(std::string_view from, std::string_view to);
  int list(std::string_view path, std::vector<std::string>& out) const;

  /// Whole files, for those who live on the machine (no faults).
  int put(std::string_view path, std::string bytes, mode_t mode = 0644);
  [[nodiscard]] std::string get(std::string_view path) const; ///< Empty if there is none.
  int remove_all(std::string_view path);
  /// Every path below `path`, files and directories.
  [[nodiscard]] std::vector<std::string> walk(std::string_view path) const;

  /// Writes into a file as pwrite(2) does; -ENOSPC when the disk is full.
  ssize_t write_at(node& n, std::string_view bytes, uint64_t offset);
  int truncate(node& n, uint64_t size);

  uint64_t capacity = UINT64_MAX; ///< Bytes of regular files that fit.
  [[nodiscard]] uint64_t used() const noexcept { return used_; }

private:
  /// The directory that holds the last part of a path, and that part.
  node_ptr parent(std::string_view path, std::string& name, int& why) const;

  node_ptr root_;
  uint64_t used_ = 0;
};

/// A path without `.`, `..`, double and trailing slashes.
std::string normal_path(std::string_view path);

} // namespace gantry::sim
