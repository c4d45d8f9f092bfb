#include "apps/gantry/spec_words.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "apps/gantry/json.hpp"
#include "apps/gantry/reader.hpp"

namespace gantry::cli {

namespace {

error ill(std::string_view text, std::string_view why, std::string_view cure) {
  return {ec::invalid_argument, "\"" + printable(text) + "\" " + std::string(why),
          std::string(cure)};
}

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> out;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(at, from), text.size());
    out.emplace_back(text.substr(from, end - from));
    from = end + 1;
  }
  return out;
}

/// Fields of one line of CSV (RFC 4180), as docker reads --mount.
result<std::vector<std::string>> csv_fields(std::string_view text) {
  std::vector<std::string> out(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      out.emplace_back();
    } else if (text[i] == '"' && out.back().empty()) {
      for (++i; i < text.size() && (text[i] != '"' || (i + 1 < text.size() && text[i + 1] == '"'));
           ++i) {
        out.back() += text[i];
        i += text[i] == '"' ? 1 : 0; // Two of them are one.
      }
      if (i >= text.size())
        return ill(text, "has a quote that does not end", "close it with \"");
    } else {
      out.back() += text[i];
    }
  }
  return out;
}

constexpr std::string_view mount_form = "type=bind,source=DIR,target=DIR[,readonly]";

/// What docker has words for that say nothing here.
bool says_nothing(std::string_view option) {
  constexpr std::array words{"consistent", "cached", "delegated", "nocopy", ""};
  return std::find(words.begin(), words.end(), option) != words.end();
}

result<void> add_mount_field(const std::string& key, const std::string& value, bool has_value,
                             v1::Mount& to) {
  const bool on = !has_value || value == "true" || value == "1";
  if (key == "type")
    to.set_type(value);
  else if (key == "source" || key == "src")
    to.set_source(value);
  else if (key == "target" || key == "destination" || key == "dst")
    to.set_target(value);
  else if (key == "readonly" || key == "ro")
    to.set_read_only(on);
  else if (key == "bind-propagation")
    to.add_options(value);
  else if (key == "bind-nonrecursive" && on)
    to.add_options("bind");
  else if (key == "tmpfs-size")
    to.add_options("size=" + value);
  else if (key == "tmpfs-mode")
    to.add_options("mode=" + value);
  else if (key == "options" || key == "tmpfs-opt")
    for (const auto& one : split(value, ':'))
      to.add_options(one);
  else if (key != "consistency" && key != "bind-nonrecursive")
    return ill(key, "is no field of a mount", mount_form);
  return {};
}

result<v1::Mount> checked(v1::Mount m, std::string_view text) {
  if (m.type() == "volume" || (m.type() == "bind" && m.source().empty()))
    return ill(text, "names no directory of the host: gantry has no volumes of its own",
               "make a directory and bind it: -v /srv/data:/data");
  if (m.type() != "bind" && m.type() != "tmpfs")
    return ill(text, "has the unknown type \"" + printable(m.type()) + "\"", mount_form);
  if (m.target().empty())
    return ill(text, "has no target", mount_form);
  if (m.type() == "bind")
    m.set_source(absolute(m.source()));
  return m;
}

result<uint64_t> parse_rlimit(std::string_view text) {
  if (text == "-1" || text == "unlimited")
    return UINT64_MAX;
  auto n = parse_number(text, 0, INT64_MAX);
  return n ? result<uint64_t>(static_cast<uint64_t>(*n)) : result<uint64_t>(std::move(n).why());
}

} // namespace

result<v1::Mount> parse_volume(std::string_view text) {
  const auto parts = split(text, ':');
  v1::Mount out;
  out.set_type("bind");
  if (parts.size() < 2 || parts.size() > 3)
    return ill(text, "is not HOST:TARGET[:OPTIONS]", "such as -v /srv/data:/data:ro");
  const bool is_path = !parts[0].empty() && (parts[0][0] == '/' || parts[0][0] == '.');
  if (!is_path)
    return ill(text, "names no directory of the host: gantry has no volumes of its own",
               "make a directory and bind it: -v /srv/" + printable(parts[0]) + ":"
                 + printable(parts[1]));
  out.set_source(parts[0]);
  out.set_target(parts[1]);
  for (const auto& option : parts.size() > 2 ? split(parts[2], ',') : std::vector<std::string>()) {
    if (option == "z" || option == "Z")
      return ill(text, "asks for new SELinux labels of the host's files, which gantry does not set",
                 "chcon -Rt container_file_t " + printable(parts[0]));
    if (option == "ro")
      out.set_read_only(true);
    else if (!says_nothing(option))
      out.add_options(option);
  }
  return checked(std::move(out), text);
}

result<v1::Mount> parse_mount(std::string_view text) {
  auto fields = csv_fields(text);
  if (!fields)
    return std::move(fields).why();
  v1::Mount out;
  out.set_type("volume"); // Docker's default, so that it is refused with its cure.
  for (const auto& field : *fields) {
    const size_t equals = field.find('=');
    const std::string value = equals == std::string::npos ? "" : field.substr(equals + 1);
    auto done = add_mount_field(field.substr(0, equals), value, equals != std::string::npos, out);
    if (!done)
      return std::move(done).why();
  }
  return checked(std::move(out), text);
}

result<v1::Mount> parse_tmpfs(std::string_view text) {
  const size_t colon = text.find(':');
  v1::Mount out;
  out.set_type("tmpfs");
  out.set_target(std::string(text.substr(0, colon)));
  if (colon != std::string_view::npos) {
    for (const auto& option : split(text.substr(colon + 1), ',')) {
      if (option == "ro")
        out.set_read_only(true);
      else if (!option.empty())
        out.add_options(option);
    }
  }
  return checked(std::move(out), text);
}

result<v1::Rlimit> parse_ulimit(std::string_view text) {
  constexpr std::string_view right = "nofile=1024:2048, core=0 or memlock=-1";
  const auto pair = parse_pair(text);
  if (!pair)
    return ill(text, "is not NAME=SOFT[:HARD]", right);
  std::string name = pair->first;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  v1::Rlimit out;
  out.set_type(name.starts_with("RLIMIT_") ? name : "RLIMIT_" + name);
  const auto parts = split(pair->second, ':');
  const auto soft = parse_rlimit(parts.front());
  const auto hard = parse_rlimit(parts.back());
  if (parts.size() > 2 || !soft || !hard)
    return ill(text, "is not NAME=SOFT[:HARD]", right);
  if (*soft > *hard)
    return ill(text, "has a soft limit above the hard one", right);
  out.set_soft(*soft);
  out.set_hard(*hard);
  return out;
}

result<v1::Device> parse_device(std::string_view text) {
  const auto parts = split(text, ':');
  const auto is_access = [](const std::string& t) {
    return !t.empty() && t.find_first_not_of("rwm") == std::string::npos;
  };
  v1::Device out;
  out.set_host_path(parts[0]);
  size_t next = 1;
  if (next < parts.size() && !is_access(parts[next]))
    out.set_path(parts[next++]);
  if (next < parts.size() && is_access(parts[next]))
    out.set_access(parts[next++]);
  if (parts[0].empty() || parts[0][0] != '/' || next != parts.size())
    return ill(text, "is not HOST[:INSIDE][:rwm]", "such as /dev/fuse or /dev/sda:/dev/disk:r");
  return out;
}

result<std::pair<std::string, uint64_t>>
parse_device_rate(std::string_view text, result<int64_t> (*parse)(std::string_view)) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || text[0] != '/')
    return ill(text, "is not DEVICE:RATE", "such as /dev/sda:1m");
  auto rate = parse(text.substr(colon + 1));
  if (!rate)
    return std::move(rate).why();
  if (*rate <= 0)
    return ill(text, "has no rate above 0", "leave the option out for no limit");
  return std::pair{std::string(text.substr(0, colon)), static_cast<uint64_t>(*rate)};
}

result<void> add_security(std::string_view text,
                          const std::function<result<std::string>(const std::string&)>& read,
                          v1::Security& to) {
  constexpr std::string_view right =
    "seccomp=FILE|unconfined, seccomp-agent=SOCKET, no-new-privileges[=false], apparmor=NAME, "
    "label=USER:ROLE:TYPE:LEVEL|disable, writable-cgroups, systempaths=unconfined";
  const size_t at = text.find_first_of("=:");
  const std::string key(text.substr(0, at));
  const std::string value(at == std::string_view::npos ? "" : text.substr(at + 1));
  const bool is_word = value.empty() || value == "true" || value == "false";
  if (key == "no-new-privileges" && is_word) {
    to.set_no_new_privileges(value != "false");
  } else if (key == "writable-cgroups" && is_word) {
    to.set_writable_cgroups(value != "false");
  } else if (key == "systempaths" && value == "unconfined") {
    to.set_unmasked(true);
  } else if (key == "apparmor" && !value.empty()) {
    to.set_apparmor(value);
  } else if (key == "seccomp-agent" && !value.empty()) {
    to.set_seccomp_agent(absolute(value));
  } else if (key == "label" && value == "disable") {
    to.clear_selinux();
  } else if (key == "label" && std::count(value.begin(), value.end(), ':') >= 3) {
    to.set_selinux(value);
  } else if (key == "seccomp" && value == "unconfined") {
    to.set_seccomp(value);
  } else if (key == "seccomp" && !value.empty()) {
    auto profile = read(value);
    if (!profile)
      return std::move(profile).why();
    to.set_seccomp(*std::move(profile));
  } else {
    return ill(text, "is unknown", right);
  }
  return {};
}

result<std::vector<std::string>>
parse_env_file(std::string_view text, const std::string& file,
               const std::function<const char*(const std::string&)>& ours) {
  std::vector<std::string> out;
  if (text.starts_with("\xef\xbb\xbf"))
    text.remove_prefix(3);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t\v\f\r"), line.size()));
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    if (line.empty() || line[0] == '#')
      continue;
    const std::string place = printable(file) + ", line " + std::to_string(number);
    const size_t equals = line.find('=');
    const std::string name(line.substr(0, equals));
    if (name.empty() || name.find_first_of(" \t\v\f\r") != std::string::npos)
      return error{ec::invalid_argument,
                   place + ": \"" + printable(name) + "\" is no name of a variable",
                   "write KEY=VALUE, without spaces around ="};
    if (!is_utf8(line) || line.find('\0') != std::string_view::npos)
      return error{ec::invalid_argument, place + ": is not text in UTF-8",
                   "variables are text without NUL"};
    if (equals != std::string_view::npos)
      out.emplace_back(line);
    else if (const char* value = ours(name))
      out.push_back(name + "=" + value);
  }
  return out;
}

} // namespace gantry::cli
