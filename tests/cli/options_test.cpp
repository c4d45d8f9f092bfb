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
                         "when-full=drop-oldest,rate=1m,max-age=24h,compress=true", "--log-driver",
                         "cri", "--rootfs", "/", "x"});
  CHECK(o.spec.log().max_file_bytes() == 1u << 20);
  CHECK(o.spec.log().max_files() == 3);
  CHECK(o.spec.log().when_full() == "drop-oldest");
  CHECK(o.spec.log().rate_bytes() == 1u << 20);
  CHECK(o.spec.log().max_age_ns() == 24 * 3600 * int64_t{1'000'000'000});
  CHECK(o.spec.log().compress());
  CHECK(o.spec.log().format() == "cri");
  CHECK(refused({"run", "--log-driver", "paper", "--rootfs", "/", "x"}).exit_code == 125);
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

TEST_CASE("options: the first word that is no option's value begins the command") {
  using list = std::vector<std::string>;
  const auto command_of = [](std::vector<const char*> more) {
    more.insert(more.begin(), {"run", "--rootfs", "/"});
    const auto o = parsed(std::move(more));
    return list(o.spec.args().begin(), o.spec.args().end());
  };
  CHECK(command_of({"-d", "--name", "x", "sh", "-c", "--name"}) == list{"sh", "-c", "--name"});
  CHECK(command_of({"--name=x", "sh"}) == list{"sh"});
  CHECK(command_of({"-eA=1", "sh"}) == list{"sh"});
  CHECK(command_of({"-die", "A=1", "sh"}) == list{"sh"});
  CHECK(command_of({"-d", "--", "-odd", "--", "x"}) == list{"-odd", "--", "x"});
  CHECK(command_of({"sh", "--", "x"}) == list{"sh", "--", "x"});
}

TEST_CASE("options: short flags are glued, values too, and a flag can be switched off") {
  const auto o = parsed({"run", "-dieA=1", "-m64m", "-u=7", "--rm=false", "--rootfs", "/", "x"});
  CHECK(o.detach);
  CHECK(o.spec.with_stdin());
  CHECK(o.spec.env(0) == "A=1");
  CHECK(o.spec.resources().memory_bytes() == 64 << 20);
  CHECK(o.spec.user() == "7");
  CHECK_FALSE(o.spec.remove_on_exit());
  CHECK(refused({"run", "--rm=maybe", "--rootfs", "/", "x"}).why.cure == "true or false");
}

TEST_CASE("options: of one that is given twice the last one holds") {
  CHECK(parsed({"run", "--name", "a", "--name", "b", "--rootfs", "/", "x"}).name == "b");
  const auto env = parsed({"run", "-e", "A=1", "-e", "B=1", "-e", "B=2", "--rootfs", "/", "x"})
                     .spec.env();
  REQUIRE(env.size() == 2);
  CHECK(env[1] == "B=2");
}

TEST_CASE("options: how an exec ends") {
  const auto o = parsed({"exec", "--timeout", "1.5s", "--on-disconnect=kill", "--ttl", "10m",
                         "--privileged", "--sync", "--head", "1k", "--tail", "2k", "web", "ls"});
  CHECK(o.process_spec.timeout_ns() == 1'500'000'000);
  CHECK(o.process_spec.on_disconnect() == gantry::v1::KILL);
  CHECK(o.process_spec.ttl_ns() == 600'000'000'000);
  CHECK(o.process_spec.privileged());
  CHECK(o.sync);
  CHECK(o.head_bytes == 1024u);
  CHECK(o.tail_bytes == 2048u);
  CHECK(parsed({"exec", "--cap", "KILL", "--cap", "chown", "web", "ls"})
          .process_spec.capabilities_size() == 2);
  for (const auto& wrong : std::vector<std::vector<const char*>>{
         {"exec", "--on-disconnect", "maybe", "web", "ls"},
         {"exec", "-d", "--on-disconnect", "kill", "web", "ls"},
         {"exec", "-d", "--sync", "web", "ls"},
         {"exec", "-i", "--sync", "web", "ls"},
         {"exec", "--head", "1k", "web", "ls"}})
    CHECK(refused(wrong).exit_code == 125);
  CHECK(parsed({"kill", "--tree", "web", "job"}).tree);
}

TEST_CASE("options: an id comes before the command of exec, options around it") {
  const auto o = parsed({"exec", "-d", "web", "--id", "job", "--", "-odd"});
  CHECK(o.ids == std::vector<std::string>{"web"});
  CHECK(o.name == "job");
  CHECK(o.process_spec.args(0) == "-odd");
  CHECK(parsed({"exec", "--", "web", "ls"}).process_spec.args(0) == "ls");
  CHECK(parsed({"exec", "--", "web", "--", "ls"}).process_spec.args(0) == "ls");
  CHECK(parsed({"exec", "web", "ls", "-d"}).process_spec.args(1) == "-d");
}

TEST_CASE("options: filters of lists and of events") {
  const auto ps = parsed({"ps", "--filter", "status=exited", "--filter", "label=a", "--filter",
                          "label=b=c", "--filter=name=we", "--filter", "exited=137"});
  CHECK(ps.list_filter.states(0) == gantry::v1::STOPPED);
  CHECK(ps.list_filter.label_keys(0) == "a");
  CHECK(ps.list_filter.labels().at("b") == "c");
  CHECK(ps.list_filter.ids(0) == "we");
  CHECK(ps.list_filter.exit_codes(0) == 137);
  const auto events =
    parsed({"events", "--filter", "process=init", "--filter", "label=a", "--since", "10m"});
  CHECK(events.filter.processes(0) == "init");
  CHECK(events.filter.label_keys(0) == "a");
  CHECK(events.since_ns.has_value());
  CHECK(parsed({"events", "--since", "3:7"}).since == "3:7");
  for (const char* wrong : {"colour=red", "state=happy", "exited=x", "state"})
    CHECK(refused({"ps", "--filter", wrong}).exit_code == 1);
}

TEST_CASE("options: logs are cut by time, text and stream") {
  const auto o = parsed({"logs", "--since", "1970-01-01", "--until", "1970-01-01T00:00:01Z",
                         "--grep", "x", "--stream", "stderr", "web"});
  CHECK(o.since_ns.has_value());
  CHECK(o.until_ns == 1'000'000'000);
  CHECK(o.grep == "x");
  CHECK(o.stream == 2);
  CHECK(parsed({"logs", "--since", "10", "web"}).since_ns.has_value());
  CHECK(refused({"logs", "--stream", "stdin", "web"}).exit_code == 1);
  CHECK(refused({"logs", "--since", "3:7", "web"}).why.message.starts_with("logs: --since: "));
  CHECK(refused({"logs", "--until", "noon", "web"}).why.message.starts_with("logs: --until: "));
  CHECK(refused({"logs", "--since", "5m", "--until", "10m", "web"}).why.text().find("later")
        != std::string::npos);
  CHECK(refused({"logs", "--grep", "", "web"}).why.text().find("empty") != std::string::npos);
  CHECK(refused({"logs", "--grep", "a\nb", "web"}).why.text().find("newline")
        != std::string::npos);
}

TEST_CASE("options: named FIFOs are absolute, and one for stdin asks for a stdin") {
  const auto o = parsed({"run", "-d", "--stdin-fifo", "/p/in", "--stdout-fifo", "/p/../out",
                         "--rootfs", "/", "cat"});
  CHECK(o.spec.with_stdin());
  CHECK_FALSE(o.interactive);
  CHECK(o.spec.fifos().stdin_path() == "/p/in");
  CHECK(o.spec.fifos().stdout_path() == "/out");
  CHECK_FALSE(parsed({"run", "--rootfs", "/", "cat"}).spec.has_fifos());
  const auto exec = parsed({"exec", "--stderr-fifo", "err", "web", "ls"}).process_spec;
  CHECK(exec.fifos().stderr_path().starts_with("/"));
  CHECK_FALSE(exec.with_stdin());
  CHECK(refused({"run", "--stdin-fifo", "", "--rootfs", "/", "x"}).exit_code == 125);
  CHECK(refused({"exec", "-t", "--stderr-fifo", "/e", "web", "x"}).exit_code == 125);
}

TEST_CASE("options: a format is a word or a template") {
  CHECK(parsed({"ps", "--format", "json"}).json);
  CHECK(parsed({"ps", "--format", "table"}).format.empty());
  CHECK(parsed({"ps", "--format", "{{.ID}}"}).format == "{{.ID}}");
  CHECK(refused({"ps", "--format", "yaml"}).exit_code == 1);
  CHECK(refused({"ps", "--format", "{{.ID"}).exit_code == 1);
}

TEST_CASE("options: what docker has and gantry has not is answered with what to do") {
  CHECK(refused({"run", "-p", "80:80", "x"}).why.cure.find("--network host") != std::string::npos);
  CHECK(refused({"run", "busybox", "sh"}).why.message.find("no images") != std::string::npos);
}

TEST_CASE("options: what is wrong is named, with what was meant") {
  CHECK(refused({"run", "--nmae", "x"}).why.cure == "did you mean --name?");
  CHECK(refused({"ps", "--memory", "1"}).why.cure == "it is an option of: run create update");
  CHECK(refused({"run", "--name"}).why.message == "run: --name lacks its value");
  CHECK(refused({"run", "-dx"}).why.message == "run: there is no option -x");
  CHECK(refused({"strat"}).why.cure == "did you mean start?");
  CHECK(refused({"ps", "web"}).exit_code == 1);
  CHECK(parsed({"unpause", "web"}).verb == "resume");
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
