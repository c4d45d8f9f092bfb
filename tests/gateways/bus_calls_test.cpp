#include "gateways/bus/server.hpp"

#include <catch2/catch.hpp>
#include <unistd.h>

#include "gateways/bus/grpc_frame.hpp"
#include "gateways/bus/methods.hpp"
#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;
using namespace std::chrono_literals;

namespace {

template <class Message>
Message only_message(const bus_answer& a) {
  const auto all = a.messages();
  REQUIRE(all.size() == 1);
  Message out;
  REQUIRE(out.ParseFromString(all[0]));
  return out;
}

std::string inspect(const std::string& id) {
  v1::InspectRequest out;
  out.mutable_ref()->set_id(id);
  return out.SerializeAsString();
}

std::string follow(size_t count, bool on) {
  v1::FollowRequest out;
  out.mutable_filter()->add_containers(std::to_string(count));
  out.set_follow(on);
  return out.SerializeAsString();
}

constexpr const char* version = "/gantry.v1.Supervisor/Version";
constexpr const char* inspect_path = "/gantry.v1.Containers/Inspect";
constexpr const char* follow_path = "/gantry.v1.Events/Follow";

} // namespace

TEST_CASE("bus: a unary call gets one message and the status OK", "[uring]") {
  bus_rig rig;
  const auto answer = rig.ask(rig.connect(), version, "");
  CHECK(answer.field(":status") == "200");
  CHECK(answer.field("content-type") == "application/grpc");
  CHECK(answer.status() == 0);
  CHECK(answer.reset == 0);
  CHECK(only_message<v1::VersionReply>(answer).gantry() == "fake");
}

TEST_CASE("bus: every method of every service is answered", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  size_t served = 0;
  const auto* file = v1::Ref::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s)
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const auto* method = file->service(s)->method(m);
      const auto path = "/" + method->service()->full_name() + "/" + method->name();
      INFO(path);
      const auto answer = rig.ask(c, path, "");
      // One that takes many requests wants another first one.
      CHECK(answer.status() == (method->client_streaming() ? 3 : 0));
      CHECK(answer.messages().size() == (method->server_streaming() ? 0 : 1));
      ++served;
    }
  CHECK(served + 4 == bus::all_methods().size()); // and those of health and reflection
}

TEST_CASE("bus: the front learns who the peer of the socket is", "[uring]") {
  bus_rig rig;
  const auto answer = rig.ask(rig.connect(), inspect_path, inspect("web"));
  const auto detail = only_message<v1::ContainerDetail>(answer);
  CHECK(detail.summary().id() == "web");
  CHECK(detail.message() == std::to_string(::getuid()) + "/" + std::to_string(::getgid()) + "/" +
                              std::to_string(::getpid()));
}

TEST_CASE("bus: an error is a status with message, code and cure", "[uring]") {
  bus_rig rig;
  const auto answer = rig.ask(rig.connect(), inspect_path, inspect("missing"));
  CHECK(answer.status() == 5);
  CHECK(answer.field("gantry-code") == "not_found");
  CHECK(answer.field("gantry-cure") == "look at the list: gantry list");
  const auto raw = answer.field("grpc-message");
  CHECK(raw.find("\xe2") == std::string::npos);
  CHECK(bus::percent_decode(raw) ==
        "no such container: „missing“ (100%) (look at the list: gantry list)");
  CHECK(answer.messages().empty());
}

TEST_CASE("bus: what is no call of ours is refused by its name", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();

  SECTION("an unknown method") {
    const auto answer = rig.ask(c, "/gantry.v1.Containers/Explode", "");
    CHECK(answer.status() == 12);
    CHECK(answer.field("grpc-message").find("/gantry.v1.Containers/Explode") != std::string::npos);
  }
  SECTION("a foreign content type") {
    CHECK(rig.ask(c, version, "", {{"content-type", "application/json"}}).field(":status") ==
          "415");
    CHECK(rig.ask(c, version, "", {{"content-type", "application/grpc+json"}}).field(":status") ==
          "415");
    CHECK(rig.ask(c, version, "", {{"content-type", "application/grpc+proto"}}).status() == 0);
  }
  SECTION("another HTTP method") {
    CHECK(rig.ask(c, version, "", {{":method", "PUT"}}).field(":status") == "405");
  }
  SECTION("a compressed request") {
    CHECK(rig.ask(c, version, "", {{"grpc-encoding", "gzip"}}).status() == 12);
    const int32_t id = c.begin(version, std::string("\1\0\0\0\0", 5));
    REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
    CHECK(c.at(id).status() == 12);
  }
  SECTION("a broken request message") {
    CHECK(rig.ask(c, inspect_path, "\xff\xff\xff\xff").status() == 3);
  }
  SECTION("no message, half a message, two messages") {
    for (const auto& body : {std::string(), framed("abcdef").substr(0, 8),
                             framed("abcdef").substr(0, 3), framed("") + framed("")}) {
      const int32_t id = c.begin(version, body);
      REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
      CHECK(c.at(id).status() == 3);
    }
  }
  CHECK(rig.ask(c, version, "").status() == 0); // the same connection lives on
}

TEST_CASE("bus: a request may come byte by byte, and waits for its end", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const auto bytes = framed(inspect("web"));
  const int32_t id = c.begin(inspect_path, "", false);
  for (const char byte : bytes) {
    c.send_more(id, std::string(1, byte), false);
    REQUIRE(rig.until([&c] { return c.all_sent(); }));
    rig.step();
  }
  CHECK(rig.front.calls == 0);
  c.send_more(id, "", true);
  REQUIRE(rig.until([&c, id] { return c.at(id).closed; }));
  CHECK(c.at(id).status() == 0);
}

TEST_CASE("bus: a call without its answer hinders no other", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t slow = c.call(inspect_path, inspect("hang"));
  REQUIRE(rig.until([&rig] { return rig.front.hanging == 1; }));
  CHECK(rig.ask(c, version, "").status() == 0);
  CHECK_FALSE(c.at(slow).closed);
  rig.front.release();
  REQUIRE(rig.until([&c, slow] { return c.at(slow).closed; }));
  CHECK(c.at(slow).status() == 0);
}

TEST_CASE("bus: an answer that comes after its client has gone is dropped", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();

  SECTION("the client resets the stream") {
    const int32_t id = c.call(inspect_path, inspect("hang"));
    REQUIRE(rig.until([&rig] { return rig.front.hanging == 1; }));
    c.reset(id);
    REQUIRE(rig.until([&c] { return c.all_sent(); }));
    CHECK(rig.ask(c, version, "").status() == 0);
  }
  SECTION("the client closes the connection") {
    c.call(inspect_path, inspect("hang"));
    REQUIRE(rig.until([&rig] { return rig.front.hanging == 1; }));
    c.drop();
    REQUIRE(rig.until([&rig] { return rig.server->connections() == 0; }));
  }
  rig.front.release();
  CHECK(rig.front.hanging == 0);
  CHECK(rig.serves());
}

TEST_CASE("bus: nothing of a wait stays when its client leaves", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  v1::WaitRequest r;
  r.mutable_ref()->set_id("hang");
  const int32_t id = c.call("/gantry.v1.Containers/Wait", r.SerializeAsString());
  REQUIRE(rig.until([&rig] { return rig.front.waits == 1; }));
  SECTION("by a reset") { c.reset(id); }
  SECTION("by the end of its connection") { c.drop(); }
  REQUIRE(rig.until([&rig] { return rig.front.waits == 0; }));
  rig.front.release();
  CHECK(rig.serves());
}

TEST_CASE("bus: a deadline ends the call and not the deed", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const auto answer = rig.ask(c, inspect_path, inspect("hang"), {{"grpc-timeout", "20m"}});
  CHECK(answer.status() == 4);
  CHECK(answer.field("gantry-code") == "deadline_exceeded");
  CHECK(rig.front.hanging == 1);
  rig.front.release();
  CHECK(rig.ask(c, inspect_path, inspect("web"), {{"grpc-timeout", "10S"}}).status() == 0);
}

TEST_CASE("bus: events arrive in order, to the end", "[uring]") {
  bus_rig rig;
  const auto answer = rig.ask(rig.connect(), follow_path, follow(10'000, false));
  CHECK(answer.status() == 0);
  const auto all = answer.messages();
  REQUIRE(all.size() == 10'000);
  for (size_t i = 0; i < all.size(); ++i) {
    v1::FollowItem item;
    REQUIRE(item.ParseFromString(all[i]));
    REQUIRE(item.event().seq() == i + 1);
  }
  CHECK(rig.until([&rig] { return rig.front.sources == 0; }));
}

TEST_CASE("bus: a follower hears at once, and first that it follows", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.call(follow_path, follow(0, true));
  REQUIRE(rig.until([&c, id] { return c.at(id).head; }));
  CHECK(c.at(id).messages().empty());
  for (size_t n = 1; n <= 3; ++n) {
    rig.front.publish("exit");
    rig.loop.turn(false); // queues and collects; the ring sends as the turn after it begins
    rig.loop.turn(false);
    c.step();
    CHECK(c.at(id).messages().size() == n);
  }
  c.reset(id);
  CHECK(rig.until([&rig] { return rig.front.sources == 0; }));
}

TEST_CASE("bus: a follow that cannot begin is an error", "[uring]") {
  bus_rig rig;
  v1::FollowRequest request;
  request.mutable_filter()->add_containers("missing");
  const auto answer = rig.ask(rig.connect(), follow_path, request.SerializeAsString());
  CHECK(answer.status() == 5);
}

TEST_CASE("bus: a log comes whole", "[uring]") {
  bus_rig rig;
  v1::ReadLogRequest request;
  request.set_tail(5000);
  const auto answer = rig.ask(rig.connect(), "/gantry.v1.Logs/Read", request.SerializeAsString());
  CHECK(answer.status() == 0);
  CHECK(answer.messages().size() == 5000);
}

TEST_CASE("bus: health is answered for every service", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const std::string serving("\x08\x01", 2);
  const std::string named = "\x0a\x13gantry.v1.Processes";
  const auto check = "/grpc.health.v1.Health/Check";
  CHECK(rig.ask(c, check, "").messages() == std::vector{serving});
  CHECK(rig.ask(c, check, named).messages() == std::vector{serving});
  CHECK(rig.ask(c, check, "\x0a\x03xyz").status() == 5);
  CHECK(rig.ask(c, check, "\x0a\x7fxyz").status() == 3);
  const int32_t id = c.call("/grpc.health.v1.Health/Watch", "");
  REQUIRE(rig.until([&c, id] { return !c.at(id).messages().empty(); }));
  CHECK(c.at(id).messages() == std::vector{serving});
  CHECK_FALSE(c.at(id).closed);
}

TEST_CASE("bus: roles decide who reads and who operates") {
  using bus::role;
  bus::peer somebody;
  somebody.by.set_uid(::geteuid() + 4711);
  somebody.by.set_gid(100);
  somebody.groups = {7, 200};
  CHECK(role_of({}, somebody) == role::none);
  CHECK(role_of({.read_groups = {99}, .operate_groups = {98}}, somebody) == role::none);
  CHECK(role_of({.read_groups = {99, 100}, .operate_groups = {98}}, somebody) == role::read);
  CHECK(role_of({.read_groups = {200}, .operate_groups = {}}, somebody) == role::read);
  CHECK(role_of({.read_groups = {100}, .operate_groups = {200}}, somebody) == role::operate);
  somebody.by.set_uid(0);
  CHECK(role_of({}, somebody) == role::operate);
  somebody.by.set_uid(::geteuid());
  CHECK(role_of({}, somebody) == role::operate);

  CHECK(check_right(role::operate, bus::right::operate, somebody.by, "/x").ok());
  CHECK(check_right(role::read, bus::right::read, somebody.by, "/x").ok());
  const auto looks = check_right(role::read, bus::right::operate, somebody.by, "/x");
  REQUIRE_FALSE(looks.ok());
  CHECK(looks.why().code == ec::permission_denied);
  CHECK(looks.why().cure.find("--operate-gid") != std::string::npos);
  const auto none = check_right(role::none, bus::right::read, somebody.by, "/gantry.v1.X/Y");
  REQUIRE_FALSE(none.ok());
  CHECK(none.why().message.find("/gantry.v1.X/Y") != std::string::npos);
  CHECK(none.why().cure.find("--read-gid") != std::string::npos);
}

TEST_CASE("bus: a stop lets calls end, then says unavailable", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  auto& idle = rig.connect();
  const int32_t id = c.call(inspect_path, inspect("hang"));
  REQUIRE(rig.until([&rig] { return rig.front.hanging == 1; }));
  REQUIRE(rig.until([&rig] { return rig.server->connections() == 2; }));

  SECTION("a call that ends in time is answered, and the stop is over at once") {
    rig.stop(1h);
    REQUIRE(rig.until([&c, &idle] { return c.told_to_go() && idle.gone(); }));
    CHECK_FALSE(rig.stopped());
    rig.front.release();
    REQUIRE(rig.until([&rig] { return rig.stopped(); }));
    CHECK(c.at(id).status() == 0);
  }
  SECTION("a call that does not end gets UNAVAILABLE") {
    rig.stop(10ms);
    REQUIRE(rig.until([&rig] { return rig.stopped(); }));
    rig.until([&c] { return c.gone(); });
    CHECK(c.at(id).status() == 14);
  }
}
