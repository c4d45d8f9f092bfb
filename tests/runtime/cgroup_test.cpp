#include "runtime/cgroup.hpp"

#include <catch2/catch.hpp>
#include <sys/wait.h>

#include "host_rig.hpp"
#include "runtime/cgroup_files.hpp"
#include "runtime/exec_cgroup.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

/// A cgroup of this test in the hierarchies that matter, with a sleeping process in it.
class small_group : public host_rig {
public:
  small_group() : path(cgroup_base + "/ns/c"), group(*kernel, cgroups, path) {
    for (const auto& mount : mounts()) {
      std::filesystem::create_directories(mount + path + "/below");
      made.push_back(mount + path);
    }
  }
  ~small_group() {
    if (child > 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    until([this] { return group.remove(); }, 2s);
    CHECK(group.remove());
    for (const auto& at : made)
      CHECK_FALSE(std::filesystem::exists(at));
  }

  std::vector<std::string> mounts() const {
    std::vector<std::string> out;
    for (const char* name : {"memory", "pids", "freezer", "cpuacct", "cpu"})
      if (auto at = cgroups.mount_of(name); !at.empty())
        out.emplace_back(at);
    if (!cgroups.unified.empty())
      out.push_back(cgroups.unified);
    return out;
  }

  /// Starts the process in `sub` of each hierarchy.
  void fill(const std::string& sub) {
    child = ::fork();
    if (child == 0) {
      for (;;)
        ::pause();
    }
    for (const auto& mount : mounts())
      spill(mount + path + sub + "/cgroup.procs", std::to_string(child));
  }

  std::string path;
  cgroup group;
  pid_t child = 0;
  std::vector<std::string> made;
};

} // namespace

TEST_CASE("the mounts of this host are found", "[root]") {
  host_rig rig;
  CHECK_FALSE(rig.cgroups.unified.empty());
  CHECK(rig.cgroups.has_kill);
  CHECK(rig.cgroups.has_psi);
  if (rig.cgroups.mode == cgroup_mode::hybrid)
    CHECK(rig.cgroups.mount_of("memory") == "/sys/fs/cgroup/memory");
  CHECK(rig.cgroups.mount_of("nonsense").empty());
  CHECK(name_of(cgroup_mode::v1) == "v1");
  CHECK(name_of(cgroup_mode::v2) == "v2");
}

TEST_CASE("the processes of the whole subtree are seen, and an empty group is not populated",
          "[root]") {
  small_group rig;
  CHECK_FALSE(rig.group.populated());
  CHECK(rig.group.pids().empty());
  rig.fill("/below");
  CHECK(rig.group.populated());
  CHECK(rig.group.pids() == std::vector<int32_t>{rig.child});
}

TEST_CASE("who was moved out of the unified directory alone is found at the removal", "[root]") {
  small_group rig;
  if (rig.cgroups.mode != cgroup_mode::hybrid)
    return; // there is one hierarchy only
  rig.fill("/below");
  host_rig::spill(rig.cgroups.unified + "/cgroup.procs", std::to_string(rig.child));
  CHECK_FALSE(rig.group.populated());
  CHECK_FALSE(rig.group.remove());
  REQUIRE(rig.group.kill_strays().ok());
  int status = 0;
  REQUIRE(::waitpid(rig.child, &status, 0) == rig.child);
  rig.child = 0;
  CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("the cgroup of an exec holds it, counts its time, ends it and goes", "[root]") {
  small_group rig;
  exec_cgroup exec(*rig.kernel, rig.cgroups, rig.path, 0xab);
  CHECK_FALSE(exec.exists());
  REQUIRE(exec.make().ok());
  CHECK(exec.make().ok());
  CHECK(exec.exists());
  const auto option = exec.option();
  CHECK(option.ends_with("exec-00000000000000ab"));
  CHECK((option.find("freezer") != std::string::npos) == (rig.cgroups.mode != cgroup_mode::v2));
  CHECK(option.find("memory") == std::string::npos);
  rig.child = ::fork();
  if (rig.child == 0)
    for (;;) {
    }
  for (const auto& mount : rig.mounts()) // As the runtime does: elsewhere it is the container's.
    for (const auto& dir : {mount + exec.path(), mount + rig.path})
      if (std::filesystem::exists(dir)) {
        host_rig::spill(dir + "/cgroup.procs", std::to_string(rig.child));
        break;
      }
  CHECK(exec.pids() == std::vector<int32_t>{rig.child});
  CHECK(rig.group.populated());
  CHECK_FALSE(exec.remove());
  CHECK(rig.until([&exec] { return exec.used().all_ns > 0; }, 5s));
  exec_cgroup::sweep(*rig.kernel, rig.cgroups, rig.path, {});
  CHECK(exec.exists()); // Somebody lives there.
  CHECK(exec.kill_all().ok());
  CHECK(::waitpid(rig.child, nullptr, 0) == rig.child);
  rig.child = 0;
  exec_cgroup::sweep(*rig.kernel, rig.cgroups, rig.path, {0xab});
  CHECK(exec.exists()); // It is not over yet.
  CHECK(rig.until([&exec] { return exec.remove(); }, 2s));
  CHECK_FALSE(exec.exists());
  CHECK(exec.used().all_ns == 0);
}

TEST_CASE("a populated group is not removed, and neither are its parents", "[root]") {
  small_group rig;
  rig.fill("/below");
  CHECK_FALSE(rig.group.remove());
  CHECK(rig.group.pids() == std::vector<int32_t>{rig.child});
}

TEST_CASE("a frozen group is killed as well as a running one", "[root]") {
  for (bool freeze : {false, true}) {
    small_group rig;
    rig.fill("/below");
    if (freeze) {
      REQUIRE(rig.group.freeze().ok());
      CHECK(rig.until([&rig] { return rig.group.frozen(); }, 2s));
    }
    REQUIRE(rig.group.kill_all().ok());
    int status = 0;
    REQUIRE(::waitpid(rig.child, &status, 0) == rig.child);
    rig.child = 0;
    CHECK(WTERMSIG(status) == SIGKILL);
    CHECK_FALSE(rig.group.frozen()); // What stays frozen a runtime will not delete.
  }
}

TEST_CASE("without cgroup.kill the group is frozen, signalled and thawed", "[root]") {
  small_group rig;
  if (rig.cgroups.mode != cgroup_mode::hybrid)
    return; // pure v2 kernels of ours all have cgroup.kill
  auto old = rig.cgroups;
  old.mode = cgroup_mode::v1;
  old.unified.clear();
  rig.fill("/below");
  cgroup group(*rig.kernel, old, rig.path);
  REQUIRE(group.kill_all().ok());
  int status = 0;
  REQUIRE(::waitpid(rig.child, &status, 0) == rig.child);
  rig.child = 0;
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK_FALSE(group.frozen());
}

TEST_CASE("a group that does not exist reads as empty, and is freed of nothing", "[root]") {
  host_rig rig;
  cgroup group(*rig.kernel, rig.cgroups, rig.cgroup_base + "/nobody");
  CHECK_FALSE(group.populated());
  CHECK(group.pids().empty());
  CHECK_FALSE(group.frozen());
  CHECK(group.kill_all().ok());
  CHECK(group.remove());
  CHECK(group.oom().kills == 0);
  CHECK(group.freeze().why().code == ec::not_found);
  CHECK(group.stats(true).why().code == ec::not_found);
}

TEST_CASE("the root of a hierarchy is never touched", "[root]") {
  host_rig rig;
  CHECK(cgroup(*rig.kernel, rig.cgroups, std::string()).remove());
  CHECK(cgroup(*rig.kernel, rig.cgroups, std::string("/")).remove());
}

TEST_CASE("parents stay while a create under way is going to use them", "[root]") {
  small_group rig;
  auto parent = std::filesystem::path(rig.made.front()).parent_path();
  {
    cgroup_pin pin(rig.cgroup_base + "/ns/other");
    CHECK(rig.group.remove());
    CHECK(std::filesystem::exists(parent));
  }
  CHECK(rig.group.remove());
  CHECK_FALSE(std::filesystem::exists(parent));
  CHECK_FALSE(std::filesystem::exists(parent.parent_path()));
}

TEST_CASE("files of cgroups are read as the numbers they mean") {
  CHECK(number_in("123\n") == 123);
  CHECK(number_in("max\n") == 0);
  CHECK(number_in("") == 0);
  CHECK(value_of("a 1\nab 2\nb 3\n", "ab") == 2);
  CHECK(value_of("a 1\n", "c") == 0);
  CHECK(blkio_sum("8:0 Read 10\n8:0 Write 5\n8:16 Read 7\nTotal 22\n", "Read") == 17);
  CHECK(io_stat_sum("8:0 rbytes=10 wbytes=3 rios=1\n8:16 rbytes=5 wbytes=0\n", "rbytes") == 15);
  CHECK(io_stat_sum("8:0 rbytes=10\n", "bytes") == 0);
  CHECK(limit_or_none(9223372036854771712u) == 0);
  CHECK(limit_or_none(1u << 20) == 1u << 20);
}
