#include "apps/gantry/split.hpp"

#include <catch2/catch.hpp>

using namespace gantry::cli;
using words = std::vector<std::string>;

namespace {

bool takes_value(std::string_view name) {
  return name == "-e" || name == "--name";
}

split_line cut(const words& args, size_t positionals = 0) {
  return split_at_command(args, positionals, takes_value);
}

} // namespace

TEST_CASE("split: the first word that is no option's value begins the command") {
  CHECK(cut({"-d", "--name", "x", "sh", "-c", "--name"}).command == words{"sh", "-c", "--name"});
  CHECK(cut({"-d", "--name", "x", "sh"}).own == words{"-d", "--name", "x"});
  CHECK(cut({"--name=x", "sh"}).command == words{"sh"});
  CHECK(cut({"-eA=1", "sh"}).command == words{"sh"});
  CHECK(cut({"-de", "A=1", "sh"}).command == words{"sh"});
  CHECK(cut({"-deA=1", "sh"}).command == words{"sh"});
}

TEST_CASE("split: two dashes end the options, also before a command with a dash") {
  CHECK(cut({"-d", "--", "-odd", "--", "x"}).command == words{"-odd", "--", "x"});
  CHECK(cut({"sh", "--", "x"}).command == words{"sh", "--", "x"});
  CHECK(cut({"--"}).command.empty());
}

TEST_CASE("split: an id comes before the command of exec, options around it") {
  const auto whole = cut({"-d", "web", "--name", "job", "--", "-odd"}, 1);
  CHECK(whole.own == words{"-d", "web", "--name", "job"});
  CHECK(whole.command == words{"-odd"});
  CHECK(cut({"web", "ls", "-d"}, 1).command == words{"ls", "-d"});
  CHECK(cut({"--", "web", "ls"}, 1).own == words{"web"});
  CHECK(cut({"--", "web", "--", "ls"}, 1).command == words{"ls"});
  CHECK(cut({"web"}, 1).command.empty());
}

TEST_CASE("split: an option that lacks its value is left for the parser to refuse") {
  CHECK(cut({"--name"}).own == words{"--name"});
  CHECK(cut({}).own.empty());
}
