#include "runtime/seccomp.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "host_rig.hpp"

using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using nlohmann::json;

namespace {

std::set<std::string> allowed_outright() {
  std::set<std::string> out;
  for (const auto& rule : default_seccomp()["syscalls"])
    if (rule["action"] == "SCMP_ACT_ALLOW" && !rule.contains("args"))
      for (const auto& name : rule["names"])
        CHECK(out.insert(name.get<std::string>()).second); // none twice
  return out;
}

} // namespace

TEST_CASE("what could leave the container is not on the allow list") {
  auto names = allowed_outright();
  for (const char* name :
       {"mount", "umount2", "pivot_root", "setns", "unshare", "bpf", "keyctl", "add_key",
        "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
        "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon",
        "swapoff", "perf_event_open", "userfaultfd", "open_by_handle_at", "fanotify_init",
        "fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr",
        "settimeofday", "clock_settime", "clock_adjtime", "iopl", "ioperm", "acct", "syslog",
        "quotactl", "vhangup", "clone", "clone3", "socket", "personality", "modify_ldt"})
    CHECK(names.count(name) == 0);
}

TEST_CASE("what ordinary programs call is on the allow list") {
  auto names = allowed_outright();
  for (const char* name :
       {"read", "write", "openat", "close", "mmap", "brk", "execve", "exit_group", "wait4",
        "futex", "epoll_pwait", "rt_sigaction", "nanosleep", "statx", "getdents64", "rseq",
        "prlimit64", "set_robust_list", "getrandom", "sched_yield", "clock_nanosleep", "faccessat2",
        "pipe2", "ppoll", "connect", "sendmsg", "setresuid", "chown", "kill"})
    CHECK(names.count(name) == 1);
}

TEST_CASE("clone is allowed but for new namespaces, clone3 answers that it does not exist") {
  bool clone = false;
  bool clone3 = false;
  for (const auto& rule : default_seccomp()["syscalls"]) {
    if (rule["names"] == json::array({"clone"})) {
      clone = true;
      CHECK(rule["args"][0]["op"] == "SCMP_CMP_MASKED_EQ");
      CHECK(rule["args"][0]["value"] == 0x7e020000);
      CHECK(rule["args"][0]["valueTwo"] == 0);
    }
    if (rule["names"] == json::array({"clone3"})) {
      clone3 = true;
      CHECK(rule["action"] == "SCMP_ACT_ERRNO");
      CHECK(rule["errnoRet"] == 38);
    }
  }
  CHECK(clone);
  CHECK(clone3);
}

TEST_CASE("ordinary programs run under the list, and what it refuses fails", "[root][runc]") {
  engine_rig rig;
  auto made = rig.create("a",
                         rig.spec({"/bin/sh", "-c",
                                   "ls / >/dev/null && dd if=/dev/zero of=/tmp/x bs=64k count=4 "
                                   "2>/dev/null && (sleep 0 & wait) && id -u && cat /tmp/x | "
                                   "grep -c nothing; unshare -r true || echo refused"}),
                         true);
  REQUIRE(made.ok());
  CHECK(rig.end_of(*made) == 0);
  CHECK(rig.output("a").starts_with("0\n0\n"));
  CHECK(rig.output("a").ends_with("refused\n"));
}

TEST_CASE("python with threads, sockets and children runs from a client's bundle under the list",
          "[root][runc]") {
  engine_rig rig;
  bundle_request req;
  req.name = {"default", "a"};
  req.max_open_files = 1024;
  req.spec = rig.spec({"/usr/bin/python3", "-c",
                       "import threading, socket, subprocess, os, select, tempfile, ctypes\n"
                       "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
                       "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
                       "assert subprocess.run(['/bin/true']).returncode == 0\n"
                       "tempfile.TemporaryFile().write(b'x'); select.epoll().close()\n"
                       "libc = ctypes.CDLL(None, use_errno=True)\n"
                       "def refused(*call):\n"
                       "  return libc.syscall(*call) == -1 and ctypes.get_errno() == 1\n"
                       "assert refused(250, 0, 0, 0, 0, 0)\n" // keyctl
                       "assert refused(425, 1, 0)\n"          // io_uring_setup
                       "assert refused(321, 0, 0, 0)\n"       // bpf
                       "assert libc.socket(38, 5, 0) == -1 and ctypes.get_errno() == 1\n"
                       "print('fine')\n"});
  auto config = make_config(req);
  for (std::string at : {"/usr", "/lib", "/lib64"})
    config["mounts"].push_back({{"destination", at},
                                {"type", "bind"},
                                {"source", at == "/usr" ? at : "/usr" + at},
                                {"options", json::array({"rbind", "ro"})}});
  config["root"]["path"] = "rootfs"; // relative to the bundle
  host_rig::spill(rig.dir + "/config.json", config.dump(2));
  gantry::v1::ContainerSpec spec;
  spec.set_bundle(rig.dir);
  auto made = rig.create("a", spec, true);
  if (!made)
    FAIL(made.why().text());
  CHECK(rig.end_of(*made) == 0);
  CHECK(rig.output("a") == "fine\n");
  CHECK(host_rig::slurp(rig.dir + "/config.json") == config.dump(2)); // never written to
}
