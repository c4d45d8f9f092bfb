#include "io/fd_tickets.hpp"

#include <set>

#include "real_loop.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

constexpr ticket_holder me{1000, 42};

fd some(real_loop& r) { return {*r.kernel, r.kernel->eventfd()}; }

} // namespace

TEST_CASE("tickets: good once, for the descriptor that was given", "[uring]") {
  real_loop r;
  fd_tickets book(r.l);
  auto what = some(r);
  const int number = what.get();
  const auto ticket = book.issue(std::move(what), me);
  REQUIRE(ticket.ok());
  CHECK(book.waiting() == 1);
  auto got = book.redeem(*ticket, me);
  REQUIRE(got.ok());
  CHECK(got->get() == number);
  const auto again = book.redeem(*ticket, me);
  REQUIRE_FALSE(again.ok());
  CHECK(again.why().code == ec::not_found);
  CHECK(book.refused() == 1);
}

TEST_CASE("tickets: each is another one", "[uring]") {
  real_loop r;
  fd_tickets book(r.l, {.most = 64});
  std::set<std::string> seen;
  for (int i = 0; i < 64; ++i)
    seen.insert(*book.issue(some(r), me));
  CHECK(seen.size() == 64);
}

TEST_CASE("tickets: somebody else's are refused and stay good", "[uring]") {
  real_loop r;
  fd_tickets book(r.l);
  const auto ticket = *book.issue(some(r), me);
  for (const auto other : {ticket_holder{1000, 43}, ticket_holder{0, 42}}) {
    const auto got = book.redeem(ticket, other);
    REQUIRE_FALSE(got.ok());
    CHECK(got.why().code == ec::permission_denied);
  }
  CHECK(book.refused() == 2);
  CHECK(book.redeem(ticket, me).ok());
}

TEST_CASE("tickets: what is none is told from what was one", "[uring]") {
  real_loop r;
  fd_tickets before(r.l);
  fd_tickets book(r.l);
  const auto old = *before.issue(some(r), me);
  CHECK(book.redeem(old, me).why().message.find("earlier life") != std::string::npos);
  CHECK(book.issue(some(r), me).ok());
  CHECK(book.redeem(old, me).why().message.find("earlier life") != std::string::npos);
  CHECK(book.redeem("", me).why().code == ec::invalid_argument);
  CHECK(book.redeem("../../etc/passwd", me).why().code == ec::invalid_argument);
  CHECK(book.redeem(std::string(48, 'G'), me).why().code == ec::invalid_argument);
}

TEST_CASE("tickets: they expire, and give their descriptors back", "[uring]") {
  real_loop r;
  fd_tickets book(r.l, {.life = 20ms});
  const auto first = *book.issue(some(r), me);
  CHECK(book.redeem(*book.issue(some(r), me), me).ok());
  REQUIRE(r.until([&book] { return book.waiting() == 0; }));
  CHECK(book.redeem(first, me).why().code == ec::not_found);
  const auto later = *book.issue(some(r), me);
  REQUIRE(r.until([&book] { return book.waiting() == 0; }));
  CHECK_FALSE(book.redeem(later, me).ok());
}

TEST_CASE("tickets: so many wait, and no more", "[uring]") {
  real_loop r;
  fd_tickets book(r.l, {.most = 5, .most_of_a_user = 3});
  for (int i = 0; i < 3; ++i)
    REQUIRE(book.issue(some(r), me).ok());
  CHECK(book.issue(some(r), me).why().code == ec::resource_exhausted);
  for (int i = 0; i < 2; ++i)
    REQUIRE(book.issue(some(r), {0, 7}).ok());
  CHECK(book.issue(some(r), {0, 7}).why().code == ec::resource_exhausted);
}
