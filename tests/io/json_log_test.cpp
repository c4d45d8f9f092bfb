#include "io/json_log.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>

using namespace gantry::io;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

constexpr int64_t a_time = 1'795'646'400'123'456'789; // 2026-11-25T22:40:00.123456789Z

struct formatted {
  std::string text;
  size_t taken = 0;
};

formatted format(std::string_view pending, record_style style = {}, size_t known = 0) {
  if (style.time_ns == 0)
    style.time_ns = a_time;
  page_buffer out;
  const size_t taken = append_records(pending, known, style, out);
  return {std::string(out.text()), taken};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// Every record parsed by us, the bytes joined.
std::string read_back(const std::string& text) {
  std::string out;
  for (const std::string& line : lines_of(text)) {
    log_piece piece;
    INFO(line);
    REQUIRE(parse_record(line, piece));
    out += piece.bytes;
  }
  return out;
}

} // namespace

TEST_CASE("json_log: a record is what Docker writes") {
  const auto x = format("hello \"world\"\\\t\x01\n");
  CHECK(x.text == R"({"log":"hello \"world\"\\\t\u0001\n","stream":"stdout",)"
                  R"("time":"2026-11-25T22:40:00.123456789Z"})"
                  "\n");
  CHECK(x.taken == 17);
  CHECK(format("x\n", {.stream = 1}).text.find(R"("stream":"stderr")") != std::string::npos);
}

TEST_CASE("json_log: an unfinished line waits, unless it is the last word") {
  CHECK(format("one\ntwo").taken == 4);
  CHECK(format("two").text.empty());
  const auto x = format("one\ntwo", {.to_end = true});
  CHECK(x.taken == 7);
  CHECK(lines_of(x.text).size() == 2);
  CHECK(lines_of(x.text)[1].starts_with(R"({"log":"two","stream")"));
}

TEST_CASE("json_log: every text survives, and another JSON reader agrees") {
  const std::string text = "tab\t quote\" back\\ slash/ <html>&amp; nul\0 del\x7f "
                           "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8b \xe2\x80\xa8\xe2\x80\xa9 end\n"s;
  const auto x = format(text);
  CHECK(read_back(x.text) == text);
  CHECK(x.text.find("\"raw\"") == std::string::npos);
  CHECK(x.text.find("\\u2028\\u2029") != std::string::npos);
  const auto json = nlohmann::json::parse(x.text);
  CHECK(json["log"].get<std::string>() == text);
}

TEST_CASE("json_log: bytes that are no UTF-8 are kept exactly, beside a readable text") {
  const auto bad = GENERATE("\xff\n"s, "\xc3\n"s, "a\x80z\n"s, "\xc0\xaf\n"s, "\xe0\x80\x80\n"s,
                            "\xed\xa0\x80\n"s, "\xf4\x90\x80\x80\n"s, "\xf5\x80\x80\x80\n"s,
                            "\xe2\x82\n"s, "\xf0\x9f\x90\n"s, "ab\xfe\n"s);
  const auto x = format(bad);
  CHECK(read_back(x.text) == bad);
  CHECK(x.text.find("\"raw\":\"") != std::string::npos);
  const auto json = nlohmann::json::parse(x.text); // Throws where the text is no UTF-8.
  CHECK(json["log"].get<std::string>().find("\xef\xbf\xbd") != std::string::npos);
}

TEST_CASE("json_log: every single byte and every pair can be read back") {
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; ++b) {
      const std::string text{static_cast<char>(a), static_cast<char>(b)};
      const auto x = format(text, {.to_end = true});
      if (read_back(x.text) != text)
        FAIL("bytes " << a << " " << b << ": " << x.text);
    }
}

TEST_CASE("json_log: random bytes at every alignment can be read back") {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % 200, '\0');
    const bool ascii = random() % 2 == 0;
    for (char& c : text)
      c = static_cast<char>(ascii ? 0x20 + random() % 0x60 : random());
    const auto x = format(text, {.max_line = 50, .to_end = true});
    CHECK(x.taken == text.size());
    if (read_back(x.text) != text)
      FAIL("round " << round);
  }
}

TEST_CASE("json_log: a line that is too long is cut, but no character is") {
  const std::string line = "0123456789\xe2\x82\xac"
                           "0123456789\n";
  for (size_t most = 8; most < 24; ++most) {
    const auto x = format(line, {.max_line = most});
    CHECK(read_back(x.text) == line);
    CHECK(x.text.find("\"raw\"") == std::string::npos);
  }
  // As long as allowed is not too long; the newline does not count.
  CHECK(lines_of(format("12345678\n", {.max_line = 8}).text).size() == 1);
  CHECK(lines_of(format("123456789\n", {.max_line = 8}).text).size() == 2);
  CHECK(format("12345678", {.max_line = 8}).text.empty());
  CHECK(format("123456789", {.max_line = 8}).taken == 8);
}

TEST_CASE("json_log: how the bytes came does not change where a long line is cut") {
  std::string line(1000, 'a');
  line += "\n";
  const auto whole = format(line, {.max_line = 64});
  std::string pieces, pending;
  for (const char c : line) {
    pending += c;
    const auto x = format(pending, {.max_line = 64}, pending.size() - 1);
    pieces += x.text;
    pending.erase(0, x.taken);
  }
  CHECK(pending.empty());
  CHECK(pieces == whole.text);
}

TEST_CASE("json_log: output is bounded, whatever the input") {
  const std::string newlines(100'000, '\n');
  const auto x = format(newlines, {.enough = 10'000});
  CHECK(x.text.size() >= 10'000);
  CHECK(x.text.size() < 10'200);
  CHECK(x.taken == lines_of(x.text).size());
}

TEST_CASE("json_log: records of others are read in any order") {
  log_piece x;
  REQUIRE(parse_record(R"({"time":"2026-11-25T23:40:00.5+01:00","stream":"stderr","log":"\u00e4\/)"
                       R"(\ud83d\udc0b\ud83d!\b\f","attrs":{"tag":"x","n":"1"}} )",
                       x));
  CHECK(x.stream == 2);
  CHECK(x.bytes == "\xc3\xa4/\xf0\x9f\x90\x8b\xef\xbf\xbd!\b\f");
  CHECK(x.time_ns == 1'795'646'400'500'000'000);
  REQUIRE(parse_record(R"({"raw":"/w==","log":"\ufffd","stream":"stdout"})", x));
  CHECK(x.bytes == "\xff");
  REQUIRE(
    parse_record(R"({"log":"","stream":"stdout","time":"1970-01-01T00:00:00Z","attrs":{}})", x));
  CHECK(x.bytes.empty());
  CHECK(x.time_ns == 0);
}

TEST_CASE("json_log: what is no record is refused") {
  const auto bad = GENERATE(
    "", "{", "{}", "[]", "null", "{\"log\":\"x\"}", "{\"stream\":\"stdout\"}",
    R"({"log":"x","stream":"stdin"})", R"({"log":"x","stream":"stdout"}})",
    R"({"log":"x","stream":"stdout"},)", R"({"log":"x,"stream":"stdout"})",
    R"({"log":1,"stream":"stdout"})", R"({"log":"x","stream":"stdout","more":"x"})",
    R"({"log":"\x","stream":"stdout"})", R"({"log":"\u12","stream":"stdout"})",
    R"({"log":"\ud83d\u","stream":"stdout"})", R"({"log":"x","stream":"stdout","raw":"a"})",
    R"({"log":"x","stream":"stdout","raw":"a==="})",
    R"({"log":"x","stream":"stdout","raw":"a.b="})",
    R"({"log":"x","stream":"stdout","time":"yesterday"})",
    R"({"log":"x","stream":"stdout","time":"2026-13-01T00:00:00Z"})",
    R"({"log":"x","stream":"stdout","time":"2026-01-01T00:00:00"})",
    R"({"log":"x","stream":"stdout","time":"2026-01-01T00:00:00.Z"})",
    R"({"log":"x","stream":"stdout","attrs":{"a":1}})", "{\"log\":\"a\nb\",\"stream\":\"stdout\"}");
  log_piece x;
  INFO(bad);
  CHECK_FALSE(parse_record(bad, x));
}

TEST_CASE("json_log: times read and write the same") {
  for (const int64_t t : {int64_t(0), int64_t(1), a_time, int64_t(951'782'400'000'000'000),
                          int64_t(4'102'444'799'999'999'999)}) {
    const auto text = time_text(t);
    int64_t back = -1;
    INFO(std::string_view(text.data(), text.size()));
    CHECK(parse_time({text.data(), text.size()}, back));
    CHECK(back == t);
  }
}
