#include "io/log.hpp"

namespace gantry::io {

namespace {

thread_local std::shared_ptr<spdlog::logger> mine;

/// Level off: nothing is even formatted.
spdlog::logger& nowhere() noexcept {
  thread_local spdlog::logger out = [] {
    spdlog::logger made("");
    made.set_level(spdlog::level::off);
    return made;
  }();
  return out;
}

} // namespace

spdlog::logger& this_log() noexcept { return mine ? *mine : nowhere(); }

void log_to(std::shared_ptr<spdlog::logger> where) noexcept { mine = std::move(where); }

} // namespace gantry::io
