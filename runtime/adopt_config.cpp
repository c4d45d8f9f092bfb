#include <algorithm>

#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/config_parts.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

error not_oci(std::string what, std::string cure) {
  return error{ec::invalid_argument, "config.json: " + std::move(what), std::move(cure)};
}

/// The member of an object, or null where there is none.
const json& member(const json& from, const char* key) {
  static const json nothing;
  auto at = from.find(key);
  return at == from.end() ? nothing : *at;
}

bool all_strings(const json& list) {
  return list.is_array()
         && std::all_of(list.begin(), list.end(), [](const auto& x) { return x.is_string(); });
}

/// What may be absent, but may be nothing else.
result<void> check_shapes(const json& config) {
  const auto& version = member(config, "ociVersion");
  bool known = version.is_string() && version.get_ref<const std::string&>().starts_with("1.");
  if (!version.is_null() && !known)
    return not_oci("ociVersion is not 1.x, the only versions that the runtimes know",
                   "write \"ociVersion\": \"1.0.2\"");
  for (const char* key : {"linux", "annotations", "hooks"})
    if (auto& part = member(config, key); !part.is_null() && !part.is_object())
      return not_oci(std::string(key) + " is not an object", "see the OCI runtime specification");
  const auto& mounts = member(config, "mounts");
  if (!mounts.is_null() && !mounts.is_array())
    return not_oci("mounts is not an array", "see the OCI runtime specification");
  const auto& resources = member(member(config, "linux"), "resources");
  if (!resources.is_null() && !resources.is_object())
    return not_oci("linux.resources is not an object", "see the OCI runtime specification");
  return {};
}

std::string absolute(const std::string& base, const std::string& path) {
  return !path.empty() && path.front() == '/' ? path : base + "/" + path;
}

bool is_bind(const json& mount) {
  const auto& type = member(mount, "type");
  if (type.is_string() && type.get_ref<const std::string&>() == "bind")
    return true;
  const auto& options = member(mount, "options");
  return options.is_array()
         && std::any_of(options.begin(), options.end(), [](const json& o) {
              return o == "bind" || o == "rbind";
            });
}

/// Gantry runs from a bundle of its own: what was relative to the client's is made absolute.
result<void> make_absolute(const std::string& base, json& config) {
  auto& root = config["root"];
  const auto& path = member(root, "path");
  if (!path.is_string() || path.get_ref<const std::string&>().empty())
    return not_oci("root.path is missing", "name the root filesystem's directory");
  root["path"] = absolute(base, path.get<std::string>());
  auto mounts = config.find("mounts");
  if (mounts == config.end() || mounts->is_null())
    return {};
  for (auto& mount : *mounts) {
    if (!mount.is_object())
      return not_oci("an entry of mounts is not an object", "see the OCI runtime specification");
    const auto& source = member(mount, "source");
    if (is_bind(mount) && source.is_string() && !source.get_ref<const std::string&>().empty())
      mount["source"] = absolute(base, source.get<std::string>());
  }
  return {};
}

/// The request says whether there is a terminal: what it says is recorded.
result<void> lay_terminal_over(const v1::ContainerSpec& spec, json& process) {
  const auto& terminal = member(process, "terminal");
  if (!terminal.is_null() && !terminal.is_boolean())
    return not_oci("process.terminal is not true or false", "see the OCI runtime specification");
  if (terminal == true && !spec.terminal())
    return not_oci("process.terminal is true, but the request asks for no terminal",
                   "ask for one (-t, terminal), or set process.terminal to false");
  if (!spec.terminal()) {
    process.erase("consoleSize");
    return {};
  }
  process["terminal"] = true;
  set_console_size(process, spec.terminal_size());
  return {};
}

result<void> lay_over(const v1::ContainerSpec& spec, json& config) {
  auto& process = config["process"];
  if (auto done = lay_terminal_over(spec, process); !done)
    return done;
  if (!spec.args().empty())
    process["args"] = strings(spec.args());
  if (!spec.env().empty())
    merge_env(process["env"], spec.env());
  if (!spec.workdir().empty())
    process["cwd"] = spec.workdir();
  if (!spec.user().empty()) {
    auto user = parse_user(spec.user());
    if (!user)
      return std::move(user).why();
    process["user"] = user_json(*user);
  }
  if (!spec.hostname().empty())
    config["hostname"] = spec.hostname();
  if (spec.read_only())
    config["root"]["readonly"] = true;
  if (!spec.annotations().empty())
    config["annotations"].update(string_map(spec.annotations()));
  auto limits = resources_json(spec.resources());
  if (!limits.empty())
    config["linux"]["resources"].merge_patch(limits);
  return {};
}

} // namespace

void set_console_size(json& process, const v1::TerminalSize& size) {
  if (size.width() != 0)
    process["consoleSize"] = {{"width", size.width()}, {"height", size.height()}};
}

void add_term(json& env) {
  const bool has = std::any_of(env.begin(), env.end(), [](const json& x) {
    return x.is_string() && x.get_ref<const std::string&>().starts_with("TERM=");
  });
  if (!has)
    env.emplace_back("TERM=xterm");
}

void merge_env(json& env, const google::protobuf::RepeatedPtrField<std::string>& over) {
  if (!env.is_array())
    env = json::array();
  for (const auto& entry : over) {
    auto key = entry.substr(0, entry.find('=') + 1);
    auto same = std::find_if(env.begin(), env.end(), [&key](const json& x) {
      return x.is_string() && x.get_ref<const std::string&>().starts_with(key);
    });
    if (same != env.end())
      *same = entry;
    else
      env.push_back(entry);
  }
}

result<void> check_config_process(const json& config) {
  if (!config.is_object())
    return not_oci("is not a JSON object", "`runc spec` writes one to start from");
  const auto& process = member(config, "process");
  if (!process.is_object())
    return not_oci("process is missing", "say what is to run: process.args, process.cwd");
  const auto& args = member(process, "args");
  if (!all_strings(args) || args.empty())
    return not_oci("process.args is missing, empty or not a list of strings",
                   "say what is to run: process.args");
  const auto& env = member(process, "env");
  if (!env.is_null() && !all_strings(env))
    return not_oci("process.env is not a list of strings", "write KEY=VALUE strings");
  const auto& cwd = member(process, "cwd");
  if (!cwd.is_string())
    return not_oci("process.cwd is missing", "name an absolute directory, such as /");
  auto done = check_workdir(cwd.get_ref<const std::string&>());
  if (!done)
    return not_oci("process.cwd: " + done.why().message, done.why().cure);
  return {};
}

result<json> adopt_config(const bundle_request& req, json config) {
  if (auto done = check_config_process(config); !done)
    return std::move(done).why();
  if (auto done = check_shapes(config); !done)
    return std::move(done).why();
  if (!member(config, "root").is_object())
    return not_oci("root is missing", "name the root filesystem: root.path");
  if (auto done = make_absolute(req.spec.bundle(), config); !done)
    return std::move(done).why();
  if (config["ociVersion"].is_null())
    config["ociVersion"] = "1.0.2"; // crun wants one.
  if (config["linux"].is_null())
    config["linux"] = json::object();
  if (config["linux"]["resources"].is_null())
    config["linux"]["resources"] = json::object();
  if (config["annotations"].is_null())
    config["annotations"] = json::object();
  config["linux"]["cgroupsPath"] = req.cgroup;
  if (auto done = lay_over(req.spec, config); !done)
    return std::move(done).why();
  if (auto done = lay_options(req, config); !done)
    return std::move(done).why();
  return config;
}

} // namespace gantry::runtime
