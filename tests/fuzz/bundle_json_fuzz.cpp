#include <cstddef>
#include <cstdint>
#include <string_view>

#include "messages/check.hpp"
#include "runtime/bundle.hpp"
#include "runtime/config_parts.hpp"

// A client's config.json: whatever it is, adopting it and making an exec from it ends in a
// config or in an error, and what is adopted can be written and read again.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto parsed = runtime::parse_json(text, "config.json");
  if (!parsed)
    return 0;
  runtime::bundle_request req;
  req.name = {"default", "x"};
  req.spec.set_bundle("/b");
  req.spec.add_env("A=1");
  req.spec.set_hostname("h");
  req.spec.mutable_resources()->set_memory_bytes(64 << 20);
  (*req.spec.mutable_annotations())["k"] = "v";
  req.cgroup = "/gantry/default/x";
  v1::ProcessSpec exec;
  exec.add_args("true");
  exec.add_env("B=2");
  exec.add_rlimits()->set_type("RLIMIT_CORE");
  (void)runtime::exec_process(*parsed, exec).ok();
  auto adopted = runtime::adopt_config(req, *std::move(parsed));
  if (!adopted)
    return 0;
  GANTRY_CHECK((*adopted)["linux"]["cgroupsPath"] == req.cgroup);
  GANTRY_CHECK((*adopted)["root"]["path"].get<std::string>().starts_with("/"));
  GANTRY_CHECK(runtime::parse_json(runtime::config_text(*adopted, false), "ours").ok());
  (void)runtime::exec_process(*adopted, exec).ok();
  return 0;
}
