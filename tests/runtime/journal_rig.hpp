#pragma once

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdlib.h>
#include <sys/mman.h>

#include "io/linux_kernel.hpp"
#include "runtime/journal.hpp"
#include "runtime/journal_segment.hpp"

namespace gantry::runtime::testing {

namespace fs = std::filesystem;

/// A directory that goes away.
struct temp_dir {
  explicit temp_dir(const std::string& under = "/tmp") {
    std::string name = under + "/gantry-journal-XXXXXX";
    GANTRY_CHECK(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~temp_dir() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  std::string path;
};

/// Memory that stands for the keeper's memfd: it outlives any journal.
class arena_memory {
public:
  explicit arena_memory(uint32_t journal_bytes = 256u << 10) {
    shape_.dead_entries = 16;
    shape_.log_slots = 16;
    shape_.small_blocks = 1;
    shape_.large_blocks = 1;
    shape_.journal_bytes = journal_bytes;
    size_ = io::arena::size_for(shape_);
    memory_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    GANTRY_CHECK(memory_ != MAP_FAILED);
    io::arena::make(bytes(), shape_, "boot");
  }
  ~arena_memory() { ::munmap(memory_, size_); }
  arena_memory(const arena_memory&) = delete;
  arena_memory& operator=(const arena_memory&) = delete;

  [[nodiscard]] io::arena view() const { return io::arena::open(bytes()); }

  /// What the memory would hold if the process were killed now.
  [[nodiscard]] std::unique_ptr<arena_memory> copy() const {
    auto out = std::make_unique<arena_memory>(shape_.journal_bytes);
    std::memcpy(out->memory_, memory_, size_);
    return out;
  }

  /// Goes back to what it was when `from` was copied.
  void restore(const arena_memory& from) { std::memcpy(memory_, from.memory_, size_); }

private:
  [[nodiscard]] std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(memory_), size_};
  }
  io::arena_shape shape_;
  size_t size_ = 0;
  void* memory_ = nullptr;
};

/// A kernel and a loop that outlive the journals of a test.
struct host {
  std::unique_ptr<io::linux_kernel> kernel;
  std::unique_ptr<io::loop> loop;

  host() {
    auto made = io::linux_kernel::make();
    GANTRY_CHECK(made.ok());
    kernel = *std::move(made);
    loop = std::make_unique<io::loop>(*kernel);
  }

  /// Turns until `done`, at most ten seconds.
  bool until(const std::function<bool()>& done) {
    auto limit = kernel->monotonic() + std::chrono::seconds(10);
    io::timer clock(*loop);
    while (!done() && kernel->monotonic() < limit) {
      clock.start(std::chrono::milliseconds(20), [] {}); // No turn waits beyond the limit.
      loop->turn(true);
    }
    return done();
  }
};

/// A snapshot that is made at once.
class whole_snapshot final : public snapshot_pieces {
public:
  explicit whole_snapshot(const journal::Snapshot& s) : bytes_(s.SerializeAsString()) {}
  bool more(std::string& to, size_t) override {
    to += bytes_;
    return false;
  }

private:
  std::string bytes_;
};

/// One journal at work, with everything that its recovery told.
struct opened {
  std::unique_ptr<journal_file> file;
  std::optional<error> failure;
  recovery_report report;
  journal::Snapshot snapshot;
  int snapshots = 0;
  std::vector<journal::Record> records;
};

inline opened open_journal(host& h, io::arena a, const std::string& dir,
                           journal_policy policy = {}, const std::string& boot = "boot-1") {
  opened out;
  auto made = journal_file::open(
    *h.loop, a, dir, boot, policy,
    [&out](journal::Snapshot s) {
      out.snapshot = std::move(s);
      ++out.snapshots;
    },
    [&out](const journal::Record& r) { out.records.push_back(r); }, out.report);
  if (made)
    out.file = *std::move(made);
  else
    out.failure = made.why();
  return out;
}

/// An orderly end.
inline void close_journal(host& h, std::unique_ptr<journal_file>& j) {
  bool done = false;
  j->stop([&done] { done = true; });
  REQUIRE(h.until([&done] { return done; }));
  j.reset();
}

inline result<void> wait_durable(host& h, journal_file& j) {
  std::optional<result<void>> got;
  j.durable([&got](result<void> r) { got = std::move(r); });
  REQUIRE(h.until([&got] { return got.has_value(); }));
  return *got;
}

inline journal::Record numbered_record(uint64_t n, size_t text_bytes = 20) {
  journal::Record r;
  r.set_namespace_("default");
  r.set_container("c" + std::to_string(n));
  r.mutable_restored()->set_what(std::string(text_bytes, char('a' + n % 26)));
  return r;
}

/// The records of `o` are `1 … last`, each as `numbered_record` made it.
inline void require_numbered(const std::vector<journal::Record>& all, uint64_t last,
                             size_t text_bytes = 20, uint64_t first = 1) {
  REQUIRE(all.size() == last - first + 1);
  for (uint64_t i = 0; i < all.size(); ++i) {
    REQUIRE(all[i].seq() == first + i);
    REQUIRE(all[i].container() == "c" + std::to_string(first + i));
    REQUIRE(all[i].restored().what() == numbered_record(first + i, text_bytes).restored().what());
  }
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
}

inline std::vector<std::string> files_named(const std::string& dir, const std::string& prefix) {
  std::vector<std::string> out;
  for (const auto& e : fs::directory_iterator(dir))
    if (e.path().filename().string().starts_with(prefix))
      out.push_back(e.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

} // namespace gantry::runtime::testing
