#include "io/local_shelf.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>

#include "tests/io/real_loop.hpp"

using namespace gantry;
using namespace gantry::io;

namespace {

constexpr arena_shape tiny{.dead_entries = 8, .log_slots = 8, .journal_bytes = 65536,
                           .small_block_bytes = 4096, .small_blocks = 1,
                           .large_block_bytes = 4096, .large_blocks = 1};

std::unique_ptr<local_shelf> make(kernel& k) {
  auto made = local_shelf::make(k, tiny);
  REQUIRE(made.ok());
  return std::move(*made);
}

} // namespace

TEST_CASE("local shelf: keeps duplicates, whatever becomes of the originals", "[uring]") {
  real_loop r;
  auto shelf = make(*r.kernel);
  pipe_pair pipe(*r.kernel);
  const int fds[] = {pipe.reader.get()};
  shelf_note note{};
  note[0] = 'n';
  REQUIRE(shelf->put({2, 7}, note, fds).ok());
  pipe.reader.reset();
  REQUIRE(r.kernel->write(pipe.writer.get(), {"x", 1}) == 1); // still has a reader

  auto list = shelf->list();
  REQUIRE(list.ok());
  REQUIRE(list->size() == 1);
  const auto& entry = list->front();
  CHECK(entry.key == shelf_key{2, 7});
  CHECK(entry.note == note);
  REQUIRE(entry.fds.size() == 1);
  CHECK((::fcntl(entry.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  char byte = 0;
  CHECK(r.kernel->read(entry.fds[0].get(), {&byte, 1}) == 1);

  REQUIRE(shelf->drop({2, 7}).ok());
  REQUIRE(shelf->drop({2, 7}).ok()); // no harm
  CHECK(shelf->list()->empty());
  list->clear();
  ::signal(SIGPIPE, SIG_IGN);
  CHECK(r.kernel->write(pipe.writer.get(), {"x", 1}) == -EPIPE); // nobody reads any more
}

TEST_CASE("local shelf: makes an arena, and this process the sub-reaper", "[uring]") {
  real_loop r;
  auto shelf = make(*r.kernel);
  REQUIRE(bool(shelf->memory()));
  CHECK(shelf->memory().header().generation == 1);
  CHECK(std::string(shelf->memory().header().boot_id).size() == 36);
  CHECK(shelf->news_fd() == -1);
  CHECK(shelf->alive());
  int reaper = 0;
  REQUIRE(::prctl(PR_GET_CHILD_SUBREAPER, &reaper) == 0);
  CHECK(reaper == 1);
}
