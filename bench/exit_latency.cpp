#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <unistd.h>

#include "bench/session.hpp"

namespace gantry::bench {

namespace {

/// The floor's process, asked for one sample at a time.
class floor_program {
public:
  explicit floor_program(const std::string& path) {
    int in[2];
    int out[2];
    if (::pipe(in) != 0 || ::pipe(out) != 0)
      give_up("no pipes for the floor");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (int fd : {in[0], in[1], out[0], out[1]})
        ::close(fd);
      ::execl(path.c_str(), path.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    ask_ = in[1];
    answers_ = ::fdopen(out[0], "r");
  }
  ~floor_program() {
    ::close(ask_);
    std::fclose(answers_);
  }

  int64_t sample() {
    char line[32];
    if (::write(ask_, "\n", 1) != 1 || std::fgets(line, sizeof line, answers_) == nullptr)
      give_up("the floor's program has ended");
    const auto ns = std::strtoll(line, nullptr, 10);
    if (ns <= 0)
      give_up("the floor could not be measured: errno " + std::to_string(-ns));
    return ns;
  }

private:
  int pid_ = -1;
  int ask_ = -1;
  FILE* answers_ = nullptr;
};

struct victim {
  std::string id;
  int pidfd = -1;
};

std::vector<victim> make_victims(session& s, const words& w, int64_t count) {
  std::vector<victim> out;
  for (int64_t i = 0; i < count; ++i) {
    container c{.id = "victim-" + std::to_string(i), .rootfs = w.text("rootfs")};
    c.args = {"/bin/sleep", "100000"};
    const auto made = create(s, c);
    out.push_back({c.id, pidfd_open(made.pid())});
  }
  return out;
}

/// From the SIGKILL of init to the exit event in our hands.
int64_t kill_one(session& s, const victim& v, const std::string& last_exit) {
  const auto began = now_ns();
  kill_by(v.pidfd, SIGKILL);
  s.until([&] { return last_exit == v.id; }, "the exit event");
  const auto took = now_ns() - began;
  ::close(v.pidfd);
  return took;
}

/// The same, and when the kernel said that the process is dead.
int64_t kill_and_watch(session& s, const victim& v, const std::string& last_exit, int64_t& dead) {
  pollfd p{v.pidfd, POLLIN, 0};
  const auto began = now_ns();
  dead = 0;
  kill_by(v.pidfd, SIGKILL);
  while (last_exit != v.id) {
    s.step(p);
    if (p.fd >= 0 && p.revents != 0) {
      dead = now_ns() - began;
      p.fd = -1;
    }
    if (now_ns() - began > 60'000'000'000)
      give_up("waited in vain: the exit event");
  }
  const auto took = now_ns() - began;
  if (dead == 0)
    dead = took;
  ::close(v.pidfd);
  return took;
}

} // namespace

int exit_latency(const words& w) {
  session s(w.text("socket"));
  floor_program floor(w.text("floor"));
  const auto victims = make_victims(s, w, w.number("count", 40));
  std::string last_exit;
  std::vector<int64_t> floor_ns;
  std::vector<int64_t> gantry_ns;
  std::vector<int64_t> dead_ns; // of every third, watched by the client too
  {
    events stream(s, [&](const v1::Event& e) {
      if (e.type() == "exit")
        last_exit = e.container();
    });
    for (size_t i = 0; i < victims.size(); ++i) {
      sleep_ms(5);
      floor_ns.push_back(floor.sample());
      sleep_ms(5);
      if (i % 3 == 2)
        kill_and_watch(s, victims[i], last_exit, dead_ns.emplace_back());
      else
        gantry_ns.push_back(kill_one(s, victims[i], last_exit));
    }
  }
  for (const auto& v : victims)
    remove(s, v.id);
  std::printf("{%s, %s, %s}\n", list_of("floor_ns", floor_ns).c_str(),
              list_of("dead_ns", dead_ns).c_str(),
              list_of("gantry_ns", gantry_ns).c_str());
  return 0;
}

int loud_neighbours(const words& w) {
  session s(w.text("socket"));
  floor_program floor(w.text("floor"));
  const auto victims = make_victims(s, w, w.number("count", 100));
  constexpr int loud = 4;
  for (int i = 0; i < loud; ++i) {
    container c{.id = "loud-" + std::to_string(i), .rootfs = w.text("rootfs")};
    c.args = {"/bin/log_writer", "0", "65500"};
    c.log_files = 2;
    create(s, c);
  }
  std::string last_exit;
  std::vector<int64_t> floor_ns;
  std::vector<int64_t> gantry_ns;
  std::vector<int64_t> own_ns; // from the kernel's word to the event
  std::vector<int64_t> list_ns;
  {
    events stream(s, [&](const v1::Event& e) {
      if (e.type() == "exit")
        last_exit = e.container();
    });
    sleep_ms(500); // until the writers are at full speed
    for (const auto& v : victims) {
      sleep_ms(10);
      floor_ns.push_back(floor.sample());
      sleep_ms(10);
      int64_t dead = 0;
      gantry_ns.push_back(kill_and_watch(s, v, last_exit, dead));
      own_ns.push_back(gantry_ns.back() - dead);
      sleep_ms(10);
      const auto began = now_ns();
      s.ask<v1::ListReply>("/gantry.v1.Containers/List", v1::ListRequest{});
      list_ns.push_back(now_ns() - began);
    }
  }
  for (int i = 0; i < loud; ++i)
    remove(s, "loud-" + std::to_string(i));
  for (const auto& v : victims)
    remove(s, v.id);
  std::printf("{%s, %s, %s, %s}\n", list_of("floor_ns", floor_ns).c_str(),
              list_of("own_ns", own_ns).c_str(),
              list_of("gantry_ns", gantry_ns).c_str(), list_of("list_ns", list_ns).c_str());
  return 0;
}

} // namespace gantry::bench
