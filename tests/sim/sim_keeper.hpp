#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "io/arena.hpp"
#include "io/shelf.hpp"
#include "tests/sim/sim_process.hpp"

namespace gantry::sim {

class machine;

/// The keeper of the simulated host: arena, shelf, table of the dead. It reaps its children
/// at once and knows nothing else.
class keeper {
public:
  struct kept {
    io::shelf_note note{};
    std::vector<description_ptr> fds;
  };

  keeper(machine& m, const io::arena_shape& shape);
  ~keeper();
  keeper(const keeper&) = delete;
  keeper& operator=(const keeper&) = delete;

  [[nodiscard]] io::arena memory() const noexcept { return arena_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::shared_ptr<event_counter>& news() const noexcept { return news_; }
  std::map<io::shelf_key, kept> shelf;

  /// A child of the keeper has become a zombie.
  void child_died(const process_ptr& p);
  /// Entries of a full table were freed.
  void freed();
  /// A gantryd begins on the arena.
  void gantryd_starts();
  void gantryd_ended(int wait_status);
  [[nodiscard]] bool farewell_said() const noexcept { return farewell_; }
  void farewell() noexcept { farewell_ = true; }

  /// The host was switched off and on: nothing of before is known any more.
  void boot();

  /// The arena as it is now; `restore` undoes everything that was written since. For the
  /// instant of a kill: the objects that are torn down afterwards may still write to it.
  void keep_copy();
  void restore();

private:
  void begin();
  bool record(process& p);
  void collect();

  machine& host_;
  io::arena_shape shape_;
  std::span<std::byte> bytes_;
  io::arena arena_;
  std::vector<std::byte> copy_;
  std::shared_ptr<event_counter> news_;
  std::deque<process_ptr> waiting_; ///< Zombies that the full table has no place for.
  bool farewell_ = false;
};

} // namespace gantry::sim
