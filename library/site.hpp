#pragma once

#include <map>
#include <set>

#include <gantry/supervisor.hpp>
#include <pthread.h>

#include "library/link.hpp"
#include "library/reactor.hpp"

namespace gantry::library {

/// What ends with the supervisor: subscriptions and streams. For the library's thread.
class guest {
public:
  virtual ~guest() = default;
  /// The supervisor has ended: say so, and let go of all that is its.
  virtual void leave(const error& why) = 0;
  /// Nothing that is known already is still to be handed on.
  [[nodiscard]] virtual bool idle() const { return true; }
};

/// One supervisor as its handle, its subscriptions and its streams share it. `post` and `here`
/// are for any thread, the rest for the library's.
class site {
public:
  explicit site(std::unique_ptr<reactor> r) : reactor_(std::move(r)), thread_(::pthread_self()) {}

  bool post(std::function<void()> f) { return reactor_->post(std::move(f)); }
  [[nodiscard]] bool here() const noexcept {
    return ::pthread_equal(thread_, ::pthread_self()) != 0;
  }

  [[nodiscard]] reactor& react() noexcept { return *reactor_; }
  /// Null once the supervisor is ending.
  [[nodiscard]] link* way() noexcept { return link_.get(); }
  void connect(std::unique_ptr<link> l) { link_ = std::move(l); }

  void add(std::shared_ptr<guest> g) { guests_.insert(std::move(g)); }
  void remove(const std::shared_ptr<guest>& g) { guests_.erase(g); }
  [[nodiscard]] bool idle() const {
    for (const auto& g : guests_)
      if (!g->idle())
        return false;
    return true;
  }

  /// Registers who waits for an answer: is told `fail` if the supervisor ends first.
  uint64_t expect(std::function<void(const error&)> fail) {
    failures_.emplace(next_, std::move(fail));
    return next_++;
  }
  /// False: it was told already.
  bool settle(uint64_t id) { return failures_.erase(id) > 0; }

  /// Sends a request and hands on the answer, or why there is none: exactly once.
  template <class Reply, class Request>
  void ask(Request req, answer<Reply> f) {
    if (!link_)
      return f(ended());
    const auto id = expect([f](const error& why) { f(why); });
    link_->call(std::move(req), answer<Reply>{[this, id, f](result<Reply> x) {
                  if (settle(id))
                    f(std::move(x));
                }});
  }

  /// The end: guests leave, waiting answers fail, nothing is asked any more.
  void end(const error& why);

  /// What is said to who comes afterwards.
  static error ended() {
    return {ec::unavailable, "this supervisor has been stopped", "start or connect another one"};
  }

private:
  std::unique_ptr<reactor> reactor_;
  pthread_t thread_;
  std::unique_ptr<link> link_;
  std::set<std::shared_ptr<guest>> guests_;
  std::map<uint64_t, std::function<void(const error&)>> failures_;
  uint64_t next_ = 1;
};

/// Runs a callback of the program around us: what it throws ends the program.
template <class F, class... Args>
auto call_out(const F& f, Args&&... args) noexcept {
  return f(std::forward<Args>(args)...);
}

} // namespace gantry::library
