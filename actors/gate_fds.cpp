#include "actors/gate.hpp"

// Descriptors for clients: a ticket over the bus now, the descriptor over fds.sock soon.

namespace gantry::actors {

namespace {

io::ticket_holder holder_of(const v1::By& by) { return {by.uid(), by.pid()}; }

} // namespace

/// The pidfd, and in `what` whose it is.
result<io::fd> gate::open_process(const v1::GetProcessFdRequest& req, v1::GetProcessFdReply& what) {
  auto name = runtime::checked_name(req.ref());
  if (!name)
    return std::move(name).why();
  const auto id = req.process().empty() ? std::string{runtime::init_id} : req.process();
  const auto* c = host_.ledger.now().find(*name);
  const auto* p = c != nullptr ? c->process(id) : nullptr;
  const auto thing = "process \"" + id + "\" of container \"" + name->id + "\"";
  using phase_t = runtime::process_view::phase_t;
  if (p == nullptr)
    return error{ec::not_found, "no such " + thing, "gantry ps -a lists what is there"};
  if (p->phase == phase_t::adding)
    return error{ec::wrong_state, thing + " is being made", "ask again once it is there"};
  auto& sys = host_.loop.sys();
  io::fd pidfd;
  if (p->phase == phase_t::created || p->phase == phase_t::running)
    pidfd = io::fd{sys, sys.pidfd_open(p->pid)};
  if (!pidfd || sys.start_ticks(p->pid) != int64_t(p->start_ticks))
    return error{ec::wrong_state, thing + " has ended",
                 "gantry wait " + name->id + " tells how, and needs no descriptor"};
  what.set_pid(p->pid);
  what.set_instance(c->instance);
  return pidfd;
}

result<io::fd> gate::process_fd(const v1::GetProcessFdRequest& req) {
  v1::GetProcessFdReply what;
  return open_process(req, what);
}

result<v1::GetProcessFdReply> gate::ticket_for(const v1::By& by,
                                               const v1::GetProcessFdRequest& req) {
  if (host_.fds_socket.empty())
    return error{ec::unsupported, "this supervisor hands out no descriptors",
                 "its host program has no fds.sock"};
  v1::GetProcessFdReply out;
  auto pidfd = open_process(req, out);
  if (!pidfd)
    return std::move(pidfd).why();
  auto ticket = tickets_.issue(*std::move(pidfd), holder_of(by));
  if (!ticket)
    return std::move(ticket).why();
  out.set_ticket(*ticket);
  out.set_socket(host_.fds_socket);
  out.set_expires_at_ns(host_.loop.sys().realtime().count() + tickets_.life().count());
  return out;
}

void gate::call(const v1::By& by, v1::GetProcessFdRequest req, answer<v1::GetProcessFdReply> f) {
  later<v1::GetProcessFdReply>(std::move(f), ticket_for(by, req));
}

result<io::fd> gate::redeem(const v1::By& by, std::string_view ticket) {
  return tickets_.redeem(ticket, holder_of(by));
}

} // namespace gantry::actors
