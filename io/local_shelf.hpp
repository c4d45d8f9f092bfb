#pragma once

#include <map>
#include <memory>

#include "io/shelf.hpp"

namespace gantry::io {

/// A shelf without a keeper, for a program that embeds the supervisor, and for tests: what
/// lies on it, and the arena, end with this process. Makes this process the sub-reaper, so
/// that detached processes become its children; the reaper then reaps those it watches and
/// nobody else's. Processes that nobody watches stay zombies until this process ends.
class local_shelf final : public shelf {
public:
  /// @param k Outlives the shelf and every entry of `list`.
  static result<std::unique_ptr<local_shelf>> make(kernel& k, const arena_shape& shape = {},
                                                   bool sub_reaper = true);
  ~local_shelf() override;

  result<void> put(const shelf_key& key, const shelf_note& note,
                   std::span<const int> fds) override;
  result<void> drop(const shelf_key& key) override;
  result<std::vector<shelf_entry>> list() override;
  [[nodiscard]] int news_fd() const noexcept override { return -1; }
  void freed() noexcept override {}
  void farewell() noexcept override {}
  [[nodiscard]] bool alive() const noexcept override { return true; }
  void on_lost(std::function<void()>) override {}
  [[nodiscard]] arena memory() const noexcept override { return arena_; }

private:
  local_shelf(kernel& k, std::span<std::byte> memory) noexcept : kernel_(k), memory_(memory) {}
  result<std::vector<fd>> copies(std::span<const int> fds) const;

  struct kept {
    shelf_note note;
    std::vector<fd> fds;
  };
  kernel& kernel_;
  std::span<std::byte> memory_;
  arena arena_;
  std::map<shelf_key, kept> entries_;
};

} // namespace gantry::io
