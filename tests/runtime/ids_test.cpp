#include "runtime/ids.hpp"

#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::runtime;

namespace {

v1::Ref ref(std::string ns, std::string id) {
  v1::Ref out;
  out.set_namespace_(std::move(ns));
  out.set_id(std::move(id));
  return out;
}

} // namespace

TEST_CASE("a plain id and an empty namespace become a name in the default namespace") {
  auto name = checked_name(ref("", "web-1.a_B"));
  REQUIRE(name.ok());
  CHECK(name->ns == "default");
  CHECK(name->id == "web-1.a_B");
  CHECK(runtime_id(*name) == "default.web-1.a_B");
}

TEST_CASE("ids that could leave a directory, hide or break a line are refused with the pattern") {
  for (std::string bad : {"../x", "a/b", "..", ".", "", ".hidden", "-flag", "_x", "a b", "a\nb",
                          "ä", "a\\b", "a:b"}) {
    INFO(bad);
    auto name = checked_name(ref("", bad));
    REQUIRE_FALSE(name.ok());
    CHECK(name.why().code == ec::invalid_argument);
    CHECK(name.why().cure.find("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}") != std::string::npos);
    CHECK(name.why().message.find('\n') == std::string::npos);
  }
  CHECK(checked_name(ref("", "../x")).why().message.starts_with("container id \"../x\": "));
}

TEST_CASE("an id has at most 128 characters, a namespace 63 and no dot") {
  CHECK(checked_name(ref("", std::string(128, 'a'))).ok());
  CHECK_FALSE(checked_name(ref("", std::string(129, 'a'))).ok());
  CHECK(checked_name(ref(std::string(63, 'n'), "a")).ok());
  CHECK_FALSE(checked_name(ref(std::string(64, 'n'), "a")).ok());
  CHECK_FALSE(checked_name(ref("a.b", "c")).ok()); // else NS.ID could mean two containers
  CHECK_FALSE(checked_name(ref(std::string("a\0b", 3), "c")).ok());
}

TEST_CASE("a process id follows the container's rule") {
  CHECK(*checked_process("probe.1") == "probe.1");
  auto bad = checked_process("a/b");
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.why().message.starts_with("process id \"a/b\""));
}

TEST_CASE("signals are known by name, by number and with an offset") {
  CHECK(*parse_signal("TERM") == 15);
  CHECK(*parse_signal("SIGTERM") == 15);
  CHECK(*parse_signal("sigkill") == 9);
  CHECK(*parse_signal("15") == 15);
  CHECK(*parse_signal("64") == 64);
  CHECK(*parse_signal("RTMIN") == 34);
  CHECK(*parse_signal("SIGRTMIN+3") == 37);
  CHECK(*parse_signal("RTMAX-1") == 63);
  CHECK(*parse_signal("CLD") == *parse_signal("CHLD"));
}

TEST_CASE("what is no signal is refused with a cure") {
  for (std::string bad : {"FOO", "", "0", "-9", "65", "9999999999999", "SIG", "RTMIN+31", "RTMIN-1",
                          "RTMAX+1", "RTMIN+", "15x", " 15", "SIGSIGTERM"}) {
    INFO(bad);
    auto signal = parse_signal(bad);
    REQUIRE_FALSE(signal.ok());
    CHECK(signal.why().code == ec::invalid_argument);
    CHECK(signal.why().cure.find("RTMIN+3") != std::string::npos);
  }
  CHECK(parse_signal("FOO").why().message == "signal \"FOO\": there is no such signal");
}

TEST_CASE("every signal below 32 has a name that parses back") {
  for (int signal = 1; signal < 32; ++signal) {
    INFO(signal);
    CHECK(*parse_signal(signal_name(signal)) == signal);
  }
  CHECK(signal_name(15) == "SIGTERM");
  CHECK(signal_name(64) == "signal 64");
}
