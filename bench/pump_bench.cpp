// What the way of a byte costs: a writer process, a pipe, the pump, a log on a disk.
//
//   pump_bench DIR [MiB] [FORMAT]
//
// Writes lines of 100 bytes, in blocks of 64 KiB and then one write for each line, and
// prints MB/s and CPU seconds for a GB (this process with its workers; the writer apart).

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "io/log_records.hpp"
#include "io/pump.hpp"

namespace {

using namespace gantry;
using namespace gantry::io;

class bench_shelf final : public shelf {
public:
  explicit bench_shelf(arena a) : arena_(a) {}
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

struct world {
  world(std::span<std::byte> memory, std::unique_ptr<linux_kernel> k)
    : view(arena::make(memory, {}, "bench")), keeper(view), kernel(std::move(k)), the_loop(*kernel),
      pool(view) {}
  arena view;
  bench_shelf keeper;
  std::unique_ptr<linux_kernel> kernel;
  loop the_loop;
  block_pool pool;
};

/// The container: writes `total` bytes in pieces of `piece` bytes, every line complete.
[[noreturn]] void write_lines(int out, uint64_t total, size_t piece) {
  static char block[100 * 655]; // 65,500 bytes: the most lines that 64 KiB hold.
  for (size_t i = 0; i < sizeof(block); ++i)
    block[i] = i % 100 == 99 ? '\n' : static_cast<char>('a' + i % 26);
  while (total > 0) {
    size_t left = std::min<uint64_t>(piece, total);
    total -= left;
    for (const char* from = block; left > 0;) {
      const ssize_t n = ::write(out, from, left);
      if (n < 0)
        ::_exit(1);
      from += n;
      left -= static_cast<size_t>(n);
    }
  }
  ::_exit(0);
}

double seconds_of(const timeval& x) {
  return static_cast<double>(x.tv_sec) + static_cast<double>(x.tv_usec) / 1e6;
}

double cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
}

int run(world& w, const std::string& dir, const char* name, uint64_t total, size_t piece,
        uint64_t serial, log_format format) {
  const std::string logs = dir + "/" + name;
  std::filesystem::create_directories(logs);
  int ends[2];
  if (w.kernel->pipe(ends, 0) < 0)
    return 1;
  std::array<fd, 2> fds{fd(*w.kernel, ends[0]), fd()};
  const pid_t writer = ::fork();
  if (writer == 0)
    write_lines(ends[1], total, piece);
  w.kernel->close(ends[1]);
  log_policy policy;
  policy.format = format;
  pump p(w.the_loop, w.keeper, w.pool, policy);
  bool closed = false;
  uint64_t batches = 0;
  pump::events on;
  on.closed = [&closed](int stream) { closed |= stream == 0; };
  on.grown = [&batches] { ++batches; };
  const double cpu = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  if (!p.begin(serial, logs, std::move(fds), on).ok())
    return 1;
  while (!closed)
    w.the_loop.turn(true);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double gb = static_cast<double>(total) / 1e9;
  std::printf("%-10s %6.0f MB/s  %5.2f CPU s/GB  %7.0f bytes a write  %s\n", name,
              gb * 1000 / took.count(), (cpu_seconds() - cpu) / gb,
              static_cast<double>(total) / static_cast<double>(batches),
              p.totals().bytes[0] == total ? "complete" : "BYTES ARE MISSING");
  bool ended = false;
  p.finish([&ended] { ended = true; });
  while (!ended)
    w.the_loop.turn(true);
  ::waitpid(writer, nullptr, 0);
  std::filesystem::remove_all(logs);
  return p.totals().bytes[0] == total ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: pump_bench DIR [MiB] [json-file|cri|raw]\n");
    return 2;
  }
  const uint64_t total = (argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1024) << 20;
  const size_t size = arena::size_for({});
  const int file = ::memfd_create("arena", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(size)) != 0)
    return 1;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  auto made = linux_kernel::make();
  if (memory == MAP_FAILED || !made) {
    std::fprintf(stderr, "%s\n", made ? "no memory" : made.why().text().c_str());
    return 1;
  }
  world w({static_cast<std::byte*>(memory), size}, std::move(*made));
  const uint64_t lines = total / 100 * 100;
  const auto format = log_format_named(argc > 3 ? argv[3] : "json-file");
  if (!format) {
    std::fprintf(stderr, "formats are json-file, cri and raw\n");
    return 2;
  }
  return run(w, argv[1], "blocks", lines, 65'500, 1, *format) |
         run(w, argv[1], "lines", lines, 100, 2, *format);
}
