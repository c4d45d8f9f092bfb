#include "tests/sim/sim_shelf.hpp"

#include "messages/check.hpp"

namespace gantry::sim {

namespace {

error gone() { return {ec::unavailable, "the keeper: the connection has ended", ""}; }

} // namespace

sim_shelf::sim_shelf(incarnation& k)
  : kernel_(k), news_(k.install(k.host().shelf_keeper.news())) {}

sim_shelf::~sim_shelf() { kernel_.close(news_); }

result<void> sim_shelf::put(const io::shelf_key& key, const io::shelf_note& note,
                            std::span<const int> fds) {
  GANTRY_CHECK(fds.size() <= io::shelf_max_fds);
  if (!kernel_.step())
    return gone();
  keeper::kept what{note, {}};
  for (int n : fds) {
    auto d = kernel_.get(n);
    GANTRY_CHECK(d != nullptr);
    what.fds.push_back(std::move(d));
  }
  kernel_.host().shelf_keeper.shelf[key] = std::move(what);
  return {};
}

result<void> sim_shelf::drop(const io::shelf_key& key) {
  if (!kernel_.step())
    return gone();
  kernel_.host().shelf_keeper.shelf.erase(key);
  return {};
}

result<std::vector<io::shelf_entry>> sim_shelf::list() {
  if (!kernel_.step())
    return gone();
  std::vector<io::shelf_entry> out;
  for (const auto& [key, what] : kernel_.host().shelf_keeper.shelf) {
    io::shelf_entry e{key, what.note, {}};
    for (const auto& d : what.fds) {
      const int n = kernel_.install(d);
      if (n < 0)
        return from_errno(-n, "receive", "a descriptor from the keeper");
      e.fds.emplace_back(kernel_, n);
    }
    out.push_back(std::move(e));
  }
  return out;
}

void sim_shelf::freed() noexcept {
  if (kernel_.step())
    kernel_.host().shelf_keeper.freed();
}

void sim_shelf::farewell() noexcept {
  if (kernel_.step())
    kernel_.host().shelf_keeper.farewell();
}

io::arena sim_shelf::memory() const noexcept { return kernel_.host().shelf_keeper.memory(); }

} // namespace gantry::sim
