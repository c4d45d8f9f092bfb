// The main of every test program. A test says in its tags what it needs of the host; this
// file alone decides what this host has, leaves out the tests that cannot run here and
// prints each with the reason.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <optional>
#include <sstream>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace {

/// Nothing when the host has it, else why not.
using lack = std::optional<std::string>;

lack needs_root() {
  if (::geteuid() == 0)
    return {};
  return "not run as root";
}

lack needs_uring() {
  io_uring_params p{};
  p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  auto ring = int(::syscall(SYS_io_uring_setup, 8, &p));
  if (ring < 0)
    return std::string("io_uring_setup: ") + std::strerror(errno);
  ::close(ring);
  return {};
}

lack needs_program(const char* name) {
  std::string path = std::getenv("PATH") ? std::getenv("PATH") : "";
  path += ":/usr/sbin:/sbin";
  std::istringstream parts(path);
  for (std::string dir; std::getline(parts, dir, ':');)
    if (::access((dir + "/" + name).c_str(), X_OK) == 0)
      return {};
  return std::string("no ") + name + " in PATH";
}

bool is_cgroup2(const char* path) {
  struct statfs fs {};
  return ::statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

bool has_v1_memory() { return ::access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0; }

lack needs_cgroup1() {
  return has_v1_memory() ? lack{} : "no cgroup v1 memory controller is mounted";
}

lack needs_cgroup2() {
  return is_cgroup2("/sys/fs/cgroup") ? lack{} : "/sys/fs/cgroup is not a pure cgroup v2";
}

lack needs_hybrid() {
  if (has_v1_memory() && is_cgroup2("/sys/fs/cgroup/unified"))
    return {};
  return "cgroup v1 and v2 are not mounted side by side";
}

lack needs_pidfd_info() {
  utsname names{};
  int major = 0, minor = 0;
  ::uname(&names);
  std::sscanf(names.release, "%d.%d", &major, &minor);
  if (major > 6 || (major == 6 && minor >= 15))
    return {};
  return std::string("PIDFD_INFO_EXIT needs Linux 6.15, this is ") + names.release;
}

struct capability {
  const char* tag;
  lack (*missing)();
};

const capability capabilities[] = {
  {"root", needs_root},
  {"uring", needs_uring},
  {"runc", [] { return needs_program("runc"); }},
  {"crun", [] { return needs_program("crun"); }},
  {"criu", [] { return needs_program("criu"); }},
  {"cgroup1", needs_cgroup1},
  {"cgroup2", needs_cgroup2},
  {"hybrid", needs_hybrid},
  {"pidfd_info", needs_pidfd_info},
};

bool has_tag(const Catch::TestCase& test, const char* tag) {
  return std::find(test.lcaseTags.begin(), test.lcaseTags.end(), tag) != test.lcaseTags.end();
}

/// Why this host cannot run the test, if it cannot.
lack lack_of(const Catch::TestCase& test) {
  for (const auto& c : capabilities)
    if (has_tag(test, c.tag))
      if (auto why = c.missing())
        return "[" + std::string(c.tag) + "] " + *why;
  return {};
}

/// Catch2's version 2 cannot skip from inside, so the tests leave its registry.
void leave_out_what_cannot_run(Catch::Config& config) {
  using tests = std::vector<Catch::TestCase>;
  const auto& registry = Catch::getRegistryHub().getTestCaseRegistry();
  auto& all = const_cast<tests&>(registry.getAllTests());
  std::erase_if(all, [&config](const Catch::TestCase& test) {
    auto why = lack_of(test);
    if (!why)
      return false;
    bool wanted = !config.hasTestFilters() || Catch::matchTest(test, config.testSpec(), config);
    if (wanted && !config.listTests())
      std::cerr << "skipped: " << test.name << ": " << *why << "\n";
    return true;
  });
}

} // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  if (int failed = session.applyCommandLine(argc, argv); failed != 0)
    return failed;
  auto& config = session.config();
  leave_out_what_cannot_run(config);
  if (config.rngSeed() != 0)
    std::cerr << "random seed: " << config.rngSeed() << " (again with --rng-seed "
              << config.rngSeed() << ")\n";
  return session.run();
}
