#include "apps/gantry/units.hpp"

#include <catch2/catch.hpp>

using namespace gantry::cli;

TEST_CASE("units: a size is exact, and what is not a size is refused") {
  CHECK(parse_size("4096").value() == 4096);
  CHECK(parse_size("64m").value() == 64 << 20);
  CHECK(parse_size("1.5G").value() == 3ll << 29);
  CHECK(parse_size("512KiB").value() == 512 << 10);
  CHECK(parse_size("2kb").value() == 2048);
  CHECK(parse_size("7b").value() == 7);
  CHECK(parse_size("9223372036854775807").value() == INT64_MAX);
  CHECK(parse_limit("-1").value() == -1);
  for (const char* wrong : {"", "m", "64q", "64mm", "-1", "1e3", " 1", "1 ", "0x10", "1.", ".5",
                            "9223372036854775808", "8388608t", "99999999999999999999", "1,5g"})
    CHECK_FALSE(parse_size(wrong).ok());
  CHECK(parse_size("64q").why().text().find("\"64q\"") != std::string::npos);
}

TEST_CASE("units: a duration is seconds, or says its units") {
  CHECK(parse_duration("10").value() == 10'000'000'000);
  CHECK(parse_duration("2.5").value() == 2'500'000'000);
  CHECK(parse_duration("500ms").value() == 500'000'000);
  CHECK(parse_duration("1m30s").value() == 90'000'000'000);
  CHECK(parse_duration("0").value() == 0);
  for (const char* wrong : {"", "soon", "1m30", "10 s", "-1", "1d", "s", "99999999999h"})
    CHECK_FALSE(parse_duration(wrong).ok());
}

TEST_CASE("units: CPUs are billionths without rounding") {
  CHECK(parse_cpus("1.5").value() == 1'500'000'000);
  CHECK(parse_cpus("0.1").value() == 100'000'000);
  CHECK(parse_cpus("0.000000001").value() == 1);
  for (const char* wrong : {"", "0", "0.0", "1.0000000001", "1,5", "two", "-1", "1e3", "10000000"})
    CHECK_FALSE(parse_cpus(wrong).ok());
}

TEST_CASE("units: a cursor is EPOCH:SEQ, a bare number has no epoch") {
  CHECK(parse_cursor("3:1204")->epoch == 3u);
  CHECK(parse_cursor("3:1204")->seq == 1204u);
  CHECK_FALSE(parse_cursor("17")->epoch.has_value());
  CHECK(parse_cursor("0")->seq == 0u);
  for (const char* wrong : {"", ":", "3:", ":4", "a:b", "1:2:3", "-1", "18446744073709551616"})
    CHECK_FALSE(parse_cursor(wrong).ok());
}

TEST_CASE("units: times are RFC 3339 with nine decimals, before 1970 too") {
  CHECK(time_text(0) == "1970-01-01T00:00:00.000000000Z");
  CHECK(time_text(1'700'000'000'123'456'789) == "2023-11-14T22:13:20.123456789Z");
  CHECK(time_text(-1) == "1969-12-31T23:59:59.999999999Z");
}

TEST_CASE("units: ages are said as docker says them") {
  constexpr int64_t s = 1'000'000'000;
  CHECK(age_text(-5 * s) == "Less than a second");
  CHECK(age_text(1 * s) == "1 second");
  CHECK(age_text(59 * s) == "59 seconds");
  CHECK(age_text(119 * s) == "About a minute");
  CHECK(age_text(180 * s) == "3 minutes");
  CHECK(age_text(3600 * s) == "About an hour");
  CHECK(age_text(47 * 3600 * s) == "47 hours");
  CHECK(age_text(49 * 3600 * s) == "2 days");
  CHECK(age_text(20ll * 86400 * s) == "2 weeks");
}

TEST_CASE("units: sizes and signals are readable") {
  CHECK(size_text(0) == "0B");
  CHECK(size_text(1023) == "1023B");
  CHECK(size_text(64u << 20) == "64MiB");
  CHECK(size_text(1610612736) == "1.5GiB");
  CHECK(size_text(UINT64_MAX) == "16384PiB");
  CHECK(signal_text(9) == "SIGKILL");
  CHECK(signal_text(37) == "SIGRTMIN+3");
  CHECK(signal_text(99) == "signal 99");
}

TEST_CASE("units: no control character of a container reaches a terminal") {
  CHECK(printable("a\x1b[2Jb\x7f\xc2\x9b"
                  "c\n\td")
        == "a?[2Jb??c  d");
  CHECK(printable("Grüße") == "Grüße");
}

TEST_CASE("units: a time is RFC 3339, or so long ago") {
  constexpr int64_t second = 1'000'000'000;
  const auto at = [](const char* text) { return parse_time(text, 100 * second).value(); };
  CHECK(at("1970-01-02") == 86400 * second);
  CHECK(at("1970-01-01T00:00:01Z") == second);
  CHECK(at("1970-01-01T00:00:01.000000005Z") == second + 5);
  CHECK(at("1970-01-01T02:00:01+02:00") == second);
  CHECK(at("1970-01-01T00:00:01-00:01") == 61 * second);
  CHECK(at("10s") == 90 * second);
  CHECK(at("1m") == 40 * second);
  CHECK(at("1970-01-01T00:00:01") == second);
  for (const char* wrong : {"", "yesterday", "1970-13-01", "1970-01-01T", "1970-01-01T25:00:00Z",
                            "1970-01-01T00:00:00X", "1970-01-01T00:00:00.Z", "1969-01-01",
                            "1970-01-01T00:00:00+2:00", "1970-01-0a"})
    CHECK_FALSE(parse_time(wrong, 0).ok());
}
