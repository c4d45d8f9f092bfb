#include <catch2/catch.hpp>

#include "gateways/bus/grpc_frame.hpp"
#include "messages/gantry.pb.h"
#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

constexpr const char* attach = "/gantry.v1.Processes/Attach";

std::string opening(const std::string& id, bool input = true) {
  v1::AttachRequest out;
  out.mutable_open()->mutable_ref()->set_id(id);
  out.mutable_open()->set_input(input);
  return framed(out.SerializeAsString());
}

std::string typed(const std::string& text) {
  v1::AttachRequest out;
  out.mutable_input()->set_data(text);
  return framed(out.SerializeAsString());
}

v1::AttachReply reply(const bus_answer& a, size_t n) {
  v1::AttachReply out;
  const auto all = a.messages();
  REQUIRE(n < all.size());
  REQUIRE(out.ParseFromString(all[n]));
  return out;
}

} // namespace

TEST_CASE("bus attach: opened, output while it is open, an exit behind the half-close",
          "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(attach, opening("web"), false);
  REQUIRE(rig.until([&] { return c.at(id).messages().size() == 1; }));
  CHECK(reply(c.at(id), 0).opened().instance() == 7);
  c.send_more(id, typed("hello"), false);
  REQUIRE(rig.until([&] { return c.at(id).messages().size() == 2; }));
  CHECK(reply(c.at(id), 1).output().data() == "hello");
  CHECK_FALSE(c.at(id).closed);
  c.send_more(id, "", true);
  REQUIRE(rig.until([&] { return c.at(id).messages().size() == 3; }));
  CHECK(reply(c.at(id), 2).exit().exit_code() == 0);
  REQUIRE(rig.until([&] { return c.at(id).closed; }));
  CHECK(c.at(id).status() == 0);
  CHECK(rig.until([&] { return rig.front.sources == 0; }));
}

TEST_CASE("bus attach: what cannot be is refused with its reason", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  v1::AttachRequest size;
  size.mutable_size()->set_width(80);
  const int32_t none = c.begin(attach, "");
  const int32_t early = c.begin(attach, typed("x"), false);
  const int32_t twice = c.begin(attach, opening("web") + opening("web"), false);
  const int32_t missing = c.begin(attach, opening("missing"), false);
  const int32_t sized = c.begin(attach, opening("web") + framed(size.SerializeAsString()), false);
  const int32_t junk = c.begin(attach, framed("\xff\xff"), false);
  for (const int32_t id : {none, early, twice, missing, sized, junk})
    REQUIRE(rig.until([&] { return c.at(id).closed; }));
  CHECK(c.at(none).status() == 3);
  CHECK(c.at(early).status() == 3);
  CHECK(c.at(twice).status() == 3);
  CHECK(c.at(missing).status() == 5);
  CHECK(c.at(sized).status() == 9);
  CHECK(c.at(junk).status() == 3);
  CHECK(rig.until([&] { return rig.front.sources == 0; }));
  CHECK(rig.serves());
}

TEST_CASE("bus attach: a process that takes nothing stops its typist, not the bus", "[uring]") {
  bus_rig rig;
  auto& c = rig.connect();
  const int32_t id = c.begin(attach, opening("slow"), false);
  REQUIRE(rig.until([&] { return c.at(id).messages().size() == 1; }));
  const std::string much(64u << 10, 'x');
  for (int i = 0; i < 40; ++i)
    c.send_more(id, typed(much), false);
  for (int i = 0; i < 500; ++i)
    rig.step();
  CHECK(c.at(id).messages().size() == 2); // One was taken.
  CHECK(c.unsent(id) > much.size());
  CHECK(rig.serves());
  for (int i = 0; i < 40; ++i) {
    REQUIRE(rig.until([&] { return c.at(id).messages().size() == size_t(i) + 2; }));
    rig.front.release();
  }
  CHECK(reply(c.at(id), 40).output().data() == much);
  c.reset(id);
  CHECK(rig.until([&] { return rig.front.sources == 0; }));
}
