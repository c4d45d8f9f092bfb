#include <catch2/catch.hpp>

#include "gateways/bus/grpc_frame.hpp"
#include "messages/reflection.pb.h"
#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;
namespace wire = gantry::reflection::v1;

// Calls whose client sends many messages. The reflection service is one.

namespace {

constexpr const char* reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

std::string question(const std::string& host) {
  wire::ServerReflectionRequest out;
  out.set_host(host);
  out.set_list_services("");
  return framed(out.SerializeAsString());
}

wire::ServerReflectionResponse answer(const bus_answer& a, size_t n) {
  wire::ServerReflectionResponse out;
  const auto all = a.messages();
  REQUIRE(n < all.size());
  REQUIRE(out.ParseFromString(all[n]));
  return out;
}

} // namespace

TEST_CASE("bus streams: messages may be cut anywhere, answers come before the end", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(reflect, "", false);
  REQUIRE(rig.until([&c, id] { return c.at(id).head; })); // Before anything was said.
  const auto two = question("one") + question("two");
  for (const char byte : two) {
    c.send_more(id, std::string(1, byte), false);
    REQUIRE(rig.until([&c] { return c.all_sent(); }));
  }
  REQUIRE(rig.until([&c, id] { return c.at(id).messages().size() == 2; }));
  CHECK(answer(c.at(id), 0).valid_host() == "one");
  CHECK(answer(c.at(id), 1).valid_host() == "two");
  CHECK_FALSE(c.at(id).closed);
  c.send_more(id, question("three"), true);
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).messages().size() == 3);
  CHECK(c.at(id).status() == 0);
}

TEST_CASE("bus streams: no message is an end too, half a message is not", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t none = c.begin(reflect, "");
  const int32_t half = c.begin(reflect, question("x") + question("y").substr(0, 7));
  const int32_t large = c.begin(reflect, std::string("\0\xff\xff\xff\xff", 5), false);
  REQUIRE(rig.until([&] { return c.at(none).closed && c.at(half).closed && c.at(large).closed; }));
  CHECK(c.at(none).status() == 0);
  CHECK(c.at(half).status() == 3);
  CHECK(c.at(half).messages().size() == 1);
  CHECK(c.at(large).status() == 8);
  CHECK(rig.serves());
}

TEST_CASE("bus streams: who does not read its answers is not heard further", "[uring]") {
  bus_rig rig;
  for (const bool reads : {true, false}) {
    auto& c = rig.connect_silently();
    c.greet(reads ? 65535 : 0); // A window of zero: no answer may be sent.
    const int32_t id = c.begin(reflect, "", false);
    REQUIRE(rig.until([&c, id] { return c.at(id).head; }));
    constexpr size_t count = 500;
    const std::string host(4096, 'h'); // Comes back twice in each answer.
    for (size_t n = 0; n < count; ++n)
      c.send_more(id, question(host), n + 1 == count);
    if (reads) {
      REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
      CHECK(c.at(id).messages().size() == count);
      continue;
    }
    for (int i = 0; i < 1000; ++i) // Far more turns than the whole takes.
      rig.step();
    CHECK(c.unsent(id) > count * host.size() / 2);
    CHECK(rig.serves());
  }
}

TEST_CASE("bus streams: a client that goes in the middle leaves nothing", "[uring]") {
  bus_rig rig;
  for (size_t cut = 0; cut < 40; ++cut) {
    auto& c = rig.connect();
    const int32_t id = c.begin(reflect, (question("x") + question("y")).substr(0, cut), false);
    REQUIRE(rig.until([&c, id] { return c.at(id).head; }));
    if (cut % 3 == 0)
      c.reset(id);
    for (size_t i = 0; i < cut % 5; ++i)
      rig.step();
    c.drop();
  }
  CHECK(rig.until([&rig] { return rig.server->connections() == 0; }));
  CHECK(rig.serves());
}

TEST_CASE("bus streams: a deadline ends one that waits for its client", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(reflect, question("x"), false, {{"grpc-timeout", "50m"}});
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).status() == 4);
}
