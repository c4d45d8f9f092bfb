#include "io/probe.hpp"

#include <cerrno>
#include <catch2/catch.hpp>
#include <cstddef>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"

using namespace gantry;
using namespace gantry::io;

TEST_CASE("probe: kernel versions are read from the release text") {
  CHECK(parse_kernel_version("6.1.0-56-amd64") == kernel_version{6, 1});
  CHECK(parse_kernel_version("6.18.44") == kernel_version{6, 18});
  CHECK(parse_kernel_version("10.0") == kernel_version{10, 0});
  CHECK_FALSE(parse_kernel_version("6"));
  CHECK_FALSE(parse_kernel_version("linux"));
  CHECK(kernel_version{6, 1} < kernel_version{6, 18});
  CHECK(kernel_version{5, 19} < kernel_version{6, 1});
}

TEST_CASE("probe: each refusal names its cause and the cure") {
  auto has = [](const error& e, const char* part) {
    return e.text().find(part) != std::string::npos;
  };
  auto old = ring_refused(EINVAL, {5, 10}, "");
  CHECK(old.code == ec::unsupported);
  CHECK(has(old, "this kernel is 5.10"));
  CHECK(has(old, "6.1"));

  auto forbidden = ring_refused(EPERM, {6, 8}, "2");
  CHECK(has(forbidden, "io_uring_disabled is 2"));
  auto group = ring_refused(EPERM, {6, 8}, "1");
  CHECK(has(group, "io_uring_group"));
  auto seccomp = ring_refused(EPERM, {6, 8}, "0");
  CHECK(has(seccomp, "seccomp"));
  auto hidden = ring_refused(ENOSYS, {6, 8}, "");
  CHECK(has(hidden, "CONFIG_IO_URING"));
  CHECK(ring_refused(EMFILE, {6, 8}, "").code == ec::resource_exhausted);
  CHECK(ring_refused(ENOMEM, {6, 8}, "").code == ec::resource_exhausted);
}

namespace {

/// From now on io_uring_setup answers `err` in this process.
bool refuse_uring(int err) {
  sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | unsigned(err)),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof(code) / sizeof(code[0]), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

} // namespace

TEST_CASE("probe: under a seccomp filter the real kernel refuses with the cure", "[uring]") {
  auto err = GENERATE(ENOSYS, EPERM);
  int out[2];
  REQUIRE(::pipe(out) == 0);
  auto pid = ::fork();
  if (pid == 0) {
    if (!refuse_uring(err))
      ::_exit(2);
    auto k = linux_kernel::make();
    if (k.ok())
      ::_exit(3);
    auto text = k.why().text();
    ::_exit(::write(out[1], text.data(), text.size()) == ssize_t(text.size()) &&
                k.why().code == ec::unsupported
              ? 0
              : 4);
  }
  ::close(out[1]);
  char text[1024];
  auto n = ::read(out[0], text, sizeof(text));
  ::close(out[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  REQUIRE(n > 0);
  CHECK(std::string(text, size_t(n)).find("seccomp") != std::string::npos);
}

TEST_CASE("probe: the running kernel has all that the ops need", "[uring]") {
  auto k = linux_kernel::make();
  REQUIRE(k.ok());
  CHECK((*k)->version() >= oldest_kernel);
}
