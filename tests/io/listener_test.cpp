#include "io/listener.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/local_shelf.hpp"
#include "tests/io/real_loop.hpp"

using namespace gantry;
using namespace gantry::io;
namespace fs = std::filesystem;

namespace {

constexpr shelf_key key{shelf_kind::listener, 1};

struct place {
  place() {
    char name[] = "/tmp/gantry-listener-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir = name;
    auto made = local_shelf::make(*r.kernel, {}, false);
    REQUIRE(made.ok());
    shelf = std::move(*made);
  }
  ~place() { fs::remove_all(dir); }
  std::vector<shelf_entry> shelved() {
    auto all = shelf->list();
    REQUIRE(all.ok());
    return std::move(*all);
  }
  result<fd> listen(mode_t mode = 0660) {
    auto there = shelved();
    return listen_unix(*r.kernel, *shelf, there, {.key = key, .path = dir + "/s", .mode = mode});
  }
  result<fd> listen_tcp(const std::string& address) {
    auto there = shelved();
    return listen_loopback(*r.kernel, *shelf, there, key, address);
  }
  real_loop r;
  std::string dir;
  std::unique_ptr<local_shelf> shelf;
};

} // namespace

TEST_CASE("listener: the socket has its mode whatever the umask is, which stays", "[uring]") {
  place p;
  for (const mode_t mask : {0022, 0077, 0000}) {
    ::umask(mask);
    REQUIRE(p.shelf->drop(key).ok());
    auto made = p.listen();
    REQUIRE(made.ok());
    struct stat seen{};
    REQUIRE(::stat((p.dir + "/s").c_str(), &seen) == 0);
    CHECK((seen.st_mode & 0777) == 0660);
    CHECK(::umask(0022) == mask);
  }
}

TEST_CASE("listener: one that lies on the shelf is used again, as long as it stands there",
          "[uring]") {
  place p;
  ino_t first = 0;
  struct stat seen{};
  {
    auto made = p.listen();
    REQUIRE(made.ok());
    ::stat((p.dir + "/s").c_str(), &seen);
    first = seen.st_ino;
  }
  REQUIRE(p.listen().ok());
  ::stat((p.dir + "/s").c_str(), &seen);
  CHECK(seen.st_ino == first);
  REQUIRE(p.listen(0666).ok()); // Who may connect may be another now.
  ::stat((p.dir + "/s").c_str(), &seen);
  CHECK((seen.st_ino == first && (seen.st_mode & 0777) == 0666));
  fs::remove(p.dir + "/s");
  REQUIRE(p.listen().ok());
  CHECK(fs::exists(p.dir + "/s"));
}

TEST_CASE("listener: what is no socket is left alone", "[uring]") {
  place p;
  std::ofstream(p.dir + "/s") << "x";
  const auto made = p.listen();
  REQUIRE_FALSE(made.ok());
  CHECK(made.why().code == ec::already_exists);
  CHECK(fs::file_size(p.dir + "/s") == 1);
}

TEST_CASE("listener: a port that a dead process may still hold is taken from the shelf",
          "[uring]") {
  place p;
  std::string address;
  {
    auto first = p.listen_tcp("127.0.0.1:0");
    REQUIRE(first.ok());
    sockaddr_in at{};
    socklen_t size = sizeof(at);
    REQUIRE(::getsockname(first->get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  auto again = p.listen_tcp(address); // Bound still: by the shelf.
  INFO((again ? "" : again.why().text()));
  CHECK(again.ok());
}

TEST_CASE("listener: the loopback network, and nothing else", "[uring]") {
  place p;
  for (const auto* good : {"127.0.0.1:0", "127.1.2.3:0"})
    CHECK(p.listen_tcp(good).ok());
  for (const auto* bad : {"0.0.0.0:1", "10.0.0.1:1", "localhost:1", "127.0.0.1", "127.0.0.1:",
                          "127.0.0.1:70000", ":1", "[::]:1", ""})
    CHECK_FALSE(is_loopback(bad));
}
