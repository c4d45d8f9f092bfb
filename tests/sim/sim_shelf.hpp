#pragma once

#include <functional>

#include "io/shelf.hpp"
#include "tests/sim/sim_kernel.hpp"

namespace gantry::sim {

/// One incarnation's connection to the simulated keeper.
class sim_shelf final : public io::shelf {
public:
  explicit sim_shelf(incarnation& k);
  ~sim_shelf() override;

  result<void> put(const io::shelf_key& key, const io::shelf_note& note,
                   std::span<const int> fds) override;
  result<void> drop(const io::shelf_key& key) override;
  result<std::vector<io::shelf_entry>> list() override;
  [[nodiscard]] int news_fd() const noexcept override { return news_; }
  void freed() noexcept override;
  void farewell() noexcept override;
  [[nodiscard]] bool alive() const noexcept override { return true; }
  void on_lost(std::function<void()> f) override { lost_ = std::move(f); }
  [[nodiscard]] io::arena memory() const noexcept override;

private:
  incarnation& kernel_;
  int news_ = -1;
  std::function<void()> lost_;
};

} // namespace gantry::sim
