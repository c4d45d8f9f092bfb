#pragma once

#include <tuple>

#include "actors/figures.hpp"
#include "actors/services.hpp"

namespace gantry::actors {

/// Counts what happens, from the records as they are made and the turns as they end, and takes
/// the figures of all the parts when somebody asks. Costs a few additions per record, and a look
/// at the clock per turn.
class meter final : public io::turn_hook {
public:
  /// @param host Outlives it.
  explicit meter(services& host);
  ~meter() override;
  meter(const meter&) = delete;
  meter& operator=(const meter&) = delete;

  /// @param most_containers So many get figures of their own; the rest is only counted.
  [[nodiscard]] figures take(size_t most_containers);

  // io::turn_hook: the last of a turn's hooks, so that the turn is nearly over.
  void run_some() override;
  [[nodiscard]] bool ready() const noexcept override { return false; }
  [[nodiscard]] io::nanoseconds deadline() const noexcept override {
    return io::nanoseconds::max();
  }

private:
  /// A step under way: of which container (and exec), and what.
  using step = std::tuple<std::string, std::string, std::string, std::string>;

  static step step_of(const journal::Record& r, const std::string& what);
  void begin(const journal::Record& r, const std::string& what);
  void end(const journal::Record& r, const std::string& what);
  void count(const journal::Record& r);
  void count_exit(const journal::Record& r);
  void count_restart(const journal::Record& r);
  void fail(const journal::Record& r, const std::string& what);
  void forget(const journal::Record& r);
  void take_parts(figures& out);
  void take_containers(figures& out, size_t most);

  services& host_;
  figures so_far_;
  std::map<step, int64_t> begun_; ///< Recorded intents without an outcome, by wall time.
  std::unique_ptr<runtime::ledger::watch> records_;
};

} // namespace gantry::actors
