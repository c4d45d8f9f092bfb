#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

// What must hold of other containers before one is started: plain data and plain functions, no
// clock and no world of their own. All times are nanoseconds of one clock that the caller chooses.

namespace gantry::runtime {

/// The words of `--after OTHER:WORD`.
enum class after_when : uint8_t {
  started,   ///< Its run has begun.
  ready,     ///< It says that it is ready, or its readiness probe passes.
  healthy,   ///< Its health check passes.
  exited_ok, ///< Its last run has ended with exit code 0.
};

/// One condition.
struct after_condition {
  std::string id; ///< Of a container of the same namespace.
  after_when when = after_when::started;
  bool operator==(const after_condition&) const = default;
};

/// All of them must hold.
struct after_policy {
  std::vector<after_condition> conditions;
  int64_t timeout_ns = 0; ///< A start that has waited so long fails; 0: no limit.
};

/// Most conditions of one container.
inline constexpr size_t max_after = 64;

/// What is known of a container that another one comes after.
struct dependency {
  enum class stage : uint8_t {
    missing, ///< There is no such container, or it is being removed.
    coming,  ///< Not up, and it may come up: nobody has started it yet, or it is under way.
    up,      ///< Its program runs, or is paused.
    ending,  ///< On its way down: what follows is not decided yet.
    over,    ///< It has ended, and nothing starts it again.
  } where = stage::missing;
  std::string words;        ///< Where it is, behind its name: `is starting`, `has been removed`.
  int64_t started_ns = 0;   ///< Its last run began; 0: never.
  std::optional<int> exit_code; ///< Of its last run; absent: it has none.
  int64_t ended_ns = 0;         ///< That run's end; 0: it has not ended.
  std::optional<bool> healthy;  ///< Absent: nothing tells.
  std::optional<bool> ready;    ///< The same.
  std::string health;           ///< starting, healthy, unhealthy
};

/// Whether a condition holds.
struct after_verdict {
  enum class what : uint8_t { met, waits, never } is = what::met;
  std::string why; ///< Unless it is met: `"db" is starting`.
};

/// Judges one condition.
/// @param since_ns When the wait began: what began and succeeded since then counts, even if it is
/// over by now.
after_verdict judge_after(const after_condition& c, const dependency& d, int64_t since_ns);

/// `db`, `db:started`, `db:ready`, `db:healthy`, `db:exited_ok`.
result<after_condition> parse_after(std::string_view text);
/// The word alone; empty: started.
result<after_when> parse_after_when(std::string_view word);

/// `db:healthy`, as `parse_after` takes it.
std::string text_of(const after_condition& c);

/// Whether the conditions make sense by themselves: not too many, none twice, a sane time.
result<void> check_after(const after_policy& policy);

/// Whether a new container `id` that comes after `conditions` closes a circle.
/// @param of The ids that a container comes after.
/// @returns The ids along it (`web`, `db`, `web`); empty: there is none.
std::vector<std::string>
find_circle(const std::string& id, const std::vector<after_condition>& conditions,
            const std::function<std::vector<std::string>(const std::string&)>& of);

} // namespace gantry::runtime
