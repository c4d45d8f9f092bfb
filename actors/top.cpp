#include "actors/top.hpp"

#include <algorithm>
#include <unistd.h>

namespace gantry::actors {

namespace {

/// Parent, state, CPU and memory of a process, from /proc/PID/stat.
void fill_from_stat(io::kernel& k, v1::TopProcess& p) {
  std::string text;
  const auto dir = "/proc/" + std::to_string(p.pid());
  if (k.read_small(dir + "/stat", text) >= 0)
    if (const auto paren = text.rfind(')'); paren != std::string::npos) {
      std::vector<std::string> fields;
      size_t at = paren + 2;
      while (at < text.size()) {
        const auto end = std::min(text.find(' ', at), text.size());
        fields.push_back(text.substr(at, end - at));
        at = end + 1;
      }
      if (fields.size() > 21) { // Field 3 (state) is the first behind the name; proc(5).
        p.set_state(fields[0]);
        p.set_ppid(std::atoi(fields[1].c_str()));
        const auto ticks = std::strtoull(fields[11].c_str(), nullptr, 10)
                           + std::strtoull(fields[12].c_str(), nullptr, 10);
        p.set_cpu_ns(ticks * 1'000'000'000 / uint64_t(::sysconf(_SC_CLK_TCK)));
        p.set_rss_bytes(std::strtoull(fields[21].c_str(), nullptr, 10)
                        * uint64_t(::sysconf(_SC_PAGESIZE)));
      }
    }
  std::string command;
  if (k.read_small(dir + "/cmdline", command) >= 0) {
    while (!command.empty() && command.back() == '\0')
      command.pop_back();
    std::replace(command.begin(), command.end(), '\0', ' ');
    p.set_command(command);
  }
}

} // namespace

std::vector<v1::TopProcess> processes_in(services& host, const runtime::container_view& c,
                                         size_t most) {
  std::vector<v1::TopProcess> out;
  for (auto pid : host.cgroup_of(c.name).pids()) {
    if (out.size() == most)
      break;
    auto& p = out.emplace_back();
    p.set_pid(pid);
    for (const auto& ours : c.processes)
      if (ours.pid == pid && ours.phase != runtime::process_view::phase_t::exited)
        p.set_process(ours.id);
    fill_from_stat(host.loop.sys(), p);
  }
  return out;
}

} // namespace gantry::actors
