#include "apps/gantry/options.hpp"

#include <cstdlib>

#include <catch2/catch.hpp>

using namespace gantry::cli;

namespace {

using outcome = std::variant<options, answer, usage_error>;

outcome parse(std::vector<const char*> words) {
  words.insert(words.begin(), "gantry");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

options parsed(std::vector<const char*> words) {
  auto out = parse(std::move(words));
  if (const auto* wrong = std::get_if<usage_error>(&out))
    FAIL(wrong->why.text());
  return std::get<options>(std::move(out));
}

usage_error refused(std::vector<const char*> words) {
  auto out = parse(std::move(words));
  REQUIRE(std::holds_alternative<usage_error>(out));
  return std::get<usage_error>(std::move(out));
}

} // namespace

TEST_CASE("options: global options work before and behind the command") {
  CHECK(parsed({"--socket", "/a", "ps"}).socket == "/a");
  CHECK(parsed({"ps", "--socket=/a", "-n", "x", "--json"}).ns == "x");
  CHECK(parsed({"run", "--socket", "/a", "--rootfs", "/", "true"}).socket == "/a");
  CHECK(parsed({"-n", "ps", "ps"}).ns == "ps"); // A value that looks like a command.
}

TEST_CASE("options: the environment names socket and namespace, options win") {
  ::setenv("GANTRY_SOCKET", "/from/env", 1);
  ::setenv("GANTRY_NAMESPACE", "ns", 1);
  CHECK(parsed({"ps"}).socket == "/from/env");
  CHECK(parsed({"ps"}).ns == "ns");
  CHECK(parsed({"ps", "--socket", "/a"}).socket == "/a");
  ::setenv("GANTRY_SOCKET", "", 1);
  CHECK(parsed({"ps"}).socket == "/run/gantry/gantry.sock");
  ::unsetenv("GANTRY_SOCKET");
  ::unsetenv("GANTRY_NAMESPACE");
}

TEST_CASE("options: log options come alone or with commas, and unknown ones are refused") {
  const auto o = parsed({"create", "--log-opt", "max-size=1m,max-file=3", "--log-opt",
                         "when-full=drop", "--rootfs", "/", "x"});
  CHECK(o.spec.log().max_file_bytes() == 1u << 20);
  CHECK(o.spec.log().max_files() == 3);
  CHECK(o.spec.log().drop_when_full());
  for (const char* wrong : {"max-size", "max-file=0", "colour=red", "when-full=maybe", ""})
    CHECK(refused({"run", "--log-opt", wrong, "--rootfs", "/", "x"}).exit_code == 125);
}

TEST_CASE("options: a wrong command line gives 125 to run, create and exec, else 1") {
  CHECK(refused({"run"}).exit_code == 125);
  CHECK(refused({"create", "--rootfs", "/"}).exit_code == 125);
  CHECK(refused({"run", "--rootfs", "/", "--bundle", "/", "x"}).exit_code == 125);
  CHECK(refused({"exec", "web"}).exit_code == 125);
  CHECK(refused({"logs"}).exit_code == 1);
  CHECK(refused({"logs", "--tail", "0", "web"}).exit_code == 1);
  CHECK(refused({"logs", "a", "b", "c"}).exit_code == 1);
  CHECK(refused({"events", "--since", "yesterday"}).exit_code == 1);
  CHECK(refused({"frobnicate"}).exit_code == 1);
  CHECK(refused({"--json"}).exit_code == 1);
}

TEST_CASE("options: help and version are answers, a command's own --help is not") {
  CHECK(std::holds_alternative<answer>(parse({})));
  CHECK(std::holds_alternative<answer>(parse({"--version"})));
  CHECK(std::holds_alternative<answer>(parse({"help", "run"})));
  CHECK(parsed({"run", "--rootfs", "/", "ls", "--help"}).spec.args(1) == "--help");
}

TEST_CASE("options: every command has a help that names its options and usage") {
  for (const auto& w : all_words()) {
    if (w.verb.empty())
      continue;
    const auto out = parse({w.verb.c_str(), "--help"});
    REQUIRE(std::holds_alternative<answer>(out));
    const auto& text = std::get<answer>(out).text;
    CHECK(text.find("Usage: gantry " + w.verb) != std::string::npos);
    CHECK(text.find(w.summary) != std::string::npos);
    for (const auto& o : w.options)
      CHECK(text.find(o.name) != std::string::npos);
  }
}
