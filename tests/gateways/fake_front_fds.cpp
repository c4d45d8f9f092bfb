#include <cstdlib>
#include <unistd.h>

#include "tests/gateways/fake_front.hpp"

// Descriptors of processes: of the test itself, or of the pid that stands for a process's name.

namespace gantry::test {

result<io::fd> fake_front::process_fd(const v1::GetProcessFdRequest& req) {
  auto& sys = loop_.sys();
  const auto pid = req.process().empty() ? ::getpid() : std::atoi(req.process().c_str());
  return io::fd{sys, sys.pidfd_open(pid)};
}

result<io::fd> fake_front::redeem(const v1::By& by, std::string_view ticket) {
  return tickets_.redeem(ticket, {by.uid(), by.pid()});
}

} // namespace gantry::test
