#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/loop.hpp"

namespace gantry::runtime {

/// When a copy of a runtime's program is worth its memory.
struct copy_policy {
  bool wanted = true;
  uint32_t worth_calls = 8; ///< So many calls …
  io::nanoseconds within = std::chrono::seconds(10); ///< … in so short a time.
  io::nanoseconds rest = std::chrono::seconds(60);   ///< Without a call, it is given back.
  io::nanoseconds patience = std::chrono::milliseconds(100); ///< For a look at the file.
  size_t most_bytes = 64u << 20;
};

/// runc and crun protect the host's file from what runs in the container (CVE-2019-5736): at each
/// start they copy their own program into a sealed memfd and start themselves from it. One that
/// was started from such a memfd already has nothing to copy. So where a runtime is called often,
/// it is copied once, and started from there. By `runc exec` of 1.1.5, 8.7 MB: 1.8 of 27 ms and 1
/// of 18 ms of CPU less each (docs/decisions/0021-runtime-copy.md).
///
/// A copy is used only as long as the file at its path is the one that was copied, which each call
/// looks at before; and after a trial, as a host may forbid to run what is in memory
/// (vm.memfd_noexec, a security module). Without a copy everything works as by the path. On the
/// loop's thread.
class runtime_copy {
public:
  /// The path to start now: of the copy, or of the program itself.
  using found = std::function<void(const std::string& path)>;
  /// Runs `path --version`, and tells whether that went well.
  using trial = std::function<void(const std::string& path, std::function<void(bool)>)>;

  /// @param program Its absolute path.
  /// @param dir On a tmpfs: a link of the program's name is made there while there is a copy, so
  ///            that it is called as ever in a list of processes.
  runtime_copy(io::loop& l, std::string program, std::string dir, copy_policy policy, trial t);
  ~runtime_copy(); ///< Nobody is called any more.
  runtime_copy(const runtime_copy&) = delete;
  runtime_copy& operator=(const runtime_copy&) = delete;

  /// @param f Called at once where there is no copy, else from a turn within `patience`. Not
  ///          after the destructor.
  void ask(found f);

private:
  struct body;
  std::shared_ptr<body> body_;
};

/// Whether such a program copies itself: by its name.
bool copies_itself(const std::string& program);

} // namespace gantry::runtime
