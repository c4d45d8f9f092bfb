#include "messages/actors.hpp"

#include <catch2/catch.hpp>

using namespace gantry;

TEST_CASE("an error comes through an actor's answer as it went in, whatever its code") {
  for (size_t i = 0; i < size_t(ec::count_); ++i) {
    const auto back = from_caf(to_caf({ec(i), "thing: cause", "cure"}));
    CHECK(back.code == ec(i));
    CHECK(back.message == "thing: cause");
    CHECK(back.cure == "cure");
  }
}

TEST_CASE("a request whose actor went away is unavailable, not a bug") {
  CHECK(from_caf(make_error(caf::sec::request_receiver_down)).code == ec::unavailable);
}
