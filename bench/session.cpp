#include "bench/session.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gantry::bench {

int64_t now_ns() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

int pidfd_open(int32_t pid) {
  const auto fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0)
    give_up("no pidfd of " + std::to_string(pid));
  return static_cast<int>(fd);
}

void kill_by(int pidfd, int sig) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, sig, nullptr, 0) != 0)
    give_up("a signal did not go out");
}

void sleep_ms(int ms) { ::poll(nullptr, 0, ms); }

void session::until(const std::function<bool()>& ready, const char* what, int seconds) {
  const auto deadline = now_ns() + int64_t{seconds} * 1'000'000'000;
  while (!ready()) {
    channel_.step({}, 1000);
    if (now_ns() > deadline)
      give_up(std::string("waited in vain: ") + what);
  }
}

events::events(session& s, sink f)
  : call("/gantry.v1.Events/Follow"), session_(s), sink_(std::move(f)) {
  session_.start(*this);
  session_.until([this] { return listed_; }, "the event stream");
}

std::string events::request() const {
  v1::FollowRequest r;
  r.set_follow(true);
  r.set_list(true);
  return r.SerializeAsString();
}

void events::message(std::string_view bytes) {
  v1::FollowItem item;
  if (!item.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    give_up("an event that cannot be read");
  if (item.has_listed())
    listed_ = true;
  if (item.has_event())
    sink_(item.event());
}

void events::done(result<void> how) {
  give_up("the event stream ended: " + (how ? std::string("no reason given") : how.why().text()));
}

v1::Ref ref_of(const std::string& id) {
  v1::Ref r;
  r.set_id(id);
  return r;
}

v1::CreateRequest create_request(const container& c) {
  v1::CreateRequest r;
  *r.mutable_ref() = ref_of(c.id);
  auto* spec = r.mutable_spec();
  spec->set_rootfs(c.rootfs);
  for (const auto& a : c.args)
    spec->add_args(a);
  spec->add_env("PATH=/bin");
  spec->set_remove_on_exit(c.remove_on_exit);
  if (c.log_file_bytes > 0)
    spec->mutable_log()->set_max_file_bytes(c.log_file_bytes);
  spec->mutable_log()->set_format(c.log_format);
  if (c.log_files > 0)
    spec->mutable_log()->set_max_files(c.log_files);
  r.set_start(c.start);
  return r;
}

v1::CreateReply create(session& s, const container& c) {
  return s.ask<v1::CreateReply>("/gantry.v1.Containers/Create", create_request(c));
}

void remove(session& s, const std::string& id) {
  v1::RemoveRequest r;
  *r.mutable_ref() = ref_of(id);
  r.set_force(true);
  s.ask<v1::RemoveReply>("/gantry.v1.Containers/Remove", r);
}

words::words(int argc, char** argv) {
  for (int i = 0; i + 1 < argc; i += 2)
    all_.emplace_back(argv[i], argv[i + 1]);
}

std::string words::text(const std::string& name, const std::string& otherwise) const {
  for (const auto& [key, value] : all_)
    if (key == "--" + name)
      return value;
  return otherwise;
}

std::string words::text(const std::string& name) const {
  auto out = text(name, {});
  if (out.empty())
    give_up("--" + name + " is missing");
  return out;
}

int64_t words::number(const std::string& name, int64_t otherwise) const {
  const auto found = text(name, {});
  return found.empty() ? otherwise : std::strtoll(found.c_str(), nullptr, 10);
}

std::string list_of(const char* name, const std::vector<int64_t>& samples) {
  std::string out = std::string("\"") + name + "\": [";
  for (size_t i = 0; i < samples.size(); ++i)
    out += (i > 0 ? ", " : "") + std::to_string(samples[i]);
  return out + "]";
}

} // namespace gantry::bench
