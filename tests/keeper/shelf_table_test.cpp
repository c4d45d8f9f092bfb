#include "apps/keeper/shelf_table.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

using namespace gantry::keeper;

namespace {

int a_descriptor() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

const char no_note[64] = {};

} // namespace

TEST_CASE("shelf table: another put under the same key closes what lay there") {
  auto shelf = std::make_unique<shelf_table>();
  const int first[] = {a_descriptor(), a_descriptor()};
  const int second[] = {a_descriptor()};
  REQUIRE(shelf->put(1, 2, no_note, first));
  REQUIRE(shelf->put(1, 2, no_note, second));
  CHECK(shelf->size() == 1);
  CHECK(shelf->at(0).count == 1);
  CHECK_FALSE(is_open(first[0]));
  CHECK_FALSE(is_open(first[1]));
  CHECK(is_open(second[0]));
  CHECK(shelf->drop(1, 2));
  CHECK_FALSE(is_open(second[0]));
}

TEST_CASE("shelf table: a drop in the middle leaves all others") {
  auto shelf = std::make_unique<shelf_table>();
  char note[64] = {};
  for (uint64_t i = 0; i < 100; ++i) {
    note[0] = char(i);
    REQUIRE(shelf->put(i % 3, i, note, {}));
  }
  for (uint64_t i = 0; i < 100; i += 2)
    REQUIRE(shelf->drop(i % 3, i));
  CHECK_FALSE(shelf->drop(0, 0));
  CHECK(shelf->size() == 50);
  for (size_t i = 0; i < shelf->size(); ++i) {
    CHECK(shelf->serial(i) % 2 == 1);
    CHECK(shelf->kind(i) == shelf->serial(i) % 3);
    CHECK(shelf->at(i).note[0] == char(shelf->serial(i)));
  }
}

TEST_CASE("shelf table: a full shelf refuses new keys and takes known ones") {
  auto shelf = std::make_unique<shelf_table>();
  for (uint64_t i = 0; i < shelf_table::capacity; ++i)
    REQUIRE(shelf->put(1, i, no_note, {}));
  const int fd[] = {a_descriptor()};
  CHECK_FALSE(shelf->put(1, 99'999, no_note, fd));
  CHECK(is_open(fd[0])); // still the caller's
  CHECK(shelf->put(1, 5, no_note, fd));
  CHECK(shelf->drop(1, 5));
  CHECK(shelf->put(1, 99'999, no_note, {}));
}
