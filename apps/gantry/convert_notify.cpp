#include <array>

#include "apps/gantry/reader.hpp"

// --notify and what belongs to it.

namespace gantry::cli {

void take_notify(reader& in, v1::ContainerSpec& to) {
  constexpr std::array details{"--watchdog", "--notify-timeout", "--notify-extend",
                               "--notify-access"};
  if (!in.line.flag("--notify")) {
    for (const auto* name : details)
      if (in.line.given(name))
        in.fail(name, {ec::invalid_argument, "there is no socket that it could belong to",
                       "add --notify"});
    return;
  }
  auto& notify = *to.mutable_notify();
  in.take("--watchdog", parse_pause, [&](int64_t ns) { notify.set_watchdog_ns(ns); });
  in.take("--notify-timeout", parse_pause, [&](int64_t ns) { notify.set_start_timeout_ns(ns); });
  in.take("--notify-extend", parse_duration, [&](int64_t ns) { notify.set_extend_max_ns(ns); });
  notify.set_heard(in.line.text("--notify-access"));
}

} // namespace gantry::cli
