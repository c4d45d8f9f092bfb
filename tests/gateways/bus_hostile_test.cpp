#include "gateways/bus/server.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;
using namespace std::chrono_literals;

// Each ends with the same question: does the server live, and serve another client?

namespace {

constexpr const char* version = "/gantry.v1.Supervisor/Version";
constexpr const char* stdin_path = "/gantry.v1.Processes/WriteStdin";

std::string list_request(const std::string& what) {
  v1::ListRequest out;
  out.set_namespace_(what);
  return out.SerializeAsString();
}

std::string follow(const std::string& what, bool on) {
  v1::FollowRequest out;
  out.mutable_filter()->add_containers(what);
  out.set_follow(on);
  return out.SerializeAsString();
}

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

} // namespace

TEST_CASE("hostile: bytes that are no HTTP/2 close the connection", "[uring]") {
  bus_rig rig;
  std::mt19937 random(7);
  std::string junk = GENERATE(as<std::string>(), "GET / HTTP/1.1\r\n\r\n", "\n",
                              std::string(preface) + "junk that is not a frame of any kind");
  for (int i = 0; i < 5000; ++i)
    junk.push_back(char(random()));
  auto& c = rig.connect_silently();
  c.send_raw(junk);
  CHECK(rig.until([&c, &rig] { return c.gone() && rig.server->connections() == 0; }));
  CHECK(rig.serves());
}

TEST_CASE("hostile: who does not greet in time is dropped, who greeted stays", "[uring]") {
  bus_rig rig({.idle_handshake = 50ms});
  auto& polite = rig.connect();
  REQUIRE(rig.ask(polite, version, "").status() == 0);
  auto& silent = rig.connect_silently();
  auto& half = rig.connect_silently();
  half.send_raw(std::string(preface));
  CHECK(rig.until([&silent, &half] { return silent.gone() && half.gone(); }));
  CHECK(rig.ask(polite, version, "").status() == 0);
}

TEST_CASE("hostile: half a frame and then nothing leaves nothing behind", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(stdin_path, framed(std::string(1000, 'x')).substr(0, 500), false);
  REQUIRE(rig.until([&c] { return c.all_sent(); }));
  c.send_raw(std::string("\0\0\x40\0\0", 5)); // and half a frame's head
  REQUIRE(rig.until([&c] { return c.all_sent(); }));
  rig.step();
  CHECK_FALSE(c.at(id).closed);
  c.drop();
  CHECK(rig.until([&rig] { return rig.server->connections() == 0; }));
  CHECK(rig.front.calls == 0);
  CHECK(rig.serves());
}

TEST_CASE("hostile: a claimed length of 4 GiB is refused at once", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(stdin_path, std::string("\0\xff\xff\xff\xff", 5), false);
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).status() == 8);
  CHECK(rig.ask(c, version, "").status() == 0);
}

TEST_CASE("hostile: a request that goes on after its refusal is cut off", "[uring]") {
  bus_rig rig({.max_message_bytes = 1000});
  auto& c = rig.connect();
  const int32_t id = c.begin(stdin_path, framed(std::string(10u << 20, 'x')), false);
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).status() == 8);
  CHECK(rig.ask(c, version, "").status() == 0);
}

TEST_CASE("hostile: unfinished requests have a common bound", "[uring]") {
  bus_rig rig({.max_request_bytes = 4u << 20}); // a connection may have 1 MiB
  auto& c = rig.connect();
  std::vector<int32_t> ids;
  for (int i = 0; i < 8; ++i)
    ids.push_back(c.begin(stdin_path, framed(std::string(200'000, 'x')).substr(0, 190'000), false));
  const auto refused = [&c, &ids] {
    return std::count_if(ids.begin(), ids.end(),
                         [&c](int32_t id) { return c.at(id).status() == 8; });
  };
  REQUIRE(rig.until([&refused] { return refused() == 3; }));
  for (const int32_t id : ids)
    if (!c.at(id).closed)
      c.send_more(id, std::string(10'005, 'x'), true);
  REQUIRE(rig.until([&c, &ids] {
    return std::all_of(ids.begin(), ids.end(), [&c](int32_t id) { return c.at(id).closed; });
  }));
  CHECK(refused() == 3);
  CHECK(rig.ask(c, version, "").status() == 0); // and the budget is whole again
  CHECK(rig.ask(c, stdin_path, std::string(900'000, '\0')).status() == 3);
}

TEST_CASE("hostile: a window of zero holds a reply back, not the server", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect_silently();
  c.greet(0);
  const int32_t unary = c.call(version, "");
  const int32_t stream = c.call("/gantry.v1.Events/Follow", follow("1000000:100", true));
  REQUIRE(rig.until([&c, unary, stream] { return c.at(unary).head && c.at(stream).head; }));
  // The source is asked until the stream's queue is full, then never again.
  REQUIRE(rig.until([&rig] { return rig.front.items_drawn * 100 > 200'000; }));
  CHECK(rig.serves());
  const size_t drawn = rig.front.items_drawn;
  for (int i = 0; i < 1000; ++i)
    rig.step();
  CHECK(rig.front.items_drawn == drawn);
  CHECK(drawn * 100 < 400'000);
  CHECK_FALSE(c.at(unary).closed);
}

TEST_CASE("hostile: replies that nobody reads are bounded", "[uring]") {
  bus_rig rig({.max_unread_bytes = 1u << 20});
  auto& c = rig.connect_silently();
  c.greet(0);
  std::vector<int32_t> ids;
  for (int i = 0; i < 40; ++i)
    ids.push_back(c.call("/gantry.v1.Containers/List", list_request("100:1000")));
  REQUIRE(rig.until([&c, &ids] { return c.at(ids.back()).head; }));
  const auto next = rig.ask(c, version, "");
  CHECK(next.status() == 8);
  CHECK(next.field("grpc-message").find("wait on this connection") != std::string::npos);
  CHECK(rig.serves());
}

TEST_CASE("hostile: a deadline frees a reply that nobody reads", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect_silently();
  c.greet(0);
  const int32_t id = c.call(version, "", {{"grpc-timeout", "30m"}});
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).head);
  CHECK(c.at(id).reset == 8); // CANCEL
}

TEST_CASE("hostile: a client that never reads its socket is no longer heard", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  REQUIRE(rig.ask(c, version, "").status() == 0);
  c.reads = false;

  SECTION("it pings without end") {
    for (int i = 0; i < 200'000 && !c.gone(); ++i) {
      c.ping();
      if (i % 100 == 0)
        rig.step();
    }
    CHECK(rig.until([&rig] { return rig.server->connections() == 0; })); // a flood
  }
  SECTION("it calls and cancels without end") {
    for (int i = 0; i < 5'000; ++i) {
      const int32_t id = c.call(version, "");
      rig.step();
      c.reset(id);
    }
    CHECK(rig.front.calls > 500);
    CHECK(rig.front.calls < 2'500); // by then the limit of resets has ended its session
  }
  CHECK(rig.serves());
}

TEST_CASE("hostile: ten thousand calls that are reset at once", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  v1::InspectRequest hang;
  hang.mutable_ref()->set_id("hang");
  // By hand: a client library would not send what it cancels in the same breath.
  std::string bytes;
  const std::string_view path = "/gantry.v1.Containers/Inspect";
  std::string block("\x83\x86\x44", 3); // POST, http, :path as a literal
  block.append(1, char(path.size())).append(path);
  block.append("\x41\x01x\x5f\x10"
               "application/grpc"); // :authority, content-type
  const auto body = framed(hang.SerializeAsString());
  const auto put = [&bytes](size_t size, char type, char flags, uint32_t id) {
    bytes.append({char(size >> 16), char(size >> 8), char(size), type, flags});
    bytes.append({char(id >> 24), char(id >> 16), char(id >> 8), char(id)});
  };
  REQUIRE(rig.ask(c, version, "").status() == 0); // stream 1
  for (uint32_t i = 0; i < 10'000; ++i) {
    const uint32_t id = 2 * i + 3;
    put(block.size(), 1, 4, id);
    bytes += block;
    put(body.size(), 0, 1, id);
    bytes += body;
    put(4, 3, 0, id);
    bytes.append("\0\0\0\x08", 4);
  }
  c.drops_raw_input = true;
  c.send_raw(bytes);
  // It ends in a GOAWAY (the library's limit of resets) or all is taken: never in a crash.
  REQUIRE(rig.until([&c] { return c.gone() || c.all_sent(); }));
  CHECK(rig.front.hanging > 0);
  CHECK(rig.front.hanging <= 10'000);
  CHECK(rig.serves());
  rig.front.release();
  CHECK(rig.serves());
}

TEST_CASE("hostile: a flood of settings ends the connection", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect_silently();
  c.reads = false;
  std::string bytes(preface);
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  for (int i = 0; i < 100'000; ++i)
    bytes += settings;
  c.send_raw(bytes);
  CHECK(rig.until([&rig, &c] { return rig.server->connections() == 0 || c.all_sent(); }));
  CHECK(rig.serves());
}

TEST_CASE("hostile: more streams than allowed are refused, the others served", "[uring]") {
  bus_rig rig({.max_streams = 4});
  auto& c = rig.connect();
  REQUIRE(rig.ask(c, version, "").status() == 0);
  CHECK(c.max_streams() == 4);
  v1::InspectRequest hang;
  hang.mutable_ref()->set_id("hang");
  std::vector<int32_t> ids;
  for (int i = 0; i < 10; ++i) // the client's library holds back what is too many
    ids.push_back(c.call("/gantry.v1.Containers/Inspect", hang.SerializeAsString()));
  REQUIRE(rig.until([&rig] { return rig.front.hanging == 4; }));
  for (int i = 0; i < 100; ++i)
    rig.step();
  CHECK(rig.front.hanging == 4);
  REQUIRE(rig.until([&rig, &c, &ids] {
    rig.front.release();
    return std::all_of(ids.begin(), ids.end(), [&c](int32_t id) { return c.at(id).closed; });
  }));
  for (const int32_t id : ids)
    CHECK(c.at(id).status() == 0);
}

TEST_CASE("hostile: connections beyond the limit are closed, and room is made again", "[uring]") {
  bus_rig rig({.max_connections = 3});
  for (int i = 0; i < 3; ++i)
    REQUIRE(rig.ask(rig.connect(), version, "").status() == 0);
  auto& late = rig.connect();
  REQUIRE(rig.until([&late] { return late.gone(); }));
  CHECK(rig.server->connections() == 3);
  rig.clients.front()->drop();
  REQUIRE(rig.until([&rig] { return rig.server->connections() == 2; }));
  CHECK(rig.serves());
}

TEST_CASE("hostile: clients that come and go at any moment leave nothing", "[uring]") {
  bus_rig rig;
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    auto& c = rig.connect();
    c.call(version, "");
    c.call("/gantry.v1.Events/Follow", follow("1000:50", true));
    c.call("/gantry.v1.Containers/List", list_request("10:10000"));
    for (auto steps = random() % 12; steps > 0; --steps)
      rig.step();
    c.drop();
    rig.clients.pop_back();
  }
  CHECK(rig.until([&rig] { return rig.server->connections() == 0 && rig.front.sources == 0; }));
  CHECK(rig.serves());
}

TEST_CASE("hostile: a stop does not wait for those who do not read", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect_silently();
  c.greet(0);
  const int32_t id = c.call("/gantry.v1.Events/Follow", follow("1000000:100", true));
  auto& deaf = rig.connect();
  REQUIRE(rig.ask(deaf, version, "").status() == 0);
  deaf.reads = false;
  deaf.call("/gantry.v1.Containers/List", list_request("100:10000"));
  rig.connect_silently();
  REQUIRE(rig.until([&c, id] { return c.at(id).head; }));
  rig.stop(10ms);
  CHECK(rig.until([&rig] { return rig.stopped(); }));
}
