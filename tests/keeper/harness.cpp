#include "tests/keeper/harness.hpp"
#include "tests/slower.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <fstream>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace gantry::keeper_tests {

using namespace std::chrono_literals;
using wire::word;

bool wait_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  auto end = std::chrono::steady_clock::now() + tests::scaled(limit);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

bool wait_readable(int fd, std::chrono::milliseconds limit) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(tests::scaled(limit).count())) > 0;
}

fake::fake(int connection, io::keeper_packet hello)
  : pid(static_cast<pid_t>(hello.what.value)), socket(hello.fds[0]), news_fd(hello.fds[2]),
    connection_(connection), arena_fd_(hello.fds[1]) {
  struct stat info{};
  REQUIRE(::fstat(arena_fd_, &info) == 0);
  auto size = static_cast<size_t>(info.st_size);
  auto* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd_, 0);
  REQUIRE(at != MAP_FAILED);
  bytes_ = {static_cast<std::byte*>(at), size};
  memory = io::arena::open(bytes_);
  REQUIRE(bool(memory));
}

fake::fake(fake&& other) noexcept { *this = std::move(other); }

fake& fake::operator=(fake&& other) noexcept {
  std::swap(pid, other.pid);
  std::swap(socket, other.socket);
  std::swap(news_fd, other.news_fd);
  std::swap(memory, other.memory);
  std::swap(connection_, other.connection_);
  std::swap(arena_fd_, other.arena_fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

fake::~fake() {
  if (!bytes_.empty())
    ::munmap(bytes_.data(), bytes_.size());
  for (int fd : {socket, news_fd, connection_, arena_fd_})
    if (fd >= 0)
      ::close(fd);
}

void fake::send(const wire::message& what, std::vector<int> fds) const {
  REQUIRE(wait_until([&] { return io::send_packet(socket, what, fds) == 0; }));
}

io::keeper_packet fake::receive() const {
  REQUIRE(wait_readable(socket));
  return io::receive_packet(socket);
}

std::vector<io::keeper_packet> fake::list() const {
  send({.what = word::list});
  std::vector<io::keeper_packet> out;
  while (true) {
    auto packet = receive();
    REQUIRE(packet.size == sizeof(wire::message));
    if (packet.what.what == word::end) {
      CHECK(packet.what.value == out.size());
      return out;
    }
    if (packet.what.what == word::entry)
      out.push_back(packet);
  }
}

pid_t fake::orphan(const std::string& how) const {
  REQUIRE(::send(connection_, how.data(), how.size(), MSG_NOSIGNAL) > 0);
  pid_t out = -1;
  REQUIRE(wait_readable(connection_, 30s));
  REQUIRE(::recv(connection_, &out, sizeof(out), 0) == sizeof(out));
  return out;
}

void fake::end(int code) const {
  auto text = "end " + std::to_string(code);
  REQUIRE(::send(connection_, text.data(), text.size(), MSG_NOSIGNAL) > 0);
}

void fake::kill(int sig) const { REQUIRE(::kill(pid, sig) == 0); }

bool fake::news() const {
  uint64_t count = 0;
  return wait_readable(news_fd) && ::read(news_fd, &count, sizeof(count)) == sizeof(count);
}

io::dead_entry* fake::dead(pid_t who) const {
  io::dead_entry* out = nullptr;
  wait_until([&] {
    for (auto& x : memory.dead())
      if (x.full.load(std::memory_order_acquire) == 1 && x.pid == who)
        out = &x;
    return out != nullptr;
  });
  return out;
}

keeper_process::keeper_process() : keeper_process(how{}) {}

keeper_process::keeper_process(how h) {
  char name[] = "/tmp/gantry-keeper-test-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  directory = name;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  (directory + "/test").copy(at.sun_path, sizeof(at.sun_path) - 1);
  listener_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0);
  REQUIRE(::listen(listener_, 8) == 0);
  std::vector<std::string> words{KEEPER_PROGRAM};
  words.insert(words.end(), h.options.begin(), h.options.end());
  words.emplace_back("--");
  if (h.program.empty())
    h.program = {FAKE_PROGRAM, "serve", directory + "/test"};
  words.insert(words.end(), h.program.begin(), h.program.end());
  apart_ = h.apart;
  if (h.launch || h.apart)
    words = launch_words();
  if (h.bare)
    words = {KEEPER_PROGRAM, "--control", directory + "/control"};
  pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (h.before_exec)
      h.before_exec();
    std::vector<char*> pointers;
    for (auto& w : words)
      pointers.push_back(w.data());
    pointers.push_back(nullptr);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
}

keeper_process::~keeper_process() {
  if (pid > 0) {
    // Its gantryd first, or that would be left behind.
    std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid)
                           + "/children");
    ::kill(pid, SIGSTOP);
    for (pid_t child; children >> child;)
      ::kill(child, SIGKILL);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  ::close(listener_);
  for (const char* name : {"/test", "/control", "/control.lock"})
    ::unlink((directory + name).c_str());
  ::rmdir(directory.c_str());
}

std::vector<std::string> keeper_process::launch_words() const {
  std::vector<std::string> out{FAKE_PROGRAM, "launch", KEEPER_PROGRAM, directory + "/control",
                               directory + "/test"};
  if (apart_)
    out.emplace_back("apart");
  return out;
}

pid_t keeper_process::launch() const {
  auto words = launch_words();
  pid_t out = ::fork();
  if (out == 0) {
    std::vector<char*> pointers;
    for (auto& w : words)
      pointers.push_back(w.data());
    pointers.push_back(nullptr);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
  return out;
}

fake keeper_process::next(std::chrono::milliseconds limit) const {
  if (!wait_readable(listener_, limit))
    return {};
  int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  REQUIRE(connection >= 0);
  if (!wait_readable(connection, limit))
    return {};
  auto hello = io::receive_packet(connection);
  REQUIRE(hello.count == 3);
  return {connection, hello};
}

int keeper_process::status(std::chrono::milliseconds limit) {
  int out = wait_status(pid, limit);
  if (out != -1)
    pid = -1;
  return out;
}

int wait_status(pid_t pid, std::chrono::milliseconds limit) {
  int out = -1;
  bool done = wait_until([&] { return ::waitpid(pid, &out, WNOHANG) == pid; }, limit);
  return done ? out : -1;
}

std::string proc_line(pid_t pid, const std::string& file, const std::string& name) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/" + file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":"))
      return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  return {};
}

long proc_number(pid_t pid, const std::string& file, const std::string& name) {
  auto text = proc_line(pid, file, name);
  return text.empty() ? -1 : std::stol(text);
}

} // namespace gantry::keeper_tests
