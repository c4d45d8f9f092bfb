#include "runtime/probe_http.hpp"

#include <catch2/catch.hpp>

using namespace gantry::runtime;

namespace {

using state = probe_answer::state;

probe_question question(std::string_view text) {
  auto q = parse_question(text);
  REQUIRE(q);
  return *q;
}

/// The status that these bytes tell, which come in pieces; -1: bad, 0: not yet.
int told(std::string_view bytes, size_t piece) {
  probe_answer a;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const auto s = a.feed(bytes.substr(at, piece));
    if (s == state::ready)
      return a.status();
    if (s == state::bad)
      return -1;
  }
  return 0;
}

} // namespace

TEST_CASE("probe http: the request says what was asked for, and nothing twice") {
  CHECK(probe_request(question("http://:8080/health?x=1"))
        == "GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: gantry-probe\r\n"
           "Accept: */*\r\nConnection: close\r\n\r\n");
  auto q = question("http://[::1]/");
  q.headers = {{"user-agent", "me"}, {"X-A", "1"}, {"X-A", "2"}};
  CHECK(probe_request(q)
        == "GET / HTTP/1.1\r\nHost: [::1]\r\nAccept: */*\r\nuser-agent: me\r\nX-A: 1\r\nX-A: 2\r\n"
           "Connection: close\r\n\r\n");
  q = question("https://:443/");
  q.host = "example.org";
  CHECK(probe_request(q).find("Host: example.org\r\n") != std::string::npos);
}

TEST_CASE("probe http: the status, however the bytes come") {
  const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 \r\n\r\n";
  for (size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{100000}}) {
    CHECK(told("HTTP/1.1 200 OK\r\n", piece) == 200);
    CHECK(told("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nbody", piece) == 404);
    CHECK(told("HTTP/1.1 503\n", piece) == 503);
    CHECK(told("HTTP/1.1 204 \r\n", piece) == 204);
    CHECK(told("\r\n\r\nHTTP/1.1 301 Moved\r\n", piece) == 301);
    CHECK(told(interim, piece) == 0);
    CHECK(told(interim + "HTTP/1.1 500 No\r\n", piece) == 500);
    CHECK(told("HTTP/1.1 200 OK\r\n" + std::string(2 << 20, 'x'), piece) == 200);
    CHECK(told("HTTP/1.1 200 OK", piece) == 0); // Not yet.
    for (const char* text : {"HTTP/2 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n",
                             "HTTP/1.1  200 OK\r\n", "HTTP/1.1 999 x\r\n", "HTTP/1.1 099 x\r\n",
                             "HTTP/1.x 200 OK\r\n", "SSH-2.0-x\r\n", "HTTP/1.1\r\n",
                             "HTTP/1.1 101 Switching\r\n", "\x16\x03\x01\n"}) {
      INFO(text);
      CHECK(told(text, piece) == -1);
    }
  }
}

TEST_CASE("probe http: what goes on for ever ends") {
  probe_answer line;
  state s = state::more;
  size_t fed = 0;
  for (; s == state::more && fed < (1 << 20); ++fed)
    s = line.feed("x");
  CHECK(s == state::bad);
  CHECK(fed == probe_answer::max_bytes + 1);
  CHECK(line.feed("HTTP/1.1 200 OK\r\n") == state::bad);

  probe_answer interim;
  s = interim.feed("HTTP/1.1 102 Processing\r\n");
  for (fed = 0; s == state::more && fed < (1 << 20); fed += 6)
    s = interim.feed("A: b\r\n");
  CHECK(s == state::bad);
  CHECK(fed <= probe_answer::max_bytes + 6);
}

TEST_CASE("probe http: an end without an answer is named") {
  probe_answer none;
  CHECK(none.end() == state::bad);
  CHECK(none.why() == "it closed the connection without an answer");
  probe_answer half;
  CHECK(half.feed("HTTP/1.1 2") == state::more);
  CHECK(half.end() == state::bad);
  CHECK(half.why() == "it closed the connection within its answer: \"HTTP/1.1 2\"");
  probe_answer other;
  CHECK(other.feed("220 mail ready\r\n") == state::bad);
  CHECK(other.why() == "this is no answer of HTTP/1: \"220 mail ready\"");
}
