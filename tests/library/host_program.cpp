// A program that embeds a supervisor, for host_program_test.py: told by lines on stdin what to
// do, it answers in lines on stdout. It has a signal handler, a thread and a child of its own,
// as such programs do.
//
//   host_program STATE ROOT PARENT ROOTFS [KEEPER]     (KEEPER: it comes under one by itself)

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>
#include <poll.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gantry/gantry.hpp>

namespace {

using namespace gantry;

std::mutex output;

void say(const std::string& line) {
  std::lock_guard guard(output);
  std::cout << line << std::endl;
}

std::string outcome(const result<void>& x) { return x ? "ok" : "error " + x.why().text(); }

/// Line by line with read(2): what is buffered would be lost with us, and the next one of us
/// reads from the same pipe.
bool next_line(std::string& out) {
  out.clear();
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1) {
    if (c == '\n')
      return true;
    out.push_back(c);
  }
  return false;
}

/// A child of the program itself: its status must reach it.
std::string own_child() {
  const pid_t pid = ::fork();
  if (pid == 0)
    ::_exit(42);
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
    return "error the child's status was taken away";
  return "child " + std::to_string(WEXITSTATUS(status));
}

std::string whole_log(supervisor& s, const std::string& id) {
  auto io = s.open_io({.ref = id, .err = false, .follow = false}).get();
  if (!io)
    return "error " + io.why().text();
  std::string text;
  char part[65536];
  for (ssize_t n; (n = ::read(io->out(), part, sizeof(part))) > 0;)
    text.append(part, size_t(n));
  for (auto& c : text)
    c = c == '\n' ? ',' : c;
  return "log " + text;
}

/// Joins the streams of a container, from the first byte on.
attachment joined;

std::string join(supervisor& s, const std::string& id) {
  auto x = s.attach({.ref = id, .in = true, .err = false, .replay = true}).get();
  if (!x)
    return "error " + x.why().text();
  joined = std::move(*x);
  return "joined " + std::to_string(joined.stdin_offset());
}

std::string type_in(const std::string& line) {
  const auto text = line + "\n";
  if (::write(joined.in(), text.data(), text.size()) != ssize_t(text.size()))
    return "error the input was not taken";
  std::string heard;
  for (char c = 0; heard.find('\n') == std::string::npos && ::read(joined.out(), &c, 1) == 1;)
    heard += c;
  return "heard " + heard.substr(0, heard.find('\n'));
}

std::string obey(supervisor& s, const std::string& rootfs, std::istringstream& words) {
  std::string verb, id;
  words >> verb >> id;
  if (verb == "run") {
    create_request r;
    r.ref = id;
    r.spec.rootfs = rootfs;
    std::string script;
    std::getline(words >> std::ws, script);
    r.spec.with_stdin = true;
    r.spec.args = {"/bin/sh", "-c", script};
    auto made = s.create(std::move(r)).get();
    return made ? "pid " + std::to_string(made->pid) : "error " + made.why().text();
  }
  if (verb == "ps") {
    auto all = s.list("*", true).get();
    if (!all)
      return "error " + all.why().text();
    std::string out = "ps";
    for (const auto& c : all->containers)
      out += " " + c.ref.id + "=" + name_of(c.state) + "/" + std::to_string(c.pid);
    return out;
  }
  if (verb == "wait") {
    auto x = s.wait({.ref = id}).get();
    if (!x)
      return "error " + x.why().text();
    return "exit " + (x->exit.status_unknown ? "unknown" : std::to_string(x->exit.shell_code()));
  }
  if (verb == "kill")
    return outcome(s.kill({.ref = id}).get());
  if (verb == "rm")
    return outcome(s.remove({.ref = id, .force = true}).get());
  if (verb == "log")
    return whole_log(s, id);
  if (verb == "join")
    return join(s, id);
  if (verb == "type")
    return type_in(id);
  if (verb == "child")
    return own_child();
  if (verb == "info") {
    auto x = s.info().get();
    return x ? "info " + x->keeper_state + " " + std::to_string(x->generation)
             : "error " + x.why().text();
  }
  if (verb == "pending") { // Of the journal: not on disk yet, and lost with us.
    auto x = s.info().get();
    return x ? "pending " + std::to_string(x->journal_pending_bytes)
             : "error " + x.why().text();
  }
  return "error what is " + verb;
}

int serve(const start_options& how, const std::string& rootfs) {
  auto started = supervisor::start(how);
  if (!started) {
    say("error " + started.why().text());
    return 69;
  }
  auto& s = **started;
  std::atomic<int> failures{1};
  subscribe_options all;
  all.since = event_cursor{};
  all.ns = "*";
  all.first_pause = std::chrono::milliseconds(1);
  auto events = s.subscribe(all, [&](const event& e) -> result<void> {
    if (failures-- > 0)
      return error{ec::unavailable, "the first time nothing works", ""};
    if (e.type == "exit" || e.type == "start")
      say("event " + e.type + " " + e.ref.id + " " + std::to_string(e.seq));
    return {};
  });
  say("ready " + std::to_string(::getpid()));
  std::string line;
  while (next_line(line) && line != "stop" && line != "leave") {
    std::istringstream words(line);
    say(obey(s, rootfs, words));
  }
  s.stop(line == "stop");
  say("ended");
  return next_line(line) ? 0 : 1; // It stays for a look at what is left of us.
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 5)
    return 64;
  const std::string state = argv[1];
  if (argc > 5) {
    auto placed = under_keeper(argc, argv, {.control = state + "/keeper.sock", .program = argv[5]});
    if (!placed) {
      std::fprintf(stderr, "host_program: %s\n", placed.why().text().c_str());
      return 69;
    }
    if (*placed)
      return **placed;
  }
  std::signal(SIGUSR2, [](int) {});
  std::promise<void> up;
  std::thread other([&up] {
    up.set_value();
    ::poll(nullptr, 0, -1);
  });
  up.get_future().wait();
  other.detach();
  say("before " + std::to_string(::getpid()));
  std::string line;
  next_line(line); // Until the test has looked at us.
  start_options how;
  how.state_dir = state;
  how.root_dir = argv[2];
  how.cgroup_parent = argv[3];
  how.log = [](log_level, std::string_view text) {
    std::fprintf(stderr, "%.*s\n", int(text.size()), text.data());
  };
  return serve(how, argv[4]);
}
