#include "gateways/bus/grpc_frame.hpp"

#include <catch2/catch.hpp>

#include "messages/gantry.pb.h"

using namespace gantry;
using namespace std::chrono_literals;

TEST_CASE("grpc frame: a message may be cut anywhere") {
  v1::KillRequest request;
  request.mutable_ref()->set_id("web");
  std::string bytes;
  bus::append_frame(bytes, request);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    bus::frame_reader reader(1024);
    CHECK(reader.feed(std::span(bytes).first(cut)).ok());
    CHECK(reader.empty() == (cut == 0));
    CHECK(reader.whole() == (cut == bytes.size()));
    CHECK(reader.feed(std::span(bytes).subspan(cut)).ok());
    REQUIRE(reader.whole());
    CHECK(reader.message() == request.SerializeAsString());
  }
}

TEST_CASE("grpc frame: an empty message is a message") {
  bus::frame_reader reader(0);
  CHECK_FALSE(reader.whole());
  REQUIRE(reader.feed(std::string(5, '\0')).ok());
  CHECK(reader.whole());
  CHECK(reader.message().empty());
}

TEST_CASE("grpc frame: the limit is exact, and refuses before a byte of the message came") {
  const std::string prefix("\0\0\0\0\x10", 5);
  bus::frame_reader enough(16);
  CHECK(enough.feed(prefix).ok());
  bus::frame_reader small(15);
  const auto r = small.feed(prefix);
  REQUIRE_FALSE(r.ok());
  CHECK(r.why().code == ec::resource_exhausted);
  bus::frame_reader huge(4u << 20);
  CHECK(huge.feed(std::string("\0\xff\xff\xff\xff", 5)).why().code == ec::resource_exhausted);
}

TEST_CASE("grpc frame: compressed, damaged and double messages are refused") {
  bus::frame_reader compressed(16);
  CHECK(compressed.feed(std::string("\1\0\0\0\0", 5)).why().code == ec::unsupported);
  bus::frame_reader damaged(16);
  CHECK(damaged.feed(std::string("\7\0\0\0\0", 5)).why().code == ec::invalid_argument);
  bus::frame_reader twice(16);
  CHECK(twice.feed(std::string(6, '\0')).why().code == ec::invalid_argument);
}

TEST_CASE("percent encoding: keeps what is printable and comes back as it was") {
  CHECK(bus::percent_encode("a b~!", 100) == "a b~!");
  CHECK(bus::percent_encode("50% \n\x7f", 100) == "50%25 %0A%7F");
  CHECK(bus::percent_encode("\xc3\xa9", 100) == "%C3%A9");
  std::string all;
  for (int c = 0; c < 256; ++c)
    all.push_back(char(c));
  CHECK(bus::percent_decode(bus::percent_encode(all, 10'000)) == all);
  CHECK(bus::percent_decode("%") == "%");
  CHECK(bus::percent_decode("%4") == "%4");
  CHECK(bus::percent_decode("%zz%41") == "%zzA");
}

TEST_CASE("percent encoding: a long text is cut between characters") {
  CHECK(bus::percent_encode("abcdef", 4) == "abcd...");
  CHECK(bus::percent_encode("ab\xc3\xa9", 7) == "ab...");
  CHECK(bus::percent_encode("ab\xc3\xa9", 8) == "ab%C3%A9");
  CHECK(bus::percent_encode("\xf0\x9f", 100) == "%F0%9F"); // cut off already
}

TEST_CASE("grpc timeout: digits and a unit") {
  CHECK(bus::parse_timeout("1H") == std::optional<io::nanoseconds>(1h));
  CHECK(bus::parse_timeout("2M") == std::optional<io::nanoseconds>(2min));
  CHECK(bus::parse_timeout("3S") == std::optional<io::nanoseconds>(3s));
  CHECK(bus::parse_timeout("4m") == std::optional<io::nanoseconds>(4ms));
  CHECK(bus::parse_timeout("5u") == std::optional<io::nanoseconds>(5us));
  CHECK(bus::parse_timeout("6n") == std::optional<io::nanoseconds>(6ns));
  CHECK(bus::parse_timeout("99999999H") > std::optional<io::nanoseconds>(800'000h));
  for (const auto* bad : {"", "S", "1", "1s", "-1S", "1 S", "123456789S", "1.5S"})
    CHECK_FALSE(bus::parse_timeout(bad));
}
