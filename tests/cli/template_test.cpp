#include "apps/gantry/template.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "apps/gantry/formats.hpp"

using namespace gantry;
using namespace gantry::cli;
using nlohmann::json;

namespace {

const json web = json::parse(R"({"id": "web", "started_at": "noon", "exit": null, "pid": 7,
  "labels": {"a.b/c": "x", "k": "v"}, "on": true, "list": [{"n": 1}, {"n": 2}], "none": []})");

std::string filled(std::string_view text) {
  auto made = text_template::parse(text);
  INFO(text);
  REQUIRE(made.ok());
  auto out = made->apply(web);
  if (!out)
    FAIL(out.why().text());
  return *out;
}

} // namespace

TEST_CASE("template: fields, by their names and by Go's") {
  CHECK(filled("{{.id}}:{{ .pid }}") == "web:7");
  CHECK(filled("{{.ID}} {{.StartedAt}}") == "web noon");
  CHECK(filled("{{.exit}}|{{.exit.code}}|") == "||");
  CHECK(filled("{{.labels.k}}") == "v");
  CHECK(filled("no field") == "no field");
  CHECK(filled("a\\tb\\nc\\\\t") == "a\tb\nc\\t");
}

TEST_CASE("template: functions") {
  CHECK(filled("{{json .labels}}") == R"({"a.b/c":"x","k":"v"})");
  CHECK(filled("{{json .}}") == web.dump());
  CHECK(filled("{{upper .id}} {{lower .ID}}") == "WEB web");
  CHECK(filled("{{len .list}}") == "2");
  CHECK(filled("{{index .labels \"a.b/c\"}}{{index .labels \"gone\"}}{{index .list 1}}")
        == "x{\"n\":2}");
}

TEST_CASE("template: parts that are shown often, once or not") {
  CHECK(filled("{{range .list}}<{{.n}}>{{end}}") == "<1><2>");
  CHECK(filled("{{range .none}}x{{else}}nothing{{end}}") == "nothing");
  CHECK(filled("{{if .exit}}gone{{else}}alive{{end}}") == "alive");
  CHECK(filled("{{if .on}}{{range .list}}{{if .n}}{{.n}}{{end}}{{end}}{{end}}.") == "12.");
}

TEST_CASE("template: what is wrong is shown, with what would be right") {
  for (const char* wrong :
       {"{{.id", "{{}}", "{{id}}", "{{..id}}", "{{end}}", "{{if .id}}x", "{{index .labels}}",
        "{{json .id .pid}}", "{{index .labels \"k}}", "{{else}}", "{{range}}x{{end}}"})
    CHECK_FALSE(text_template::parse(wrong).ok());
  std::string deep;
  for (int i = 0; i < 20; ++i)
    deep += "{{if .on}}";
  CHECK_FALSE(text_template::parse(deep).ok());
  auto unknown = text_template::parse("{{.nmae}}")->apply(web);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.why().message.find("\"nmae\"") != std::string::npos);
  CHECK(unknown.why().cure.find("labels") != std::string::npos);
}

TEST_CASE("template: a table has its columns' names above it") {
  auto made = row_format::parse("table {{.ID}}\\t{{.started_at}}");
  REQUIRE(made.ok());
  CHECK(made->rows({web, web}).value() == "ID    STARTED AT\nweb   noon\nweb   noon\n");
  CHECK(row_format::parse("{{.id}}\\t{{.pid}}")->rows({web}).value() == "web\t7\n");
}
