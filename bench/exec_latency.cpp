#include <csignal>
#include <cstdio>
#include <poll.h>
#include <unistd.h>

#include "bench/bare.hpp"

namespace gantry::bench {

namespace {

/// Spawn of the runtime to a readable pidfd.
int64_t bare_exec(bare_runtime& bare, const std::string& id) {
  const auto began = now_ns();
  const auto pid = bare.exec(id, "/bin/true");
  const int pidfd = pidfd_open(pid); // dead or not: nobody but us can reap it
  pollfd p{pidfd, POLLIN, 0};
  ::poll(&p, 1, -1);
  const auto took = now_ns() - began;
  ::close(pidfd);
  bare_runtime::reap(pid);
  return took;
}

} // namespace

/// From the Exec call to the exit event of its process, beside the bare runtime.
int exec_latency(const words& w) {
  session s(w.text("socket"));
  container c{.id = "host-of-execs", .rootfs = w.text("rootfs")};
  c.args = {"/bin/sleep", "100000"};
  create(s, c);
  bare_runtime bare(s, w, c);
  const auto bare_init = bare.run_detached("bare-host-of-execs");
  const auto pause = static_cast<int>(w.number("pause", 5));
  std::string last;
  std::vector<int64_t> reply_ns;
  std::vector<int64_t> exit_ns;
  std::vector<int64_t> bare_ns;
  {
    events stream(s, [&](const v1::Event& e) {
      if (e.type() == "exit" && e.container() == c.id)
        last = e.process();
    });
    for (int64_t i = 0; i < w.number("count", 40); ++i) {
      sleep_ms(pause);
      v1::ExecRequest r;
      *r.mutable_ref() = ref_of(c.id);
      r.set_process("exec-" + std::to_string(i));
      r.mutable_spec()->add_args("/bin/true");
      const auto began = now_ns();
      s.ask<v1::ExecReply>("/gantry.v1.Processes/Exec", r);
      reply_ns.push_back(now_ns() - began);
      s.until([&] { return last == r.process(); }, "the exit of an exec");
      exit_ns.push_back(now_ns() - began);
      sleep_ms(pause);
      bare_ns.push_back(bare_exec(bare, "bare-host-of-execs"));
    }
  }
  remove(s, c.id);
  const int init = pidfd_open(bare_init);
  kill_by(init, SIGKILL);
  ::close(init);
  bare_runtime::reap(bare_init);
  bare.remove("bare-host-of-execs", false);
  std::printf("{%s, %s, %s}\n", list_of("reply_ns", reply_ns).c_str(),
              list_of("exit_ns", exit_ns).c_str(), list_of("bare_ns", bare_ns).c_str());
  return 0;
}

} // namespace gantry::bench
