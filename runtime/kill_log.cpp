#include "runtime/kill_log.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string>

#include "runtime/cgroup_files.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t most_kills = 1024;
constexpr size_t slice = 256;            ///< Records that are read in one turn.
constexpr size_t most_slices = 256;      ///< In a row; the kernel keeps fewer records.
constexpr size_t longest_record = 8192;  ///< CONSOLE_EXT_LOG_MAX.
/// A victim may take so long to end; who was killed earlier had its number before. The log's clock
/// is not set by NTP: in a year or so the two may differ by as much.
constexpr int64_t longest_end_us = 300'000'000;
constexpr uint64_t pf_exiting = 0x4;       ///< include/linux/sched.h
constexpr uint64_t pf_kthread = 0x200000;

template <class Number>
bool take_number(std::string_view& text, Number& out) {
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), out);
  text.remove_prefix(size_t(end - text.data()));
  return err == std::errc{};
}

struct record_head {
  uint32_t priority = 0;
  uint64_t seq = 0;
  int64_t at_us = 0;
  std::string_view text;
};

std::optional<record_head> head_of(std::string_view record) {
  record_head out;
  const auto comma = [&record] {
    const bool there = record.starts_with(',');
    record.remove_prefix(there ? 1 : 0);
    return there;
  };
  if (!take_number(record, out.priority) || !comma() || !take_number(record, out.seq) || !comma()
      || !take_number(record, out.at_us))
    return {};
  const auto text = record.find(';');
  if (text == std::string_view::npos)
    return {};
  out.text = record.substr(text + 1);
  return out;
}

/// Field 9 of /proc/PID/stat, and the state before it.
struct task_flags {
  char state = 'X';
  uint64_t flags = 0;
};

std::optional<task_flags> flags_of(io::kernel& k, int32_t pid) {
  std::string text;
  if (k.read_small("/proc/" + std::to_string(pid) + "/stat", text) < 0)
    return {};
  std::string_view rest = text;
  const auto name_end = rest.rfind(')');
  if (name_end == std::string_view::npos)
    return {};
  rest.remove_prefix(name_end + 1);
  task_flags out;
  if (const auto state = next_word(rest); !state.empty())
    out.state = state.front();
  for (int field = 4; field <= 8; ++field)
    next_word(rest);
  out.flags = number_in(next_word(rest));
  return out;
}

/// Only there the kernel's own threads are seen: kthreadd is the second process.
bool in_first_pid_namespace(io::kernel& k) {
  const auto second = flags_of(k, 2);
  return second && (second->flags & pf_kthread) != 0;
}

} // namespace

std::optional<int64_t> known_since(std::string_view record) {
  const auto head = head_of(record);
  if (!head)
    return {};
  return head->seq == 0 ? -longest_end_us : head->at_us; // Nothing was before the first one.
}

std::optional<oom_kill> parse_oom_kill(std::string_view record) {
  const auto head = head_of(record);
  if (!head || head->priority >> 3 != 0) // The facility: 0 is the kernel.
    return {};
  auto text = head->text;
  constexpr std::string_view killed = "Killed process ";
  const auto at = text.find(killed);
  if (at == std::string_view::npos || text.substr(0, at).find("ut of memory") == text.npos)
    return {};
  text.remove_prefix(at + killed.size());
  oom_kill out{.at_us = head->at_us};
  return take_number(text, out.pid) && text.starts_with(" (") ? std::optional{out} : std::nullopt;
}

bool kill_log::open() {
  if (std::exchange(tried_, true))
    return bool(file_);
  auto& sys = loop_.sys();
  if (!in_first_pid_namespace(sys))
    return false;
  if (const int rc = sys.open("/dev/kmsg", O_RDONLY | O_NONBLOCK); rc >= 0)
    file_ = io::fd(sys, rc);
  return bool(file_);
}

bool kill_log::read(std::function<void()> f) {
  if (waiting_.empty()) {
    if (!open())
      return true;
    slices_ = 1;
    at_end_ = read_some();
    if (at_end_)
      return true;
    read_on();
  }
  waiting_.push_back(std::move(f));
  return false;
}

void kill_log::read_on() {
  loop_.post([this, life = std::weak_ptr<int>(life_)] {
    if (life.expired())
      return;
    at_end_ = read_some();
    if (!at_end_ && ++slices_ < most_slices)
      return read_on();
    for (auto& f : std::exchange(waiting_, {}))
      f();
  });
}

/// A slice of it. True: there is no more.
bool kill_log::read_some() {
  std::array<char, longest_record> bytes; // NOLINT: what is read of it was written before.
  for (size_t i = 0; i < slice; ++i) {
    const auto n = loop_.sys().read(file_.get(), bytes);
    if (n == -EPIPE) { // Records were overwritten before they were read.
      from_us_.reset();
      continue;
    }
    if (n == -EINTR)
      continue;
    if (n <= 0) {
      if (n != -EAGAIN)
        file_.reset();
      return true;
    }
    take({bytes.data(), size_t(n)});
  }
  return false;
}

void kill_log::take(std::string_view record) {
  if (!from_us_)
    from_us_ = known_since(record);
  if (const auto kill = parse_oom_kill(record))
    kills_.push_back(*kill);
  if (kills_.size() > most_kills) {
    from_us_ = kills_.front().at_us + 1;
    kills_.pop_front();
  }
}

kill_log::answer kill_log::ask(int32_t pid, int64_t at_ns) const {
  if (pid <= 0 || !file_ || !from_us_)
    return answer::unknown;
  const auto& sys = loop_.sys();
  // The time that has passed since then, on the log's clock.
  const auto at_us = (sys.monotonic().count() - (sys.realtime().count() - at_ns)) / 1000;
  for (auto i = kills_.rbegin(); i != kills_.rend(); ++i)
    if (i->pid == pid) {
      const bool fits = std::abs(at_us - i->at_us) <= longest_end_us;
      return fits ? answer::killed : answer::unknown;
    }
  const bool reaches = *from_us_ + longest_end_us <= at_us;
  return reaches && at_end_ ? answer::not_killed : answer::unknown;
}

bool is_ending(io::kernel& k, int32_t pid, uint64_t start_ticks) {
  if (k.start_ticks(pid) != int64_t(start_ticks))
    return true;
  const auto now = flags_of(k, pid);
  if (!now || now->state == 'Z' || now->state == 'X' || (now->flags & pf_exiting) != 0)
    return true;
  std::string text;
  if (k.read_small("/proc/" + std::to_string(pid) + "/status", text) < 0)
    return true;
  for (std::string_view key : {"SigPnd:\t", "ShdPnd:\t"}) {
    const auto at = text.find(key);
    if (at == std::string::npos)
      continue;
    uint64_t pending = 0;
    const char* from = text.data() + at + key.size();
    std::from_chars(from, text.data() + text.size(), pending, 16);
    if ((pending >> (SIGKILL - 1) & 1) != 0)
      return true;
  }
  return false;
}

} // namespace gantry::runtime
