#pragma once

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <poll.h>
#include <random>
#include <sys/syscall.h>

#include "io/log_state.hpp"
#include "tests/io/pump_rig.hpp"
#include "tests/slower.hpp"

namespace gantry::io::testing {

/// How a writer writes.
enum class manner : uint8_t {
  blocks, ///< 64 KiB of numbered lines in one write.
  lines,  ///< One write for each line, of random length; some are very long.
  tiny,   ///< 1 to 20 bytes, sometimes a newline.
  binary, ///< Anything, 1 to 5,000 bytes.
};

/// What a writer writes: the same again for the same seed.
class source {
public:
  source(manner how, uint32_t seed) : how_(how), random_(seed) {}

  /// The bytes of the next write.
  std::string next() {
    switch (how_) {
    case manner::blocks:
      return block();
    case manner::lines:
      return line();
    case manner::tiny:
      return text(below(20) + 1, "abcdefghijklmnopqrstuvwxyz\n\"\\\t");
    case manner::binary:
      break;
    }
    std::string out(below(5000) + 1, '\0');
    for (char& c : out)
      c = static_cast<char>(random_());
    return out;
  }

private:
  size_t below(size_t n) { return random_() % n; }

  std::string text(size_t size, std::string_view letters) {
    std::string out(size, ' ');
    for (char& c : out)
      c = letters[below(letters.size())];
    return out;
  }

  std::string block() {
    std::string out;
    while (out.size() < 65536) {
      std::string one = std::to_string(count_++) + " ";
      one.resize(99, 'x');
      out += one + "\n";
    }
    return out;
  }

  std::string line() {
    const size_t size = below(40) == 0 ? below(200'000) : below(300);
    std::string out = std::to_string(count_++) + " ";
    out.resize(out.size() + size, 'y');
    return out + "\n";
  }

  manner how_;
  std::mt19937 random_;
  uint64_t count_ = 0;
};

/// Compares a stream with what its source gives, piece by piece.
class checker {
public:
  explicit checker(source from) : from_(std::move(from)) {}

  /// @returns false once something differed.
  bool take(std::string_view piece) {
    while (buffer_.size() - at_ < piece.size()) {
      buffer_.erase(0, at_);
      at_ = 0;
      buffer_ += from_.next();
    }
    good_ &= std::string_view(buffer_).substr(at_, piece.size()) == piece;
    at_ += piece.size();
    bytes_ += piece.size();
    return good_;
  }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

private:
  source from_;
  std::string buffer_;
  size_t at_ = 0;
  uint64_t bytes_ = 0;
  bool good_ = true;
};

/// What the processes of a test tell each other.
struct board {
  std::atomic<uint64_t> written[8]; ///< Bytes that a writer has put into its pipe.
  std::atomic<uint32_t> drained[8]; ///< A log came to its end, everything is in it.
  log_totals totals[8];             ///< Of it, at that time.
};

template <class T>
T* share_pages() {
  void* where =
    ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED)
    throw std::runtime_error("no shared memory");
  return new (where) T();
}

/// A child that inherits no half-printed output.
inline pid_t fork_clean() {
  std::cout.flush();
  std::fflush(nullptr);
  return ::fork();
}

/// Waits for a child, at most so many (scaled) seconds. @returns its wait status, -1 when it took
/// longer (it is killed then).
inline int wait_child(pid_t pid, int seconds = 60) {
  const int handle = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  pollfd ended{handle, POLLIN, 0};
  const auto limit = tests::scaled(std::chrono::milliseconds(seconds * 1000));
  const bool late = ::poll(&ended, 1, static_cast<int>(limit.count())) == 0;
  ::close(handle);
  if (late)
    ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return late ? -1 : status;
}

/// One log in the process that will be killed.
struct child_log {
  uint64_t serial = 0;
  std::string dir;
  log_format format = log_format::json_file;
  std::array<int, 2> in{}; ///< Read ends that the parent holds: the child's are copies.
};

/// The stage's pipe, held by the parent.
struct shelved_stage {
  shelved_stage() {
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
      throw std::runtime_error("no pipe");
  }
  ~shelved_stage() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  shelved_stage(const shelved_stage&) = delete;
  shelved_stage& operator=(const shelved_stage&) = delete;
  std::array<int, 2> ends{};
};

/// What gantryd does: takes up the logs where they stand; with `to_end`, drains and
/// finishes them. Never comes back.
[[noreturn]] inline void supervise(arena memory, const shelved_stage& way,
                                   const std::vector<child_log>& logs, board& news,
                                   log_policy policy, loop_policy turns, bool to_end) {
  auto made = linux_kernel::make();
  if (!made)
    ::_exit(3);
  arena_shelf keeper(memory);
  loop the_loop(**made, turns);
  block_pool pool(memory);
  pool.the_stage().take(**made, memory,
                        {fd(**made, ::fcntl(way.ends[0], F_DUPFD_CLOEXEC, 0)),
                         fd(**made, ::fcntl(way.ends[1], F_DUPFD_CLOEXEC, 0))});
  std::vector<std::unique_ptr<pump>> pumps;
  size_t left = 0;
  for (size_t i = 0; i < logs.size(); ++i) {
    const child_log& log = logs[i];
    const auto ends = [&] {
      return std::array<fd, 2>{fd(**made, ::fcntl(log.in[0], F_DUPFD_CLOEXEC, 0)),
                               fd(**made, ::fcntl(log.in[1], F_DUPFD_CLOEXEC, 0))};
    };
    policy.format = log.format;
    pump& p = *pumps.emplace_back(std::make_unique<pump>(the_loop, keeper, pool, policy));
    log_totals there;
    if (totals_in_arena(memory, log.serial, there)) {
      if (!p.resume(log.serial, log.dir, ends(), {}).ok())
        ::_exit(4);
    } else if (news.drained[i].load() != 0) {
      continue; // It was finished before.
    } else if (!p.begin(log.serial, log.dir, ends(), {}).ok()) {
      ::_exit(5);
    }
    if (!to_end)
      continue;
    ++left;
    // A drain says how things are now: the last writer's end may still be to come.
    auto again = std::make_shared<std::function<void(bool)>>();
    *again = [&, i, again](bool io_open) {
      if (io_open)
        return the_loop.post([&, i, again] { pumps[i]->drain(*again); });
      news.totals[i] = pumps[i]->totals();
      news.drained[i].store(1);
      pumps[i]->finish([&left] { --left; });
    };
    p.drain(*again);
  }
  while (!to_end || left != 0)
    the_loop.turn(true);
  ::_exit(pool.used() == 0 ? 0 : 6);
}

} // namespace gantry::io::testing
