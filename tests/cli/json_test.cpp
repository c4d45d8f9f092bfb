#include "apps/gantry/json.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "apps/gantry/objects.hpp"

using namespace gantry::cli;
namespace v1 = gantry::v1;

TEST_CASE("json: every byte can stand in a string, and comes back") {
  std::string all;
  for (int c = 0; c < 128; ++c)
    all.push_back(static_cast<char>(c));
  all += "Grüße \xf0\x9f\x90\xb3";
  CHECK(nlohmann::json::parse(json_quoted(all)) == all);
}

TEST_CASE("json: what is not UTF-8 is replaced, byte by byte") {
  // A lone continuation, overlong forms, a surrogate, beyond Unicode, cut off.
  for (const char* wrong : {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                            "\xf5\x80\x80\x80", "\xe2\x82"}) {
    CHECK_FALSE(is_utf8(wrong));
    CHECK(nlohmann::json::accept(json_quoted(wrong)));
    CHECK(json_quoted(wrong).find("\xef\xbf\xbd") != std::string::npos);
  }
  CHECK(is_utf8("\xf4\x8f\xbf\xbf"));
}

TEST_CASE("json: base64 has its padding") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("\xff\xfe") == "//4=");
}

TEST_CASE("json: reformatting changes white space and nothing else") {
  const std::string text = R"({"a":[1,2,{}],"b":{"c":"x: {y}, \"[z]\" "},"d":[]})";
  const std::string wide = json_reformatted(text, 2);
  CHECK(wide.find("\n  \"b\": {\n    \"c\": \"x: {y}, \\\"[z]\\\" \"\n  },") != std::string::npos);
  CHECK(wide.find("{}") != std::string::npos);
  CHECK(json_reformatted(wide, 0) == text);
}

TEST_CASE("json: half a text does not run past its end") {
  for (const char* half : {"{", "\"", "\"\\", "[[[", "}", "{\"a\":"})
    CHECK(json_reformatted(half, 2).size() < 40);
}

TEST_CASE("json: 64-bit numbers keep every digit") {
  const auto text = json_object()
                      .number("most", UINT64_MAX)
                      .number("least", INT64_MIN)
                      .number("odd", (uint64_t{1} << 53) + 1)
                      .done();
  CHECK(text
        == R"({"most":18446744073709551615,"least":-9223372036854775808,)"
           R"("odd":9007199254740993})");
}

TEST_CASE("json: an exit event has its members at the top, and null for what is not") {
  v1::Event e;
  e.set_type("exit");
  e.mutable_exit()->set_signal(9);
  const auto killed = nlohmann::json::parse(to_json(e));
  CHECK(killed["exit_code"].is_null());
  CHECK(killed["signal"] == 9);
  CHECK(killed["by"].is_null());
  e.mutable_exit()->set_exit_code(0); // There, and zero.
  CHECK(nlohmann::json::parse(to_json(e))["exit_code"] == 0);
}

TEST_CASE("json: a bundle's config is embedded, and kept as text when it is no JSON") {
  v1::ContainerDetail d;
  d.set_config_json("{\n \"ociVersion\": \"1.0.2\" }");
  CHECK(nlohmann::json::parse(to_json(d))["config"]["ociVersion"] == "1.0.2");
  CHECK(to_json(d).find('\n') == std::string::npos);
  d.set_config_json("{\"half\": ");
  CHECK(nlohmann::json::parse(to_json(d))["config"] == "{\"half\": ");
}
