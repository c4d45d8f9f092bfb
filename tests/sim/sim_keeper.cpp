#include "tests/sim/sim_keeper.hpp"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "messages/check.hpp"
#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

keeper::keeper(machine& m, const io::arena_shape& shape)
  : host_(m), shape_(shape), news_(std::make_shared<event_counter>()) {
  // A memfd, as the real one: giving memory back must work the same way.
  const size_t size = io::arena::size_for(shape);
  const int fd = ::memfd_create("sim-arena", MFD_CLOEXEC);
  GANTRY_CHECK(fd >= 0 && ::ftruncate(fd, off_t(size)) == 0);
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  GANTRY_CHECK(at != MAP_FAILED);
  ::close(fd);
  bytes_ = {static_cast<std::byte*>(at), size};
  begin();
}

void keeper::boot() {
  shelf.clear();
  waiting_.clear();
  std::memset(bytes_.data(), 0, bytes_.size());
  begin();
}

void keeper::begin() {
  arena_ = io::arena::make(bytes_, shape_, host_.boot_id.c_str());
  GANTRY_CHECK(bool(arena_));
  arena_.header().last_status = -1;
}

keeper::~keeper() { ::munmap(bytes_.data(), bytes_.size()); }

bool keeper::record(process& p) {
  const bool ours = p.streams[1] != nullptr && !p.argv.empty() && p.argv[0] == "work";
  if (ours && host_.options.canary == broken::a_death)
    return true;
  // As apps/keeper does it: the next free place behind the last one.
  auto& position = arena_.header().dead_position;
  const auto table = arena_.dead();
  for (uint64_t i = 0; i < table.size(); ++i) {
    auto& e = table[(position + i) % table.size()];
    if (e.full.load(std::memory_order_acquire))
      continue;
    e.pid = p.pid;
    e.start_ticks = p.start_ticks;
    e.status = ours && host_.options.canary == broken::a_status ? 99 << 8 : p.wait_status;
    e.max_rss_kib = 1500;
    e.realtime_ns = host_.time.realtime().count();
    e.full.store(1, std::memory_order_release);
    position += i + 1;
    return true;
  }
  arena_.header().dead_overflow = 1;
  return false;
}

void keeper::child_died(const process_ptr& p) {
  host_.time.in(host_.rng.between(10us, 150us), [this, p] {
    waiting_.push_back(p);
    collect();
  });
}

void keeper::collect() {
  bool any = false;
  while (!waiting_.empty() && record(*waiting_.front())) {
    host_.reap(*waiting_.front());
    waiting_.pop_front();
    any = true;
  }
  if (waiting_.empty())
    arena_.header().dead_overflow = 0;
  if (any)
    news_->add(1);
}

void keeper::freed() {
  host_.time.in(host_.rng.between(10us, 100us), [this] { collect(); });
}

void keeper::gantryd_starts() {
  ++arena_.header().generation;
  arena_.header().keeper_pid = host_.keeper_process()->pid;
  farewell_ = false;
}

void keeper::gantryd_ended(int wait_status) { arena_.header().last_status = wait_status; }

void keeper::keep_copy() { copy_.assign(bytes_.begin(), bytes_.end()); }

void keeper::restore() {
  if (!copy_.empty())
    std::memcpy(bytes_.data(), copy_.data(), copy_.size());
  copy_.clear();
}

} // namespace gantry::sim
