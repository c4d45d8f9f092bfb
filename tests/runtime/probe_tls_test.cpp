#include "runtime/probe_tls.hpp"

#include "tests/runtime/probe_rig.hpp"
#include "tests/runtime/tls_end.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace std::chrono_literals;

namespace {

using talk_state = probe_talk::state;
using label = probe_result::label;

const certificate& any_certificate() {
  static const auto made = make_certificate("DNS:localhost,IP:127.0.0.1");
  return made;
}

std::unique_ptr<probe_talk> talk_about(const probe_question& q) {
  auto out = talk_of(q);
  if (!out)
    FAIL(out.why().text());
  return std::move(*out);
}

probe_question tls_question(std::string_view text) {
  auto q = parse_question(text);
  REQUIRE(q);
  return *q;
}

/// Lets the two speak, in pieces of so many bytes; `more`: neither has anything more to say.
talk_state converse(probe_talk& probe, tls_end& server, size_t piece) {
  for (auto said = probe.output(); !said.empty(); said = probe.output()) {
    std::string answer;
    for (size_t at = 0; at < said.size(); at += piece)
      answer += server.hear(std::string_view(said).substr(at, piece));
    for (size_t at = 0; at < answer.size(); at += piece)
      if (const auto now = probe.feed(std::string_view(answer).substr(at, piece));
          now != talk_state::more)
        return now;
  }
  return talk_state::more;
}

/// The same on loopback, in a thread.
struct tls_server {
  explicit tls_server(std::string answer, bool closes = true)
    : end(any_certificate(), std::move(answer)),
      thread(
        [this](std::string_view bytes, bool& done) {
          auto out = end.hear(bytes);
          done = end.done;
          return out;
        },
        closes) {}

  tls_end end;
  server thread;
};

} // namespace

TEST_CASE("probe tls: the answer counts, however its bytes come") {
  const std::pair<std::string, talk_state> answers[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", talk_state::passed},
    {"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 None\r\n" + std::string(100'000, 'x'),
     talk_state::passed},
    {"HTTP/1.1 500 No\r\n\r\n", talk_state::failed},
    {"hello\n", talk_state::failed},
    {std::string(1u << 20, 'a'), talk_state::failed}};
  for (const auto& [answer, verdict] : answers)
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, size_t{1} << 20})
      for (const int version : {0, TLS1_2_VERSION}) {
        tls_end server(any_certificate(), answer, version);
        const auto probe = talk_about(tls_question("https://:8443/health"));
        CHECK(probe->waits_for() == "the TLS handshake");
        CHECK(converse(*probe, server, piece) == verdict);
        CHECK(server.heard.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n"));
        CHECK(probe->waits_for() == "an answer");
        CHECK_FALSE(probe->text().empty());
      }
}

TEST_CASE("probe tls: the name that is asked for is the host's, and no address") {
  auto q = tls_question("https://:8443/");
  const auto asked = [&q] {
    tls_end server(any_certificate(), "HTTP/1.1 200 OK\r\n\r\n");
    CHECK(converse(*talk_about(q), server, 4096) == talk_state::passed);
    return server.name;
  };
  CHECK(asked().empty());
  q.host = "example.org:8443";
  CHECK(asked() == "example.org");
  q.headers = {{"hOsT", "other.example"}};
  CHECK(asked() == "other.example");
  for (const char* address : {"[::1]:8443", "10.0.0.1", "not a name"}) {
    q.headers = {{"Host", address}};
    CHECK(asked().empty());
  }
}

TEST_CASE("probe tls: who speaks something else, or stops in the middle, is told apart") {
  const auto q = tls_question("https://:8443/");
  auto plain = talk_about(q);
  CHECK(plain->feed("HTTP/1.1 400 Bad Request\r\nServer: x\r\n") == talk_state::failed);
  CHECK(plain->text() == "this is no TLS: \"HTTP/1.1 400 Bad Request\"");
  CHECK(talk_about(q)->end() == talk_state::failed);
  auto cut = talk_about(q);
  CHECK(cut->feed("\x16\x03") == talk_state::more);
  CHECK(cut->end() == talk_state::failed);
  CHECK(cut->text() == "it closed the connection within the TLS handshake");
  auto alert = talk_about(q);
  CHECK(alert->feed(std::string_view("\x15\x03\x03\x00\x02\x02\x28", 7)) == talk_state::failed);
  CHECK(alert->text().starts_with("the TLS handshake failed: "));
  CHECK(alert->text().find("handshake failure") != std::string::npos);
  auto old = talk_about(q);
  tls_end server(any_certificate(), "HTTP/1.1 200 OK\r\n\r\n", TLS1_1_VERSION);
  CHECK(converse(*old, server, 4096) == talk_state::failed);
  CHECK(old->text().starts_with("the TLS handshake failed: "));
}

TEST_CASE("probe tls: a certificate is verified where there is something to do so by") {
  const auto ours = make_certificate("");
  const auto other = make_certificate("");
  const auto own = make_certificate("DNS:web.example,IP:127.0.0.1");
  const auto good = make_certificate("DNS:web.example,IP:127.0.0.1", &ours);
  const auto expired = make_certificate("IP:127.0.0.1", &ours, -1);
  struct row {
    const certificate& server;
    std::string by;
    std::string host;
    std::string says; ///< Of what fails.
  };
  const row rows[] = {
    {good, ours.pem(), "", ""},
    {good, ours.pem(), "web.example", ""},
    {good, "a word before\n" + other.pem() + ours.pem(), "web.example:8443", ""},
    {good, ours.pem(), "127.0.0.1:8443", ""},
    {own, own.pem(), "web.example", ""}, // It is what it must be, itself.
    {good, ours.pem(), "db.example", "hostname mismatch (it must be one of \"db.example\")"},
    {good, ours.pem(), "10.0.0.1", "IP address mismatch (it must be one of \"10.0.0.1\")"},
    {good, other.pem(), "", "unable to get local issuer certificate"},
    {own, other.pem(), "", "self-signed certificate"},
    {expired, ours.pem(), "", "certificate has expired"},
    {expired, "", "", ""},
    {own, "", "db.example", ""}};
  for (const auto& x : rows)
    for (const int version : {0, TLS1_2_VERSION}) {
      auto q = tls_question("https://:8443/");
      q.tls_ca = x.by;
      q.host = x.host;
      REQUIRE(check_tls(q));
      tls_end server(x.server, "HTTP/1.1 200 OK\r\n\r\n", version);
      const auto probe = talk_about(q);
      INFO(x.says << " " << probe->text());
      CHECK(converse(*probe, server, 4096)
            == (x.says.empty() ? talk_state::passed : talk_state::failed));
      if (!x.says.empty()) {
        CHECK(probe->text() == "its certificate is not good: " + x.says);
        CHECK(server.heard.empty());
      }
    }
}

TEST_CASE("probe tls: what nothing can be verified by is refused when it is made") {
  auto q = tls_question("https://:8443/");
  const auto refused = [&q](const std::string& by) {
    q.tls_ca = by;
    const auto x = check_tls(q);
    return x ? std::string{} : x.why().text();
  };
  const auto good = make_certificate("DNS:a").pem();
  CHECK(refused(good).empty());
  CHECK(refused("/etc/ca.pem").find("without a certificate") != std::string::npos);
  CHECK(refused(good.substr(0, 100) + "!" + good.substr(100)).find("damaged")
        != std::string::npos);
  CHECK(refused(good + "-----BEGIN PRIVATE KEY-----").find("private key") != std::string::npos);
  CHECK(refused(good + std::string(65536, '\n')).find("65536") != std::string::npos);
  q.host = "no name";
  CHECK(refused(good).find("no name") != std::string::npos);
}

TEST_CASE("probe tls: grpc asks for HTTP/2") {
  auto q = tls_question("grpcs://:9443/a.Service");
  tls_end server(any_certificate(), "");
  CHECK(converse(*talk_about(q), server, 4096) == talk_state::more);
  CHECK(server.heard.starts_with("PRI * HTTP/2.0\r\n"));
  CHECK(server.chosen == "h2");
}

TEST_CASE("probe tls: an end without an answer is named as that of plain HTTP") {
  for (const bool goodbye : {true, false}) {
    const auto probe = talk_about(tls_question("https://:8443/"));
    tls_end server(any_certificate(), "HTTP/1.1 2");
    server.says_goodbye = goodbye;
    auto now = converse(*probe, server, 4096);
    CHECK(now == (goodbye ? talk_state::failed : talk_state::more));
    if (now == talk_state::more)
      CHECK(probe->end() == talk_state::failed);
    CHECK(probe->text() == "it closed the connection within its answer: \"HTTP/1.1 2\"");
  }
}

TEST_CASE("probe call: https passes by its status, and the server may say all", "[uring][root]") {
  self_asking a;
  tls_server s{"HTTP/1.0 200 OK\r\n\r\n" + std::string(50'000, 'x')};
  a.web(s.thread.port, probe_kind::https);
  const auto r = a.ask();
  CHECK(r.what == label::passed);
  CHECK(r.output == "HTTP/1.0 200 OK");
  a.rest();
  s.thread.join();
  CHECK_FALSE(s.thread.cut_off);
  CHECK(s.end.heard.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
}

TEST_CASE("probe call: https with servers that misbehave", "[uring][root]") {
  const std::pair<std::string, std::string> answers[] = {
    {"HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 503 Busy (asked for 200 to 399)"},
    {std::string(1u << 20, 'a'), "its head has more than 65536 bytes before a status"}};
  for (const auto& [answer, words] : answers) {
    self_asking a;
    tls_server s{answer};
    a.web(s.thread.port, probe_kind::https);
    const auto r = a.ask();
    CHECK(r.what == label::failed);
    CHECK(r.output == words);
    a.rest();
  }
  { // At once, though it never closes.
    self_asking a;
    tls_server s{"HTTP/1.1 200 OK\r\n", false};
    a.web(s.thread.port, probe_kind::https);
    CHECK(a.ask().what == label::passed);
    a.rest();
  }
  for (const auto& [first, closes] : {std::pair<std::string, bool>{"\x16\x03", false},
                                      {"\x16", true},
                                      {"HTTP/1.1 400 Bad Request\r\n\r\n", true}}) {
    self_asking a;
    server s{first, closes};
    a.web(s.port, probe_kind::https);
    a.what.timeout_ns = closes ? 3'000'000'000 : 50'000'000;
    const auto r = a.ask();
    CHECK(r.what == (closes ? label::failed : label::timeout));
    INFO(r.output);
    if (!closes)
      CHECK(r.output == "waiting for the TLS handshake of 127.0.0.1:" + std::to_string(s.port));
    a.rest();
  }
}
