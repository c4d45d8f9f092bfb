#include <benchmark/benchmark.h>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mman.h>

#include "io/linux_kernel.hpp"
#include "runtime/crc32c.hpp"
#include "runtime/journal.hpp"
#include "runtime/world.hpp"

// What the journal costs: an append (a copy into the arena), the flush behind it, a recovery.
// GANTRY_BENCH_DIR names the disk to measure on; without it, the temporary directory.

namespace {

using namespace gantry;

/// A journal in a directory of its own, with memory that stands for the keeper's.
struct bench_journal {
  std::unique_ptr<io::linux_kernel> kernel;
  std::unique_ptr<io::loop> loop;
  std::string dir;
  void* memory = nullptr;
  size_t size = 0;
  std::unique_ptr<runtime::journal_file> file;
  uint64_t told = 0;

  bench_journal() {
    kernel = *io::linux_kernel::make();
    loop = std::make_unique<io::loop>(*kernel);
    const char* where = std::getenv("GANTRY_BENCH_DIR");
    dir = std::string(where != nullptr ? where : "/tmp") + "/gantry-bench-XXXXXX";
    GANTRY_CHECK(::mkdtemp(dir.data()) != nullptr);
    io::arena_shape shape;
    shape.log_slots = 16;
    shape.small_blocks = shape.large_blocks = 1;
    size = io::arena::size_for(shape);
    memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    GANTRY_CHECK(memory != MAP_FAILED);
    (void)io::arena::make({static_cast<std::byte*>(memory), size}, shape, "bench");
    open();
  }

  ~bench_journal() {
    close();
    ::munmap(memory, size);
    std::filesystem::remove_all(dir);
  }

  void open() {
    runtime::recovery_report report;
    told = 0;
    auto j = runtime::journal_file::open(
      *loop, io::arena::open({static_cast<std::byte*>(memory), size}), dir, "boot", {},
      [](const auto&) {}, [this](const journal::Record&) { ++told; }, report);
    GANTRY_CHECK(j.ok());
    file = *std::move(j);
  }

  void close() {
    bool done = false;
    file->stop([&done] { done = true; });
    while (!done)
      loop->turn(true);
    file.reset();
  }

  void settle() {
    while (file->pending_bytes() > 0)
      loop->turn(true);
  }
};

journal::Record small_record() {
  journal::Record r;
  r.set_namespace_("default");
  r.set_container("web-1");
  r.set_instance(1234);
  r.set_run(1);
  r.set_process("init");
  r.set_pid(4711);
  auto* e = r.mutable_exited()->mutable_exit();
  e->set_exit_code(0);
  e->set_stdout_bytes(123456);
  e->set_exited_at_ns(1'700'000'000'000'000'000);
  return r;
}

/// The ring is emptied outside the time taken.
void append(benchmark::State& state) {
  bench_journal j;
  auto r = small_record();
  uint64_t bytes = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(j.file->append(r));
    if (j.file->pending_bytes() > (3u << 20)) {
      state.PauseTiming();
      bytes += j.file->pending_bytes();
      j.settle();
      state.ResumeTiming();
    }
  }
  state.counters["record_bytes"] = double(r.ByteSizeLong() + 16);
}
BENCHMARK(append);

/// From the append to the end of fdatasync: what a create waits for beside its runtime.
void append_durable(benchmark::State& state) {
  bench_journal j;
  auto r = small_record();
  for (auto _ : state) {
    j.file->append(r);
    bool done = false;
    j.file->durable([&done](const auto&) { done = true; });
    while (!done)
      j.loop->turn(true);
  }
}
BENCHMARK(append_durable)->Unit(benchmark::kMicrosecond)->UseRealTime();

/// Snapshot aside, a restart reads this many records.
void recovery(benchmark::State& state) {
  bench_journal j;
  for (int64_t i = 0; i < state.range(0); ++i) {
    auto r = small_record();
    j.file->append(r);
  }
  for (auto _ : state) {
    state.PauseTiming();
    j.close();
    state.ResumeTiming();
    j.open();
    GANTRY_CHECK(j.told == uint64_t(state.range(0)));
  }
}
BENCHMARK(recovery)->Arg(1000)->Arg(20000)->Unit(benchmark::kMillisecond)->Iterations(10);

void checksum(benchmark::State& state) {
  std::string bytes(size_t(state.range(0)), 'x');
  for (auto _ : state)
    benchmark::DoNotOptimize(runtime::crc32c(bytes));
  state.SetBytesProcessed(int64_t(state.iterations()) * state.range(0));
}
BENCHMARK(checksum)->Arg(80)->Arg(4096);

void apply_exit(benchmark::State& state) {
  runtime::world w;
  journal::Record creating;
  creating.set_seq(1);
  creating.set_namespace_("default");
  creating.set_container("web-1");
  creating.mutable_creating();
  w.apply(creating);
  auto r = small_record();
  r.set_instance(1);
  for (auto _ : state) {
    r.set_seq(r.seq() + 2);
    w.apply(r);
  }
}
BENCHMARK(apply_exit);

} // namespace

BENCHMARK_MAIN();
