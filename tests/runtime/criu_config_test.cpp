#include "runtime/criu_config.hpp"

#include <nlohmann/json.hpp>

#include "tests/runtime/host_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

/// A bundle with this config.json, and what CRIU was told.
class criu_rig : public host_rig {
public:
  result<void> tell(const std::string& config) {
    spill(config_path, config);
    std::optional<result<void>> got;
    tell_criu_cgroup(*loop, dir, {}, [&got](result<void> x) { got.emplace(std::move(x)); });
    REQUIRE(until([&got] { return got.has_value(); }));
    return *got;
  }
  [[nodiscard]] std::string named() const {
    return nlohmann::json::parse(slurp(config_path))["annotations"]["org.criu.config"];
  }

  const std::string config_path = dir + "/config.json";
  const std::string path = dir + "/criu.conf";
  const std::string theirs = dir + "/theirs.conf";
};

} // namespace

TEST_CASE_METHOD(criu_rig, "a restored container's bundle names its own cgroup to CRIU",
                 "[root][uring]") {
  REQUIRE(tell(R"({"linux": {"cgroupsPath": "/g/default/c"}, "hostname": "h"})").ok());
  CHECK(named() == path);
  CHECK(slurp(path).ends_with("\ncgroup-root /g/default/c\n"));
  CHECK(nlohmann::json::parse(slurp(config_path))["hostname"] == "h");
}

TEST_CASE_METHOD(criu_rig, "what a client has to say to CRIU stays, before our cgroup",
                 "[root][uring]") {
  const auto config = R"({"linux": {"cgroupsPath": "/g/c"}, "annotations": {"a": "b",
                          "org.criu.config": ")" + theirs + "\"}}";
  spill(theirs, "tcp-established"); // Without a newline.
  REQUIRE(tell(config).ok());
  CHECK(named() == path);
  CHECK(slurp(path) == "tcp-established\ncgroup-root /g/c\n");
  CHECK(nlohmann::json::parse(slurp(config_path))["annotations"]["a"] == "b");

  std::filesystem::remove(theirs);
  const auto refused = tell(config);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.why().code == ec::not_found);
  CHECK(refused.why().message.find(theirs) != std::string::npos);
  CHECK(slurp(config_path) == config); // As it was.
}

TEST_CASE_METHOD(criu_rig, "a bundle without a cgroup is none of ours", "[root][uring]") {
  for (const auto* config : {"{}", "[]", R"({"linux": {"cgroupsPath": 1}})"})
    CHECK(tell(config).why().code == ec::invalid_argument);
  CHECK_FALSE(tell("{").ok());
}
