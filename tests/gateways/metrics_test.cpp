#include "gateways/metrics/http_request.hpp"

#include <catch2/catch.hpp>

#include "gateways/metrics/exposition.hpp"

using namespace gantry;
using namespace gantry::metrics;
using state = http_reader::state;

TEST_CASE("http request: read whole, whatever the pieces are") {
  const std::string text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n"
                           "accept:  application/openmetrics-text;q=0.5,*/*\r\n\r\n";
  for (size_t piece : {1u, 7u, 4096u}) {
    http_reader r;
    auto s = state::more;
    for (size_t at = 0; at < text.size(); at += piece) {
      CHECK(s == state::more);
      s = r.feed(std::string_view(text).substr(at, piece));
    }
    REQUIRE(s == state::ready);
    const auto x = r.take();
    CHECK(x.method == "GET");
    CHECK(x.path == "/metrics");
    CHECK(x.keep_alive);
    CHECK(x.openmetrics);
    CHECK_FALSE(r.begun());
  }
}

TEST_CASE("http request: one behind the other") {
  http_reader r;
  REQUIRE(r.feed("GET /a HTTP/1.0\n\nHEAD /b HTTP/1.1\r\nConnection: Close\r\n\r\nGE")
          == state::ready);
  CHECK_FALSE(r.take().keep_alive);
  REQUIRE(r.again() == state::ready);
  const auto x = r.take();
  CHECK(x.method == "HEAD");
  CHECK_FALSE(x.keep_alive);
  CHECK(r.again() == state::more);
  CHECK(r.begun());
}

TEST_CASE("http request: what is wrong has its status, and nothing comes after it") {
  const std::pair<std::string, int> cases[] = {
    {"GET /a HTTP/3\r\n\r\n", 505},
    {"GET /a\r\n\r\n", 400},
    {"G(T /a HTTP/1.1\r\n\r\n", 400},
    {"GET a HTTP/1.1\r\n\r\n", 400},
    {"GET /a b HTTP/1.1\r\n\r\n", 400},
    {"GET /a HTTP/1.1\r\n folded: x\r\n\r\n", 400},
    {"GET /a HTTP/1.1\r\nno colon\r\n\r\n", 400},
    {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), 400},
    {"GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 413},
    {"GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
    {"GET /" + std::string(4000, 'x') + " HTTP/1.1\r\n", 0}, // Not yet.
  };
  for (const auto& [text, status] : cases) {
    INFO(text);
    http_reader r;
    const auto s = r.feed(text);
    CHECK(r.status() == status);
    CHECK((s == state::bad) == (status != 0));
    if (s == state::bad)
      CHECK(r.feed("GET / HTTP/1.1\r\n\r\n") == state::bad);
  }
}

TEST_CASE("http request: a head has a limit, and so has what is kept of it") {
  http_reader r;
  const std::string line = "A: " + std::string(1000, 'b') + "\r\n";
  auto s = r.feed("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 9 && s == state::more; ++i)
    s = r.feed(line);
  CHECK(s == state::bad);
  CHECK(r.status() == 431);
}

TEST_CASE("exposition: counters are named as each format wants it, labels are escaped") {
  exposition a(format::openmetrics);
  a.family("counter", "x", "What \"x\" is.\nReally.");
  a.counter({{"name", "a\"b\\c\nd"}}, 3);
  CHECK(a.done()
        == "# HELP x What \\\"x\\\" is.\\nReally.\n# TYPE x counter\n"
           "x_total{name=\"a\\\"b\\\\c\\nd\"} 3\n# EOF\n");
  exposition b(format::prometheus);
  b.family("counter", "x", "X.");
  b.counter({}, 3);
  CHECK(b.done() == "# HELP x_total X.\n# TYPE x_total counter\nx_total 3\n");
}

TEST_CASE("exposition: the buckets of a histogram add up") {
  io::histogram h;
  h.add(0);
  h.add(1024);           // Its own limit belongs to a class.
  h.add(1025);
  h.add(20'000'000'000); // Longer than all classes.
  exposition x(format::prometheus);
  x.family("histogram", "t", "T.");
  x.histogram({{"a", "b"}}, h);
  const auto text = x.done();
  CHECK(text.find("t_bucket{a=\"b\",le=\"1.024e-06\"} 2\n") != std::string::npos);
  CHECK(text.find("t_bucket{a=\"b\",le=\"4.096e-06\"} 3\n") != std::string::npos);
  CHECK(text.find("t_bucket{a=\"b\",le=\"+Inf\"} 4\n") != std::string::npos);
  CHECK(text.find("t_count{a=\"b\"} 4\n") != std::string::npos);
}

TEST_CASE("histogram: every duration falls below the limit of its class and not below the last") {
  for (int64_t ns = 1; ns < int64_t{1} << 36; ns = ns * 3 / 2 + 1) {
    io::histogram h;
    h.add(ns);
    size_t at = 0;
    while (h.counts[at] == 0)
      ++at;
    INFO(ns << " in class " << at);
    if (at < io::histogram::classes)
      CHECK(uint64_t(ns) <= io::histogram::limit_ns(at));
    if (at > 0)
      CHECK(uint64_t(ns) > io::histogram::limit_ns(at - 1));
  }
}
