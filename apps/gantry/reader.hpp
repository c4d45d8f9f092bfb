#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/gantry/grammar.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

/// Understands values one after the other and keeps the first fault, with its option's name.
class reader {
public:
  explicit reader(const raw_line& l) : line(l) {}

  const raw_line& line;

  /// Calls `set` with what `parse` makes of the option's value, unless it was not given.
  template <class Parse, class Set>
  void take(const char* option, Parse parse, Set set) {
    if (line.given(option))
      take(option, line.text(option), parse, set);
  }

  /// Calls `set` with what `parse` makes of `text`.
  template <class Parse, class Set>
  void take(const char* option, const std::string& text, Parse parse, Set set) {
    if (fault_)
      return;
    auto value = parse(text);
    if (value)
      set(std::move(value).value());
    else
      fail(option, value.why());
  }

  /// The same for each value of an option that may be given several times.
  template <class Parse, class Set>
  void take_each(const char* option, Parse parse, Set set) {
    for (const auto& text : line.list(option))
      take(option, text, parse, set);
  }

  void fail(const char* option, const error& why) {
    if (!fault_)
      fault_ = error{why.code, std::string(option) + ": " + why.message, why.cure};
  }

  void pairs(const char* option, const std::vector<std::string>& texts,
             google::protobuf::Map<std::string, std::string>& to) {
    for (const auto& text : texts)
      take(option, text, parse_pair, [&to](auto pair) { to[pair.first] = pair.second; });
  }

  [[nodiscard]] const std::optional<error>& fault() const { return fault_; }

private:
  std::optional<error> fault_;
};

/// The path as seen from here, without `.` and `..`.
std::string absolute(const std::string& path);

/// A file on this side, of at most 1 MiB: an environment, a seccomp profile, certificates.
result<std::string> read_small_file(const std::string& path);

/// Environment of a process: --env-file in the order of the files, --env over them. `-e NAME`
/// passes our own variable on, if there is one. Of two with one name the later one stays.
void take_env(reader& in, google::protobuf::RepeatedPtrField<std::string>& to);

/// Mounts, capabilities, devices, confinement: what `run` and `create` say of them.
void take_isolation(reader& in, v1::ContainerSpec& to);

/// --health-cmd and what belongs to it. @param change Only what is given is to become another: one
/// probe with that; none where it is to be switched off.
void take_health(reader& in, v1::ContainerSpec& to, bool change = false);

/// --notify and what belongs to it.
void take_notify(reader& in, v1::ContainerSpec& to);

/// --restart and what belongs to it. Behind --rm.
void take_restart(reader& in, v1::ContainerSpec& to);
void take_after(reader& in, v1::ContainerSpec& to);

/// What the commands that look take: filters, times, formats.
void take_looks(reader& in, options& out);

/// --memory, --cpus and their like, also of `update`.
void take_limits(reader& in, v1::Resources& to);

} // namespace gantry::cli
