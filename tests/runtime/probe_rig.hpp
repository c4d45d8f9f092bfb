#pragma once

#include <arpa/inet.h>
#include <functional>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>

#include "runtime/probe_call.hpp"
#include "tests/io/real_loop.hpp"

// A server to be probed, and a prober that needs no container.

namespace gantry::runtime {

/// A server of one connection on loopback, in a thread of its own.
class server {
public:
  /// What it says to the bytes that have come; `done`: and nothing more.
  using answerer = std::function<std::string(std::string_view bytes, bool& done)>;

  /// One answer, to whatever comes; to nothing, where it is empty.
  explicit server(std::string answer, bool closes = true)
    : server(answer.empty() ? answerer{} : [answer](std::string_view, bool& done) {
               done = true;
               return answer;
             }, closes) {}
  server(answerer f, bool closes) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port = ntohs(at.sin_port);
    thread_ = std::thread([this, f = std::move(f), closes] { serve(f, closes); });
  }
  ~server() {
    join();
    ::close(listener_);
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Waits until it has said all; the probe must have been let go.
  void join() {
    ::shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable())
      thread_.join();
  }

  uint32_t port = 0;
  std::string heard;    ///< To be read when the probe is over.
  bool cut_off = false; ///< It could not say all.

private:
  void serve(const answerer& f, bool closes) {
    const int c = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (c < 0)
      return;
    char bytes[4096];
    for (bool done = !f; !done && !cut_off;) {
      const auto n = ::recv(c, bytes, sizeof(bytes), 0);
      if (n <= 0)
        break;
      heard.append(bytes, size_t(n));
      say(c, f({bytes, size_t(n)}, done));
    }
    if (!closes)
      while (::recv(c, bytes, sizeof(bytes), 0) > 0)
        continue;
    ::close(c);
  }

  void say(int c, const std::string& all) {
    for (size_t at = 0; at < all.size() && !cut_off;) {
      const auto sent = ::send(c, all.data() + at, all.size() - at, MSG_NOSIGNAL);
      cut_off = sent <= 0;
      at += size_t(std::max<ssize_t>(sent, 0));
    }
  }

  int listener_ = -1;
  std::thread thread_;
};

/// Asks this process itself.
struct self_asking {
  io::real_loop r;
  std::shared_ptr<permits> paths = std::make_shared<permits>(max_path_probes);
  probe what;
  std::optional<result<probe_result>> told;
  std::unique_ptr<probe_call> call;

  self_asking() { what.timeout_ns = 3'000'000'000; }

  void begin() {
    const auto pid = ::getpid();
    const io::fd pidfd(*r.kernel, r.kernel->pidfd_open(pid));
    call = std::make_unique<probe_call>(
      r.l, paths, what, 4096,
      probe_target{pid, uint64_t(r.kernel->start_ticks(pid)), pidfd.get()},
      [this](result<probe_result> x) { told = std::move(x); });
    CHECK_FALSE(told.has_value());
  }

  probe_result ask() {
    begin();
    REQUIRE(r.until([this] { return told.has_value(); }));
    REQUIRE(told->ok());
    CHECK((**told).ended_ns >= (**told).began_ns);
    return **told;
  }

  void web(uint32_t port, probe_kind kind = probe_kind::http) {
    what.question.kind = kind;
    what.question.port = port;
    what.question.path = "/health";
  }

  /// Its server is waited for by others: it must have been let go.
  void rest() {
    call.reset();
    CHECK(r.l.drain(std::chrono::seconds(3)));
  }

  ~self_asking() {
    rest();
    CHECK(paths->given() == 0);
  }
};

} // namespace gantry::runtime
