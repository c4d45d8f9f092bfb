#include "runtime/notify_message.hpp"

#include <charconv>
#include <limits>

#include "runtime/probe_output.hpp"

namespace gantry::runtime {

namespace {

/// Microseconds as nanoseconds; what is too many for that is for ever.
std::optional<int64_t> microseconds(std::string_view text) {
  constexpr int64_t most = std::numeric_limits<int64_t>::max() / 1000;
  uint64_t n = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, n);
  if (stop != end || text.empty() || wrong == std::errc::invalid_argument)
    return {};
  const bool much = wrong == std::errc::result_out_of_range || n > uint64_t(most);
  return much ? most * 1000 : int64_t(n) * 1000;
}

bool take_flag(bool& flag, std::string_view value) {
  flag = flag || value == "1";
  return value == "1";
}

bool take_watchdog_time(notify_message& m, std::string_view value) {
  const auto ns = microseconds(value);
  if (!ns || (*ns > 0 && *ns < least_watchdog_ns))
    return false;
  m.watchdog_ns = ns;
  return true;
}

/// @returns whether it is a field that means something.
bool take_field(notify_message& m, std::string_view name, std::string_view value) {
  if (name == "READY")
    return take_flag(m.ready, value);
  if (name == "RELOADING")
    return take_flag(m.reloading, value);
  if (name == "STOPPING")
    return take_flag(m.stopping, value);
  if (name == "WATCHDOG") {
    m.trigger = m.trigger || value == "trigger";
    return value == "trigger" || take_flag(m.watchdog, value);
  }
  if (name == "WATCHDOG_USEC")
    return take_watchdog_time(m, value);
  if (name == "EXTEND_TIMEOUT_USEC") {
    const auto ns = microseconds(value);
    if (ns)
      m.extend_ns = ns;
    return ns.has_value();
  }
  if (name == "STATUS") {
    probe_output text{max_notify_status};
    text.feed(value);
    m.status = text.text();
    return true;
  }
  // Its descriptor was closed when the datagram was taken, which is the answer; and the time of a
  // reload, which nobody waits for.
  return (name == "BARRIER" && value == "1") || (name == "MONOTONIC_USEC" && microseconds(value));
}

} // namespace

notify_message parse_notify(std::string_view datagram) {
  notify_message out;
  while (!datagram.empty()) {
    const auto end = std::min(datagram.find('\n'), datagram.size());
    const auto line = datagram.substr(0, end);
    datagram.remove_prefix(std::min(end + 1, datagram.size()));
    if (line.empty())
      continue;
    const auto sign = line.find('=');
    if (sign == std::string_view::npos
        || !take_field(out, line.substr(0, sign), line.substr(sign + 1)))
      ++out.ignored;
  }
  return out;
}

} // namespace gantry::runtime
