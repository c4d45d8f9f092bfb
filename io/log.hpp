#pragma once

#include <memory>
#include <spdlog/logger.h>

namespace gantry::io {

/// The logger of this thread. Each supervisor has a thread and says there where its lines
/// go; where nobody has said anything they go nowhere. spdlog's own default logger belongs to
/// the program around us and is never used.
spdlog::logger& this_log() noexcept;

/// What this thread logs goes there from now on; null: nowhere again.
void log_to(std::shared_ptr<spdlog::logger> where) noexcept;

template <class... Args>
void log_debug(spdlog::format_string_t<Args...> text, Args&&... args) {
  this_log().debug(text, std::forward<Args>(args)...);
}

template <class... Args>
void log_info(spdlog::format_string_t<Args...> text, Args&&... args) {
  this_log().info(text, std::forward<Args>(args)...);
}

template <class... Args>
void log_warn(spdlog::format_string_t<Args...> text, Args&&... args) {
  this_log().warn(text, std::forward<Args>(args)...);
}

template <class... Args>
void log_error(spdlog::format_string_t<Args...> text, Args&&... args) {
  this_log().error(text, std::forward<Args>(args)...);
}

template <class... Args>
void log_critical(spdlog::format_string_t<Args...> text, Args&&... args) {
  this_log().critical(text, std::forward<Args>(args)...);
}

} // namespace gantry::io
