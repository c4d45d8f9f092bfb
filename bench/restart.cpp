#include <csignal>
#include <cstdio>
#include <poll.h>
#include <unistd.h>

#include "bench/session.hpp"

namespace gantry::bench {

namespace {

v1::InfoReply info(session& s) {
  return s.ask<v1::InfoReply>("/gantry.v1.Supervisor/Info", v1::InfoRequest{});
}

/// A fresh connection, one list; how many containers run by it.
int64_t running(const std::string& socket) {
  session s(socket);
  int64_t n = 0;
  const auto list = s.ask<v1::ListReply>("/gantry.v1.Containers/List", v1::ListRequest{});
  for (const auto& c : list.containers())
    n += c.state() == v1::RUNNING ? 1 : 0;
  return n;
}

} // namespace

/// SIGKILL of gantryd to the first list, over a fresh connection, that has all containers.
int restart(const words& w) {
  const auto socket = w.text("socket");
  const auto all = w.number("count", 1);
  std::vector<int64_t> ns;
  for (int64_t i = 0; i < w.number("kills", 15); ++i) {
    int32_t pid = 0;
    {
      session s(socket);
      pid = info(s).pid();
    }
    if (running(socket) != all)
      give_up("not all containers run before the kill");
    sleep_ms(static_cast<int>(w.number("pause", 200)));
    const int pidfd = pidfd_open(pid);
    const auto began = now_ns();
    kill_by(pidfd, SIGKILL);
    pollfd dead{pidfd, POLLIN, 0};
    ::poll(&dead, 1, -1); // before that nobody could be answered by the next one
    while (running(socket) != all)
      if (now_ns() - began > 30'000'000'000)
        give_up("gantryd did not list all containers again");
    ns.push_back(now_ns() - began);
    ::close(pidfd);
  }
  std::printf("{%s}\n", list_of("gantry_ns", ns).c_str());
  return 0;
}

/// Containers that only sleep, a few at a time.
int fill(const words& w) {
  session s(w.text("socket"));
  const auto from = w.number("from", 0);
  const auto count = w.number("count", 1);
  for (int64_t i = from; i < from + count; i += 4) {
    std::vector<std::unique_ptr<client::unary<v1::CreateReply>>> calls;
    for (int64_t j = i; j < std::min(i + 4, from + count); ++j) {
      container c{.id = "idle-" + std::to_string(j), .rootfs = w.text("rootfs")};
      c.args = {"/bin/sleep", "100000"};
      calls.push_back(std::make_unique<client::unary<v1::CreateReply>>(
        "/gantry.v1.Containers/Create", create_request(c)));
      s.start(*calls.back());
    }
    for (auto& c : calls) {
      s.until([&c] { return c->finished(); }, "a create", 120);
      if (auto got = c->take(); !got)
        give_up("create: " + got.why().text());
    }
  }
  std::printf("{\"created\": %lld}\n", static_cast<long long>(count));
  return 0;
}

/// Removes every container, a few at a time.
int clear(const words& w) {
  session s(w.text("socket"));
  auto list = [&s] {
    v1::ListRequest r;
    r.set_all(true);
    return s.ask<v1::ListReply>("/gantry.v1.Containers/List", r);
  };
  for (auto left = list(); left.containers_size() > 0; left = list()) {
    std::vector<std::unique_ptr<client::unary<v1::RemoveReply>>> calls;
    for (int i = 0; i < std::min(left.containers_size(), 64); ++i) {
      v1::RemoveRequest r;
      *r.mutable_ref() = ref_of(left.containers(i).id());
      r.set_force(true);
      calls.push_back(std::make_unique<client::unary<v1::RemoveReply>>(
        "/gantry.v1.Containers/Remove", r));
      s.start(*calls.back());
    }
    for (auto& c : calls) {
      s.until([&c] { return c->finished(); }, "a removal", 120);
      if (auto got = c->take(); !got)
        give_up("remove: " + got.why().text());
    }
  }
  std::printf("{}\n");
  return 0;
}

/// `ps` over an open connection and over a fresh one.
int list_latency(const words& w) {
  const auto socket = w.text("socket");
  const auto all = w.number("count", 1);
  std::vector<int64_t> open_ns;
  std::vector<int64_t> fresh_ns;
  session s(socket);
  for (int64_t i = 0; i < w.number("samples", 50); ++i) {
    auto began = now_ns();
    const auto got = s.ask<v1::ListReply>("/gantry.v1.Containers/List", v1::ListRequest{});
    open_ns.push_back(now_ns() - began);
    if (got.containers_size() != all)
      give_up("a list of " + std::to_string(got.containers_size()) + " containers");
    began = now_ns();
    if (running(socket) != all)
      give_up("not all containers run");
    fresh_ns.push_back(now_ns() - began);
  }
  std::printf("{%s, %s}\n", list_of("open_ns", open_ns).c_str(),
              list_of("fresh_ns", fresh_ns).c_str());
  return 0;
}

} // namespace gantry::bench
