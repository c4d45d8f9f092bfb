#pragma once

#include <csignal>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/reaper.hpp"
#include "tests/io/real_loop.hpp"

namespace gantry::io {

/// A keeper's side of the table, played by the test.
class table_shelf final : public shelf {
public:
  explicit table_shelf(kernel& k, uint32_t entries = 64) : news_(k, k.eventfd()), kernel_(k) {
    const arena_shape shape{.dead_entries = entries, .log_slots = 1, .journal_bytes = 4096,
                            .small_block_bytes = 4096, .small_blocks = 1,
                            .large_block_bytes = 4096, .large_blocks = 1};
    bytes_ = {static_cast<std::byte*>(::mmap(nullptr, arena::size_for(shape),
                                             PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
              arena::size_for(shape)};
    arena_ = arena::make(bytes_, shape, "boot");
  }
  ~table_shelf() override { ::munmap(bytes_.data(), bytes_.size()); }

  /// Writes an entry as the keeper does; false if the table is full.
  bool bury(process_key who, int status, bool step = true) {
    auto& position = arena_.header().dead_position;
    auto table = arena_.dead();
    for (uint64_t i = position; i < position + table.size(); ++i) {
      auto& x = table[i % table.size()];
      if (x.full != 0)
        continue;
      x.pid = who.pid;
      x.start_ticks = who.start_ticks;
      x.status = status;
      x.realtime_ns = kernel_.realtime().count();
      x.full = 1;
      if (step)
        position = i + 1;
      return true;
    }
    arena_.header().dead_overflow = 1;
    return false;
  }
  void tell() {
    const uint64_t one = 1;
    kernel_.write(news_.get(), {reinterpret_cast<const char*>(&one), sizeof(one)});
  }
  size_t full() const {
    size_t n = 0;
    for (const auto& x : arena_.dead())
      n += x.full;
    return n;
  }
  void die() {
    living_ = false;
    for (auto& f : lost_)
      f();
  }

  result<void> put(const shelf_key&, const shelf_note&, std::span<const int>) override {
    return {};
  }
  result<void> drop(const shelf_key&) override { return {}; }
  result<std::vector<shelf_entry>> list() override { return std::vector<shelf_entry>{}; }
  int news_fd() const noexcept override { return news_.get(); }
  void freed() noexcept override { ++times_freed; }
  void farewell() noexcept override {}
  bool alive() const noexcept override { return living_; }
  void on_lost(std::function<void()> f) override { lost_.push_back(std::move(f)); }
  arena memory() const noexcept override { return arena_; }

  int times_freed = 0;

private:
  fd news_;
  kernel& kernel_;
  std::span<std::byte> bytes_;
  arena arena_;
  bool living_ = true;
  std::vector<std::function<void()>> lost_;
};

/// Somebody else who has children: they are not ours, and are reaped when the test says so.
class foster {
public:
  foster() {
    REQUIRE(::pipe(ask_) == 0);
    REQUIRE(::pipe(answer_) == 0);
    pid_ = ::fork();
    if (pid_ == 0)
      live();
  }
  ~foster() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (int x : {ask_[0], ask_[1], answer_[0], answer_[1]})
      ::close(x);
  }
  /// A process that sleeps until it is killed.
  pid_t child() { return say('c'); }
  /// Reaps everybody who is dead by then; waits for at least one.
  void reap() { say('r'); }

private:
  [[noreturn]] void live() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int sig = 1; sig < 32; ++sig) // the test program catches some
      ::signal(sig, SIG_DFL);
    char what = 0;
    while (::read(ask_[0], &what, 1) == 1) {
      pid_t out = 0;
      if (what == 'r') {
        ::waitpid(-1, nullptr, 0);
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
      } else if ((out = ::fork()) == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (true)
          ::pause();
      }
      (void)!::write(answer_[1], &out, sizeof(out));
    }
    ::_exit(0);
  }
  pid_t say(char what) {
    pid_t out = -1;
    REQUIRE(::write(ask_[1], &what, 1) == 1);
    REQUIRE(::read(answer_[0], &out, sizeof(out)) == sizeof(out));
    return out;
  }

  int ask_[2], answer_[2];
  pid_t pid_ = -1;
};

/// A loop with a reaper on a table that the test fills.
struct reaper_rig {
  reaper_rig() { under_test.emplace(r.l, shelf); }
  ~reaper_rig() {
    under_test.reset();
    CHECK(r.l.drain(std::chrono::seconds(5)));
  }

  process_key key_of(pid_t pid) {
    return {pid, static_cast<uint64_t>(r.kernel->start_ticks(pid))};
  }
  /// Watches, and keeps what is reported.
  bool watch(process_key who) {
    return under_test->watch(who, [this, who](const death& d) {
      CHECK(d.who == who);
      deaths.push_back(d);
    });
  }
  bool reported(size_t n = 1) {
    return r.until([this, n] { return deaths.size() >= n; });
  }
  /// Whether nothing comes for so long.
  bool silent(nanoseconds time) {
    auto before = deaths.size();
    bool over = false;
    timer clock(r.l);
    clock.start(time, [&over] { over = true; });
    while (!over)
      r.l.turn(true);
    return deaths.size() == before;
  }

  real_loop r;
  table_shelf shelf{*r.kernel};
  foster parent;
  std::optional<reaper> under_test;
  std::vector<death> deaths;
};

} // namespace gantry::io
