#pragma once

#include <functional>
#include <memory>

#include <gantry/types.hpp>

namespace gantry {

/// Handles one event. An error says that it could not be handled now: it is counted, and the
/// same event comes again after a pause, before any later one.
using event_handler = std::function<result<void>(const event&)>;

/// What a subscriber wants to hear, and how its failures are met.
struct subscribe_options {
  /// The last event that was seen; the next one is the first to come. {0, 0}: all that is
  /// kept. None: from now on.
  std::optional<event_cursor> since{};
  std::string ns = "default"; ///< "*": all namespaces.
  std::vector<std::string> containers{}; ///< Empty: all of them.
  std::vector<std::string> types{};    ///< Empty: all of them. "gap" always comes.
  std::map<std::string, std::string> labels{};

  /// Called first, with the containers as they are at exactly the place where the events
  /// begin (`since` is then not looked at). After a long outage it may come again.
  std::function<void(const container_list&)> on_list{};

  /// Called once, when no more events come although nobody has called `stop`: why.
  std::function<void(const error&)> on_end{};

  nanoseconds first_pause = std::chrono::milliseconds(100); ///< Before the first retry.
  nanoseconds longest_pause = std::chrono::seconds(10);     ///< It doubles up to this.
  /// So often an event is tried in all; then it is counted as given up, and the next one
  /// comes. 0: without end, so that none is ever passed over.
  uint32_t most_tries = 0;
};

/// What a subscription has done so far.
struct subscription_counters {
  uint64_t events = 0;   ///< Handled.
  uint64_t errors = 0;   ///< Times that the handler returned one.
  uint64_t given_up = 0; ///< Events passed over after `most_tries`.
  uint64_t gaps = 0;     ///< Events of type gap: losses that are stated.
};

/// A running subscription. Events come in their order, one at a time, on the library's
/// thread; while one is retried the later ones wait at the supervisor, not in memory. A lost
/// connection is made again and nothing is skipped or doubled.
///
/// Any thread may call; the handle may outlive the supervisor.
class GANTRY_API subscription {
public:
  subscription() = default;
  subscription(subscription&&) noexcept = default;
  subscription& operator=(subscription&&) noexcept;
  ~subscription(); ///< As `stop`.

  /// Ends it. When this returns no handler runs and none will; called from inside a handler
  /// it returns at once, and that handler's own call is the last.
  void stop();

  /// Behind the last event that was handled: keep it, and go on from there another day.
  [[nodiscard]] event_cursor cursor() const;

  [[nodiscard]] subscription_counters counters() const;

  struct impl; ///< INTERNAL.

private:
  friend class supervisor;
  explicit subscription(std::shared_ptr<impl> x) : impl_(std::move(x)) {}
  std::shared_ptr<impl> impl_;
};

} // namespace gantry
