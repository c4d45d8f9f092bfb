#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace gantry::actors {

/// An exec, by the container's instance and its own id.
using exec_key = std::pair<uint64_t, std::string>;

/// Who holds which exec by an open call (Wait with `hold`, ExecSync). One thread: the loop's.
class hold_table {
public:
  /// One more caller holds it.
  void add(const exec_key& key) { ++held_[key]; }

  /// One less. With the last one whoever watches hears of it, unless we are on our way out:
  /// then it is not the caller who leaves.
  void remove(const exec_key& key) {
    auto at = held_.find(key);
    if (at == held_.end() || --at->second > 0)
      return;
    held_.erase(at);
    if (auto w = watchers_.find(key); w != watchers_.end() && !closing_)
      w->second();
  }

  [[nodiscard]] bool held(const exec_key& key) const { return held_.contains(key); }

  /// @param f Must only send a message: it is called from inside `remove`.
  void watch(const exec_key& key, std::function<void()> f) { watchers_[key] = std::move(f); }
  void forget(const exec_key& key) { watchers_.erase(key); }

  /// We are going away, and with us every call: nobody is told any more.
  void close() noexcept { closing_ = true; }

private:
  std::map<exec_key, size_t> held_;
  std::map<exec_key, std::function<void()>> watchers_;
  bool closing_ = false;
};

} // namespace gantry::actors
