#include "runtime/probe_call.hpp"

#include <filesystem>
#include <fstream>

#include "tests/runtime/probe_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace std::chrono_literals;

namespace {

using label = probe_result::label;

std::string in_temp(const std::string& name) {
  return "/var/tmp/gantry-probe-call-" + std::to_string(::getpid()) + "-" + name;
}

} // namespace

TEST_CASE("probe call: tcp", "[uring][root]") {
  self_asking a;
  a.what.question.kind = probe_kind::tcp;
  {
    server s{""};
    a.what.question.port = s.port;
    const auto r = a.ask();
    CHECK(r.what == label::passed);
    CHECK(r.output == "connected to 127.0.0.1:" + std::to_string(s.port));
  }
  a.told.reset();
  const auto r = a.ask(); // It listens no more.
  CHECK(r.what == label::failed);
  CHECK(r.output.find("Connection refused") != std::string::npos);
}

TEST_CASE("probe call: http passes by its status, and the server may say all", "[uring][root]") {
  self_asking a;
  server s{"HTTP/1.0 200 OK\r\n\r\n" + std::string(50'000, 'x')};
  a.web(s.port);
  const auto r = a.ask();
  CHECK(r.what == label::passed);
  CHECK(r.output == "HTTP/1.0 200 OK");
  CHECK(a.r.l.drain(3s));
  CHECK_FALSE(s.cut_off);
  CHECK(s.heard.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
}

TEST_CASE("probe call: http fails by its status, and by what is no answer", "[uring][root]") {
  const std::pair<std::string, std::string> answers[] = {
    {"HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 503 Busy (asked for 200 to 399)"},
    {std::string(1u << 20, 'a'), "its head has more than 65536 bytes before a status"},
    {"hello\n", "this is no answer of HTTP/1: \"hello\""},
    {"HTTP/1.1 200", "it closed the connection within its answer: \"HTTP/1.1 200\""}};
  for (const auto& [answer, words] : answers) {
    self_asking a;
    server s{answer};
    a.web(s.port);
    const auto r = a.ask();
    CHECK(r.what == label::failed);
    CHECK(r.output == words);
    a.rest();
  }
}

TEST_CASE("probe call: an answer that does not come, or does not end", "[uring][root]") {
  {
    self_asking a;
    server s{"HTTP/1.1 2", false};
    a.web(s.port);
    a.what.timeout_ns = 50'000'000;
    const auto r = a.ask();
    CHECK(r.what == label::timeout);
    CHECK(r.output == "waiting for an answer of 127.0.0.1:" + std::to_string(s.port));
    CHECK(r.ended_ns - r.began_ns >= 50'000'000);
    a.rest();
  }
  self_asking b;
  server s{"HTTP/1.1 200 OK\r\n", false};
  b.web(s.port);
  CHECK(b.ask().what == label::passed); // At once, though it never closes.
  b.rest();
}

TEST_CASE("probe call: nobody hears of one that was abandoned", "[uring][root]") {
  self_asking a;
  server s{"HTTP/1.1 2", false};
  a.web(s.port);
  a.begin();
  a.r.l.turn(false);
  a.call.reset();
  CHECK(a.r.l.drain(3s));
  CHECK_FALSE(a.told.has_value());
  a.begin();
  a.call->abandon();
  a.rest();
  CHECK_FALSE(a.told.has_value());
}

TEST_CASE("probe call: grpc with somebody who does not speak it", "[uring][root]") {
  const std::pair<std::string, std::string> answers[] = {
    {"HTTP/1.1 400 Bad Request\r\n\r\n", "no HTTP/2"},
    {std::string(9, '\0'), "no HTTP/2"}};
  for (const auto& [answer, words] : answers) {
    self_asking a;
    server s{answer};
    a.what.question.kind = probe_kind::grpc;
    a.what.question.port = s.port;
    const auto r = a.ask();
    CHECK(r.what == label::failed);
    INFO(r.output);
    CHECK(r.output.find(words) != std::string::npos);
    a.rest();
    CHECK(s.heard.starts_with("PRI * HTTP/2.0\r\n"));
  }
}

TEST_CASE("probe call: a file", "[uring][root]") {
  self_asking a;
  const auto path = in_temp("file");
  std::ofstream{path} << "x";
  a.what.question.kind = probe_kind::file;
  a.what.question.path = path;
  CHECK(a.ask().output == path + " is there");
  a.what.question.younger_ns = 3'600'000'000'000;
  a.told.reset();
  CHECK(a.ask().what == label::passed);
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - 2h);
  a.told.reset();
  CHECK(a.ask().what == label::failed);
  std::filesystem::remove(path);
  a.told.reset();
  const auto r = a.ask();
  CHECK(r.what == label::failed);
  CHECK(r.output == "cannot look at " + path + ": No such file or directory");
}

TEST_CASE("probe call: a path waits for its turn, and is left out if that does not come",
          "[uring][root]") {
  self_asking a;
  a.what.question.kind = probe_kind::file;
  a.what.question.path = "/etc";
  a.what.timeout_ns = 50'000'000;
  {
    std::vector<permits::permit> taken;
    for (size_t i = 0; i < max_path_probes; ++i)
      a.paths->ask([&taken](permits::permit p) { taken.push_back(std::move(p)); });
    a.begin();
    REQUIRE(a.r.until([&a] { return a.told.has_value(); }));
    REQUIRE_FALSE(a.told->ok());
    CHECK(a.told->why().code == ec::resource_exhausted);
  }
  CHECK(a.paths->given() == 0); // Nobody took it for one that had gone.
  a.told.reset();
  CHECK(a.ask().what == label::passed);
}

TEST_CASE("probe call: a number that is another process by now", "[uring][root]") {
  self_asking a;
  a.what.question.kind = probe_kind::file;
  a.what.question.path = "/etc";
  a.call = std::make_unique<probe_call>(a.r.l, a.paths, a.what, 4096,
                                        probe_target{::getpid(), 1, -1},
                                        [&a](result<probe_result> x) { a.told = std::move(x); });
  REQUIRE(a.r.until([&a] { return a.told.has_value(); }));
  REQUIRE_FALSE(a.told->ok());
  CHECK(a.told->why().code == ec::wrong_state);
}

TEST_CASE("permits: so many at a time, in order, and those that went are passed over") {
  permits p{2};
  std::vector<int> order;
  std::map<int, permits::permit> held;
  const auto ask = [&](int n) {
    p.ask([&, n](permits::permit x) {
      order.push_back(n);
      if (n != 3) // It has gone meanwhile.
        held[n] = std::move(x);
    });
  };
  for (int i = 1; i <= 4; ++i)
    ask(i);
  CHECK(order == std::vector{1, 2});
  CHECK(p.waiting() == 2);
  held[1].give_back();
  CHECK(order == std::vector{1, 2, 3, 4});
  CHECK(p.given() == 2);
  held.clear();
  CHECK(p.given() == 0);
}
