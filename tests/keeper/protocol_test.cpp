#include "apps/keeper/protocol.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "apps/keeper/keeper.hpp"
#include "io/launch.hpp"

using namespace gantry;
using namespace gantry::keeper;
using wire::refusal;
using wire::word;

namespace {

io::keeper_packet packet(const wire::message& m, size_t fds = 0, bool cut = false,
                         ssize_t size = sizeof(wire::message)) {
  io::keeper_packet out;
  out.size = size;
  out.cut = cut;
  out.what = m;
  out.count = fds;
  return out;
}

verdict judged(const wire::message& m, size_t fds = 0, bool cut = false) {
  return judge(packet(m, fds, cut));
}

} // namespace

TEST_CASE("keeper wire: the bytes of a message are frozen") {
  wire::message m{.what = word::put, .value = 0x01020304, .aux = 5, .kind = 2,
                  .serial = 0x1122334455667788};
  std::memcpy(m.note, "note", sizeof("note"));
  const std::string expected("gkep" "\x01\x00" "\x03\x00" "\x04\x03\x02\x01" "\x05\x00\x00\x00"
                             "\x02\x00\x00\x00\x00\x00\x00\x00"
                             "\x88\x77\x66\x55\x44\x33\x22\x11" "note", 36);
  std::string actual(reinterpret_cast<const char*>(&m), sizeof(m));
  CHECK(actual == expected + std::string(60, '\0'));
}

TEST_CASE("keeper wire: the numbers of the words and refusals are frozen") {
  const word words[] = {word::hello,  word::ready, word::put,   word::drop,    word::list,
                        word::freed,  word::farewell, word::start, word::signal};
  for (uint16_t i = 0; i < std::size(words); ++i)
    CHECK(uint16_t(words[i]) == i + 1);
  const word answers[] = {word::welcome, word::entry,   word::end,  word::error,
                          word::started, word::serving, word::ended};
  for (uint16_t i = 0; i < std::size(answers); ++i)
    CHECK(uint16_t(answers[i]) == i + 32);
  const refusal refusals[] = {refusal::version,  refusal::malformed, refusal::table_full,
                              refusal::fds_lost, refusal::busy,      refusal::failed};
  for (uint32_t i = 0; i < std::size(refusals); ++i)
    CHECK(uint32_t(refusals[i]) == i + 1);
}

TEST_CASE("keeper protocol: a put may bring up to eight descriptors") {
  wire::message m{.what = word::put};
  CHECK(judged(m, 0).ok);
  CHECK(judged(m, 8).ok);
  CHECK_FALSE(judged(m, 9).ok);
}

TEST_CASE("keeper protocol: a put whose descriptors were lost keeps its key for the answer") {
  auto v = judged({.what = word::put, .kind = 4, .serial = 5}, 1, true);
  CHECK_FALSE(v.ok);
  CHECK(v.why == refusal::fds_lost);
  CHECK(v.what.serial == 5);
}

TEST_CASE("keeper protocol: another version is told apart from nonsense") {
  wire::message m{.version = 2, .what = word::hello};
  CHECK(judged(m).why == refusal::version);
  CHECK(judge(packet(m, 0, false, 8)).why == refusal::version);
  CHECK(judge(packet(m, 0, false, 7)).why == refusal::malformed);
  m.magic = 7;
  CHECK(judged(m).why == refusal::malformed);
}

TEST_CASE("keeper protocol: words of the other direction or socket are refused") {
  for (auto what : {word::welcome, word::entry, word::end, word::error, word::started,
                    word::start, word::signal, word(0), word(999)})
    CHECK_FALSE(judged({.what = what}).ok);
  for (auto what : {word::hello, word::put, word::farewell, word::freed})
    CHECK_FALSE(judge_control(packet({.what = what})).ok);
}

TEST_CASE("keeper protocol: only signals that ask are passed on") {
  for (int sig = 0; sig <= 65; ++sig) {
    bool asks = sig == SIGTERM || sig == SIGINT || sig == SIGHUP || sig == SIGQUIT
                || sig == SIGUSR1 || sig == SIGUSR2 || sig == SIGABRT;
    wire::message m{.what = word::signal, .value = uint32_t(sig)};
    CHECK(judge_control(packet(m)).ok == asks);
  }
}

TEST_CASE("keeper protocol: a start is taken apart, without a foreign keeper's variable") {
  using namespace std::string_literals;
  auto strings = "/bin/p\0/tmp\0p\0--x\0A=1\0GANTRY_KEEPER=1:3:4:5\0B=2\0"s;
  program p;
  REQUIRE(take_apart({.what = word::start, .value = 2, .aux = 3}, strings, p));
  CHECK(p.path == "/bin/p"s);
  CHECK(p.directory == "/tmp"s);
  CHECK(p.arguments[1] == "--x"s);
  CHECK(p.arguments[2] == nullptr);
  CHECK(p.variables[0] == "A=1"s);
  CHECK(p.variables[1] == "B=2"s);
  CHECK(p.variables[2] == nullptr);
}

TEST_CASE("keeper protocol: a start whose strings do not fit is refused") {
  using namespace std::string_literals;
  program p;
  auto refused = [&p](std::string strings, uint32_t arguments, uint32_t variables) {
    return !take_apart({.what = word::start, .value = arguments, .aux = variables}, strings, p);
  };
  CHECK_FALSE(refused("/p\0/\0p\0"s, 1, 0));
  CHECK(refused("/p\0/\0p"s, 1, 0));         // no end
  CHECK(refused("/p\0/\0p\0more\0"s, 1, 0)); // too many
  CHECK(refused("/p\0/\0p\0"s, 2, 0));       // too few
  CHECK(refused("p\0/\0p\0"s, 1, 0));        // not absolute
  CHECK(refused("/p\0.\0p\0"s, 1, 0));
  CHECK(refused("/p\0/\0"s, 0, 0));
  CHECK(refused("/p\0/\0p\0"s, 1u << 31, 1u << 31));
  CHECK(refused("", 1, 0));
}

TEST_CASE("keeper protocol: whatever bytes come, a verdict comes out") {
  std::mt19937 random(20'240'601);
  std::vector<char> strings(64);
  size_t accepted = 0;
  static program p;
  for (int round = 0; round < 200'000; ++round) {
    auto x = packet({.what = word(random() % 40), .value = uint32_t(random() % 4),
                     .aux = uint32_t(random() % 4)},
                    random() % 10, random() % 8 == 0);
    for (auto flips = random() % 3; flips > 0; --flips)
      reinterpret_cast<char*>(&x.what)[random() % sizeof(x.what)] ^= char(1u << random() % 8);
    const auto more = random() % 4 == 0 ? random() % strings.size() : 0;
    for (size_t i = 0; i < more; ++i) // short words
      strings[i] = random() % 3 == 0 ? '\0' : "/GA=x"[random() % 5];
    x.size = random() % 4 == 0 ? ssize_t(random() % 96) : ssize_t(sizeof(x.what) + more);
    accepted += judge(x).ok;
    if (auto v = judge_control(x); v.ok && v.what.what == word::start)
      accepted += take_apart(v.what, std::span{strings}.first(more), p);
  }
  CHECK(accepted > 1000); // else nothing was tried
}

TEST_CASE("keeper: pauses between starts double up to ten seconds") {
  CHECK(pause_ms(0, 100) == 0);
  CHECK(pause_ms(1, 100) == 0);
  CHECK(pause_ms(2, 100) == 100);
  CHECK(pause_ms(3, 100) == 200);
  CHECK(pause_ms(8, 100) == 6400);
  CHECK(pause_ms(9, 100) == 10'000);
  CHECK(pause_ms(4'000'000'000u, 100) == 10'000);
  CHECK(pause_ms(4'000'000'000u, 0) == 0);
}

TEST_CASE("launch: the keeper's variable is taken apart, or refused with a reason") {
  auto fds = io::parse_keeper_variable("1:3:4:5");
  REQUIRE(fds.ok());
  CHECK((fds->socket == 3 && fds->arena == 4 && fds->news == 5));
  CHECK(io::parse_keeper_variable("2:3:4:5").why().code == ec::unsupported);
  for (const char* wrong : {"", "1", "1:", "1:3:4", "1:3:4:", "1:3:4:5:", "1:3:4:5x", "1:-3:4:5",
                            "1;3;4;5", "x:3:4:5", "1:99999999999999:4:5"})
    CHECK_FALSE(io::parse_keeper_variable(wrong).ok());
}
