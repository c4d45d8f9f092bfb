#pragma once

#include <atomic>
#include <functional>

namespace gantry::io {

/// Work that any thread hands to one: in order for each of those that bring it, lock-free (a
/// push is one exchange of a pointer), and with a wake-up only from who finds it empty.
class inbox {
public:
  /// @param wake Ends the taker's wait; called from any thread, until `close` has returned.
  explicit inbox(std::function<void()> wake) : wake_(std::move(wake)) {}
  ~inbox(); ///< After `close`.
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;

  /// From any thread. False once closed: `f` will not run.
  bool post(std::function<void()> f);

  /// On the taker's thread: runs what has come in until now. False if there was nothing.
  bool run();

  /// On the taker's thread: lets nobody in any more, and runs what has come in. When it
  /// returns, `wake` is not called any more.
  void close();

  [[nodiscard]] bool ready() const noexcept;

private:
  struct letter {
    std::function<void()> f;
    letter* next = nullptr;
  };
  static void run_all(letter* newest_first);

  std::function<void()> wake_;
  std::atomic<letter*> newest_{nullptr};
  std::atomic<int> inside_{0}; ///< Threads within `post`.
  letter shut_;                ///< Stands in `newest_` once closed.
};

} // namespace gantry::io
