#include "bench/bare.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace gantry::bench {

namespace {

std::string config_like(session& s, container like) {
  like.id = "pattern";
  like.start = false;
  create(s, like);
  v1::InspectRequest r;
  *r.mutable_ref() = ref_of(like.id);
  const auto detail = s.ask<v1::ContainerDetail>("/gantry.v1.Containers/Inspect", r);
  remove(s, like.id);
  auto config = nlohmann::json::parse(detail.config_json(), nullptr, false);
  if (config.is_discarded())
    give_up("a container without a configuration");
  config["linux"].erase("cgroupsPath"); // the runtime then chooses one by the id
  return config.dump();
}

} // namespace

bare_runtime::bare_runtime(session& s, const words& w, const container& like)
  : runtime_(w.text("runtime", "/usr/sbin/runc")), dir_("/run/gantry-bench-bare-XXXXXX") {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (::mkdtemp(dir_.data()) == nullptr)
    give_up("cannot make " + dir_);
  std::ofstream(dir_ + "/config.json") << config_like(s, like);
}

bare_runtime::~bare_runtime() {
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

int32_t bare_runtime::spawn(std::vector<std::string> args) {
  args.insert(args.begin(), {runtime_, "--root", dir_ + "/state"});
  std::vector<char*> argv;
  for (auto& a : args)
    argv.push_back(a.data());
  argv.push_back(nullptr);
  char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char no_gc[] = "GOGC=off"; // as gantry calls it
  char* env[] = {path, no_gc, nullptr};
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  for (int fd : {0, 1, 2})
    ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  pid_t pid = 0;
  if (::posix_spawn(&pid, runtime_.c_str(), &files, nullptr, argv.data(), env) != 0)
    give_up("cannot start " + runtime_);
  ::posix_spawn_file_actions_destroy(&files);
  return pid;
}

void bare_runtime::run(std::vector<std::string> args) {
  const auto name = args.front();
  const auto pid = spawn(std::move(args));
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0)
    give_up(runtime_ + " " + name + " failed");
}

int32_t bare_runtime::read_pid() {
  std::ifstream in(dir_ + "/pid");
  int32_t pid = 0;
  in >> pid;
  if (pid <= 0)
    give_up("no pid file of the bare runtime");
  return pid;
}

int32_t bare_runtime::run_detached(const std::string& id) {
  run({"run", "--detach", "--bundle", dir_, "--pid-file", dir_ + "/pid", id});
  return read_pid();
}

void bare_runtime::reap(int32_t pid) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0)
    give_up("a process of the bare runtime did not fall to us");
}

void bare_runtime::remove(const std::string& id, bool force) {
  if (force)
    run({"delete", "--force", id});
  else
    run({"delete", id});
}

int32_t bare_runtime::begin_run(const std::string& id) {
  return spawn({"run", "--bundle", dir_, id});
}

int32_t bare_runtime::exec(const std::string& id, const std::string& program) {
  run({"exec", "--detach", "--pid-file", dir_ + "/pid", id, program});
  return read_pid();
}

} // namespace gantry::bench
