#include <csignal>
#include <cstdio>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "bench/attached.hpp"

namespace gantry::bench {

namespace {

/// Takes output until the exit, and knows what it was not given.
class follower final : public client::call {
public:
  explicit follower(std::string id) : call("/gantry.v1.Processes/Attach"), id_(std::move(id)) {}

  [[nodiscard]] std::string request() const override {
    v1::AttachRequest r;
    *r.mutable_open()->mutable_ref() = ref_of(id_);
    r.mutable_open()->set_slow(v1::AttachOpen::DROP);
    return r.SerializeAsString();
  }
  [[nodiscard]] bool talks() const noexcept override { return true; }

  void message(std::string_view bytes) override {
    v1::AttachReply r;
    if (!r.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      give_up("a reply of Attach that cannot be read");
    opened_ = opened_ || r.has_opened();
    exited_ = exited_ || r.has_exit();
    if (r.output().stream() == 1)
      got_ += r.output().data().size();
    if (r.gap().stream() == 1)
      lost_ += r.gap().bytes();
  }

  void done(result<void> how) override {
    if (!how)
      give_up("attach: " + how.why().text());
    over_ = true;
  }

  [[nodiscard]] bool opened() const noexcept { return opened_; }
  [[nodiscard]] bool over() const noexcept { return over_ && exited_; }
  [[nodiscard]] uint64_t got() const noexcept { return got_; }
  [[nodiscard]] uint64_t lost() const noexcept { return lost_; }

private:
  std::string id_;
  uint64_t got_ = 0;
  uint64_t lost_ = 0;
  bool opened_ = false;
  bool exited_ = false;
  bool over_ = false;
};

void follow(const std::string& socket, const std::string& id, int ready, uint64_t bytes) {
  session s(socket);
  follower f(id);
  s.start(f);
  s.until([&] { return f.opened(); }, "an attached follower");
  if (::write(ready, "r", 1) != 1)
    give_up("a follower's pipe");
  s.until([&] { return f.over(); }, "the end of what is followed", 600);
  if (f.got() + f.lost() != bytes)
    give_up("a follower got " + std::to_string(f.got()) + " and was told of "
            + std::to_string(f.lost()) + " bytes lost, of " + std::to_string(bytes));
  const uint64_t sums[2] = {f.got(), f.lost()};
  if (::write(ready, sums, sizeof sums) != sizeof sums)
    give_up("a follower's pipe");
}

} // namespace

followers::followers(const std::string& socket, const std::string& id, int count, uint64_t bytes) {
  for (int i = 0; i < count; ++i) {
    int ends[2];
    if (::pipe(ends) != 0)
      give_up("no pipe");
    const pid_t pid = ::fork();
    if (pid < 0)
      give_up("no fork");
    if (pid == 0) {
      ::close(ends[0]);
      follow(socket, id, ends[1], bytes);
      std::_Exit(0);
    }
    ::close(ends[1]);
    char word = 0;
    if (::read(ends[0], &word, 1) != 1)
      give_up("a follower did not come");
    all_.push_back({pid, ends[0]});
  }
}

std::pair<uint64_t, uint64_t> followers::end() {
  std::pair<uint64_t, uint64_t> out;
  for (const auto& f : all_) {
    uint64_t sums[2] = {};
    if (::read(f.news, sums, sizeof sums) != sizeof sums)
      give_up("a follower failed");
    int status = 0;
    ::waitpid(f.pid, &status, 0);
    ::close(f.news);
    out.first += sums[0];
    out.second += sums[1];
  }
  return out;
}

/// From a key at the pty of `gantry exec -it` on cat to its echo there.
int echo_latency(const words& w) {
  session s(w.text("socket"));
  container c{.id = "host-of-a-terminal", .rootfs = w.text("rootfs")};
  c.args = {"/bin/sleep", "100000"};
  create(s, c);
  int master = -1;
  const pid_t pid = ::forkpty(&master, nullptr, nullptr, nullptr);
  if (pid == 0) {
    const auto gantry = w.text("gantry");
    const auto socket = w.text("socket");
    ::execl(gantry.c_str(), "gantry", "--socket", socket.c_str(), "exec", "-it", c.id.c_str(),
            "cat", nullptr);
    std::_Exit(127);
  }
  termios modes{};
  for (int i = 0; i < 500; ++i) { // Raw once it is attached.
    ::tcgetattr(master, &modes);
    if ((modes.c_lflag & ICANON) == 0)
      break;
    sleep_ms(10);
  }
  std::vector<int64_t> echo_ns;
  const int64_t count = w.number("count", 300);
  for (int64_t i = 0; i < count; ++i) {
    sleep_ms(3);
    const char key = i % 40 == 39 ? '\r' : static_cast<char>('a' + i % 26);
    const auto began = now_ns();
    if (::write(master, &key, 1) != 1)
      give_up("a key could not be typed");
    char seen = 0;
    while (seen != key)
      if (::read(master, &seen, 1) != 1)
        give_up("the terminal went away");
    if (i >= 20) // Past the first ones, which find nothing warm.
      echo_ns.push_back(now_ns() - began);
    if (key == '\r') { // And cat's own copy of the line.
      sleep_ms(20);
      char rest[256];
      if (::read(master, rest, sizeof rest) < 0)
        give_up("the terminal went away");
    }
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(master);
  remove(s, c.id);
  std::printf("{%s}\n", list_of("echo_ns", echo_ns).c_str());
  return 0;
}

} // namespace gantry::bench
