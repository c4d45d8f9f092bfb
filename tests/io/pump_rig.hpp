#pragma once

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/json_log.hpp"
#include "io/linux_kernel.hpp"
#include "io/pump.hpp"
#include "io/raw_log.hpp"
#include "tests/slower.hpp"

namespace gantry::io::testing {

/// An arena in a memfd: a child that maps the same memfd shares it, as gantryd does with
/// the keeper's.
class shared_arena {
public:
  explicit shared_arena(const arena_shape& shape) : bytes_(arena::size_for(shape)) {
    file_ = ::memfd_create("arena", MFD_CLOEXEC);
    if (file_ < 0 || ::ftruncate(file_, static_cast<off_t>(bytes_)) != 0)
      throw std::runtime_error("no memfd");
    void* where = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (where == MAP_FAILED)
      throw std::runtime_error("no mapping of the memfd");
    memory_ = {static_cast<std::byte*>(where), bytes_};
    arena::make(memory_, shape, "00000000-0000-0000-0000-000000000000");
  }
  ~shared_arena() {
    ::munmap(memory_.data(), bytes_);
    ::close(file_);
  }
  shared_arena(const shared_arena&) = delete;
  shared_arena& operator=(const shared_arena&) = delete;

  [[nodiscard]] arena view() const { return arena::open(memory_); }
  /// Bytes of memory that the arena takes now.
  [[nodiscard]] uint64_t resident() const {
    struct stat now {};
    ::fstat(file_, &now);
    return static_cast<uint64_t>(now.st_blocks) * 512;
  }

private:
  size_t bytes_;
  int file_ = -1;
  std::span<std::byte> memory_;
};

/// A shelf that only knows the arena.
class arena_shelf final : public shelf {
public:
  explicit arena_shelf(arena a) : arena_(a) {}
  result<void> put(const shelf_key&, const shelf_note&, std::span<const int>) override {
    return {};
  }
  result<void> drop(const shelf_key&) override { return {}; }
  result<std::vector<shelf_entry>> list() override { return std::vector<shelf_entry>{}; }
  [[nodiscard]] int news_fd() const noexcept override { return -1; }
  void freed() noexcept override {}
  void farewell() noexcept override {}
  [[nodiscard]] bool alive() const noexcept override { return true; }
  void on_lost(std::function<void()>) override {}
  [[nodiscard]] arena memory() const noexcept override { return arena_; }

private:
  arena arena_;
};

/// A directory of its own that goes away.
class scratch_dir {
public:
  scratch_dir() {
    std::string name = (std::filesystem::temp_directory_path() / "gantry-pump-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~scratch_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_dir(const scratch_dir&) = delete;
  scratch_dir& operator=(const scratch_dir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

/// Everything that the files of a log hold.
struct log_content {
  std::string bytes[2];
  size_t records = 0;
  std::string damage; ///< The first thing that is no record.
};

inline std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A raw log with its index, the simple way.
inline log_content read_raw_log(const std::string& dir) {
  log_content out;
  for (uint64_t seq = 1; std::filesystem::exists(log_file_path(dir, seq)); ++seq) {
    const std::string data = file_text(log_file_path(dir, seq));
    const std::string index = file_text(log_index_path(dir, seq));
    uint64_t at = 0;
    for (size_t i = 0; i + raw_entry_bytes <= index.size(); i += raw_entry_bytes) {
      const raw_entry x = read_raw_entry(index.data() + i);
      if (x.end <= at || x.end > data.size() || x.time_ns == 0)
        out.damage = log_index_path(dir, seq) + " at " + std::to_string(i);
      out.bytes[x.stream] += data.substr(at, x.end - at);
      at = x.end;
      ++out.records;
    }
    if (at != data.size() || index.size() % raw_entry_bytes != 0)
      out.damage = log_file_path(dir, seq) + " is longer than its index says";
  }
  return out;
}

/// Reads the log the simple way: not with the log_reader.
inline log_content read_log(const std::string& dir, log_format format = log_format::json_file) {
  if (format == log_format::raw)
    return read_raw_log(dir);
  log_content out;
  for (uint64_t seq = 1; std::filesystem::exists(log_file_path(dir, seq)); ++seq) {
    std::ifstream file(log_file_path(dir, seq), std::ios::binary);
    std::string line;
    while (std::getline(file, line)) {
      if (line.empty())
        continue;
      log_piece piece;
      if (file.eof() || !parse_record(format, line, piece)) {
        if (out.damage.empty())
          out.damage = log_file_path(dir, seq) + ": " + line.substr(0, 200);
        continue;
      }
      ++out.records;
      out.bytes[piece.stream - 1] += piece.bytes;
    }
  }
  return out;
}

/// A small arena shape for tests.
inline arena_shape small_shape() {
  arena_shape shape;
  shape.dead_entries = 16;
  shape.log_slots = 16;
  shape.journal_bytes = 1u << 16;
  shape.small_blocks = 16;
  shape.large_blocks = 4;
  return shape;
}

/// The world of one pump on the real kernel.
struct pump_rig {
  explicit pump_rig(const arena_shape& shape = small_shape(), loop_policy policy = {})
    : memory(shape), keeper(memory.view()), kernel(make_kernel()), the_loop(*kernel, policy),
      pool(memory.view()) {}

  static std::unique_ptr<linux_kernel> make_kernel() {
    auto made = linux_kernel::make();
    if (!made)
      throw std::runtime_error(made.why().text());
    return std::move(*made);
  }

  /// Read end for the pump; the write end goes into `writer[s]`.
  fd pipe(size_t s) {
    int ends[2];
    if (kernel->pipe(ends, 0) < 0)
      throw std::runtime_error("no pipe");
    writer[s] = fd(*kernel, ends[1]);
    return fd(*kernel, ends[0]);
  }

  std::array<fd, 2> pipes() { return {pipe(0), pipe(1)}; }

  /// Turns the loop until `f` is true; false when that took too long.
  bool until(const std::function<bool()>& f,
             std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto by = std::chrono::steady_clock::now() + tests::scaled(limit);
    timer tick(the_loop); // So that a waiting turn comes back and sees the deadline.
    while (!f()) {
      if (std::chrono::steady_clock::now() > by)
        return false;
      tick.start(std::chrono::milliseconds(20), [] {});
      the_loop.turn(true);
    }
    return true;
  }

  /// Writes all of it, turning the loop while the pipe is full.
  void write(size_t s, std::string_view bytes) {
    ::fcntl(writer[s].get(), F_SETFL, O_NONBLOCK);
    while (!bytes.empty()) {
      const ssize_t n = ::write(writer[s].get(), bytes.data(), bytes.size());
      if (n > 0)
        bytes.remove_prefix(static_cast<size_t>(n));
      else
        the_loop.turn(false);
    }
  }

  /// Drains; the answer is whether a stream is still open.
  bool drain(pump& p) {
    bool done = false, open = false;
    p.drain([&done, &open](bool io_open) {
      done = true;
      open = io_open;
    });
    if (!until([&done] { return done; }))
      throw std::runtime_error("the drain does not end");
    return open;
  }

  void finish(pump& p) {
    bool done = false;
    p.finish([&done] { done = true; });
    if (!until([&done] { return done; }))
      throw std::runtime_error("the finish does not end");
  }

  void stop(pump& p) {
    bool done = false;
    p.stop([&done] { done = true; });
    if (!until([&done] { return done; }))
      throw std::runtime_error("the stop does not end");
  }

  scratch_dir dir;
  shared_arena memory;
  arena_shelf keeper;
  std::unique_ptr<linux_kernel> kernel;
  loop the_loop;
  block_pool pool;
  std::array<fd, 2> writer;
};

} // namespace gantry::io::testing
