#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <net/if.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

// An OCI runtime that makes no container: a process that sleeps, in the cgroups that the
// bundle names, with a pid file, by the command line of runc. A thousand of them fit where
// a thousand of runc's would not, and what is measured is gantry alone. A container is
// started by its creation; `start` finds it running. Where the command is `serve PORT`, it answers
// HTTP on 127.0.0.1 in a network namespace of its own.

namespace {

namespace fs = std::filesystem;

struct command {
  std::string root = "/run/gantry-stub-runtime";
  std::string log;
  std::string name;
  std::string bundle = ".";
  std::string pid_file;
  std::string id;
  bool force = false;
};

[[noreturn]] void fail(const command& c, const std::string& why) {
  if (!c.log.empty())
    std::ofstream(c.log, std::ios::app)
      << nlohmann::json{{"level", "error"}, {"msg", why}, {"time", "1970-01-01T00:00:00Z"}} << '\n';
  std::fprintf(stderr, "%s\n", why.c_str());
  std::_Exit(1);
}

command parse(int argc, char** argv) {
  command c;
  std::vector<std::string> rest(argv + 1, argv + argc);
  for (size_t i = 0; i < rest.size(); ++i) {
    const auto& word = rest[i];
    auto value = [&]() -> std::string { return ++i < rest.size() ? rest[i] : std::string(); };
    if (word == "--root")
      c.root = value();
    else if (word == "--log")
      c.log = value();
    else if (word == "--log-format" || word == "--process")
      value();
    else if (word == "--bundle")
      c.bundle = value();
    else if (word == "--pid-file")
      c.pid_file = value();
    else if (word == "--force")
      c.force = true;
    else if (word == "--version")
      c.name = "version";
    else if (word.starts_with("-"))
      continue;
    else if (c.name.empty())
      c.name = word;
    else
      c.id = word;
  }
  return c;
}

std::string state_file(const command& c) { return c.root + "/" + c.id + ".json"; }

/// The directories of one cgroup path, in every hierarchy of this host.
std::vector<std::string> cgroup_dirs(const std::string& path) {
  std::vector<std::string> out;
  if (path.empty())
    return out;
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers"))
    return {"/sys/fs/cgroup" + path};
  std::error_code failed;
  for (const auto& x : fs::directory_iterator("/sys/fs/cgroup", failed))
    if (x.is_directory() && !x.is_symlink())
      out.push_back(x.path().string() + path);
  return out;
}

bool put(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  out.flush();
  return out.good();
}

/// A cpuset of v1 takes nobody before it has CPUs and memory nodes.
void fill_cpuset(const std::string& dir) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    std::string up = dir;
    std::vector<std::string> below;
    std::string words;
    for (; up.size() > std::string("/sys/fs/cgroup").size(); up = fs::path(up).parent_path()) {
      std::ifstream in(up + file);
      if (in && std::getline(in, words) && !words.empty())
        break;
      below.push_back(up);
    }
    for (auto x = below.rbegin(); x != below.rend(); ++x)
      if (fs::exists(*x + file))
        put(*x + file, words);
  }
}

void join(const command& c, const std::string& path) {
  for (const auto& dir : cgroup_dirs(path)) {
    std::error_code failed;
    fs::create_directories(dir, failed);
    fill_cpuset(dir);
    if (!put(dir + "/cgroup.procs", "0"))
      fail(c, "cannot join " + dir);
  }
}

[[noreturn]] void sleep_for_ever() {
  for (int fd = 3; fd < 64; ++fd)
    ::close(fd);
  for (;;)
    ::pause();
}

/// One client after the other, each gets the same answer.
[[noreturn]] void serve(uint16_t port, int ready) {
  ifreq lo{};
  std::memcpy(lo.ifr_name, "lo", sizeof("lo"));
  lo.ifr_flags = IFF_UP | IFF_RUNNING;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int own = ::unshare(CLONE_NEWNET);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  if (own != 0 || ::ioctl(listener, SIOCSIFFLAGS, &lo) != 0
      || ::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0
      || ::listen(listener, 16) != 0 || ::write(ready, "+", 1) != 1)
    std::_Exit(1);
  for (int fd = 3; fd < 64; ++fd)
    if (fd != listener)
      ::close(fd);
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
  for (;;) {
    const int client = ::accept(listener, nullptr, nullptr);
    char request[4096];
    if (client >= 0 && ::read(client, request, sizeof(request)) > 0
        && ::write(client, answer.data(), answer.size()) < 0)
      std::perror("write");
    ::close(client);
  }
}

int make(const command& c) {
  ::mkdir(c.root.c_str(), 0700);
  if (fs::exists(state_file(c)))
    fail(c, "container with id exists: " + c.id);
  std::ifstream in(c.bundle + "/config.json");
  const auto config = nlohmann::json::parse(in, nullptr, false);
  if (config.is_discarded())
    fail(c, "cannot read " + c.bundle + "/config.json");
  const auto linux_part = config.value("linux", nlohmann::json::object());
  const auto args = config.value("process", nlohmann::json::object())
                      .value("args", std::vector<std::string>());
  const auto cgroup = linux_part.value("cgroupsPath", std::string());
  int ready[2];
  if (::pipe(ready) != 0)
    fail(c, "no pipe");
  const auto pid = ::fork();
  if (pid < 0)
    fail(c, "fork: out of processes");
  if (pid == 0) {
    ::setsid();
    join(c, cgroup);
    if (args.size() == 2 && args[0] == "serve")
      serve(static_cast<uint16_t>(std::stoi(args[1])), ready[1]);
    if (::write(ready[1], "+", 1) != 1)
      std::_Exit(1);
    sleep_for_ever();
  }
  ::close(ready[1]);
  char word = 0;
  if (::read(ready[0], &word, 1) != 1)
    fail(c, "the process of " + c.id + " did not come up");
  put(state_file(c), nlohmann::json{{"pid", pid}, {"cgroup", cgroup}}.dump());
  const auto fresh = c.pid_file + ".new";
  if (!put(fresh, std::to_string(pid)) || std::rename(fresh.c_str(), c.pid_file.c_str()) != 0)
    fail(c, "cannot write " + c.pid_file);
  return 0;
}

int remove(const command& c) {
  std::ifstream in(state_file(c));
  const auto state = nlohmann::json::parse(in, nullptr, false);
  if (state.is_discarded())
    fail(c, "container \"" + c.id + "\" does not exist");
  const pid_t pid = state.at("pid");
  if (::kill(pid, 0) == 0) {
    if (!c.force)
      fail(c, "cannot delete container " + c.id + " that is not stopped: running");
    ::kill(pid, SIGKILL);
  }
  for (int tries = 0; tries < 1000 && ::kill(pid, 0) == 0; ++tries)
    ::usleep(1000);
  for (const auto& dir : cgroup_dirs(state.at("cgroup")))
    ::rmdir(dir.c_str());
  ::unlink(state_file(c).c_str());
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const auto c = parse(argc, argv);
  if (c.name == "version") {
    std::puts("stub runtime of gantry's bench 1.0");
    return 0;
  }
  if (c.name == "create" || c.name == "run")
    return make(c);
  if (c.name == "start" || c.name == "update")
    return 0;
  if (c.name == "delete")
    return remove(c);
  fail(c, "the stub runtime does not know \"" + c.name + "\"");
}
