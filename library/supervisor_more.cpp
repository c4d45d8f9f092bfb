#include <gantry/supervisor.hpp>

#include "gateways/client/process_fd.hpp"
#include "library/attach.hpp"
#include "library/body.hpp"
#include "library/commands.hpp"

// Further commands: terminals, logs, lists, checkpoints, the disk, policies and health.

namespace gantry {

using library::about;
using library::change;
using library::from_bus;
using library::nothing;
using library::send;
using library::to_bus;

void supervisor::list(list_request r, callback<container_list> f) {
  send<v1::ListReply>(impl_->site, to_bus(r), std::move(f),
                      [](const v1::ListReply& x) { return from_bus(x); });
}

void supervisor::exec_sync(exec_sync_request r, callback<exec_result> f) {
  auto req = about<v1::ExecSyncRequest>(r.ref);
  req.set_process(r.process);
  *req.mutable_spec() = to_bus(r.spec);
  if (r.head_bytes)
    req.set_head_bytes(*r.head_bytes);
  if (r.tail_bytes)
    req.set_tail_bytes(*r.tail_bytes);
  change<v1::ExecSyncReply>(impl_->site, std::move(req), r.request_id, std::move(f),
                            [](const v1::ExecSyncReply& x) { return from_bus(x); });
}

void supervisor::processes(container_ref c, bool all,
                           callback<std::vector<process_summary>> f) {
  auto req = about<v1::ListProcessesRequest>(c);
  req.set_all(all);
  send<v1::ListProcessesReply>(impl_->site, std::move(req), std::move(f),
                               [](const v1::ListProcessesReply& x) {
                                 std::vector<process_summary> out;
                                 for (const auto& p : x.processes())
                                   out.push_back(from_bus(p));
                                 return out;
                               });
}

void supervisor::resize(container_ref c, std::string process, terminal_size size,
                        callback<void> f) {
  auto req = about<v1::ResizeRequest>(c);
  req.set_process(process);
  *req.mutable_size() = to_bus(size);
  send<v1::ResizeReply>(impl_->site, std::move(req), std::move(f), nothing);
}

void supervisor::attach(attach_options what, callback<attachment> f) {
  const auto& at = impl_->site;
  if (!at->post([at, what = std::move(what), f]() mutable {
        library::open_attachment(at, std::move(what), std::move(f));
      }))
    library::call_out(f, library::site::ended());
}

void supervisor::reopen_log(container_ref c, std::string process, callback<log_file> f) {
  auto req = about<v1::ReopenLogRequest>(c);
  req.set_process(process);
  send<v1::ReopenLogReply>(
    impl_->site, std::move(req), std::move(f),
    [](const v1::ReopenLogReply& x) { return log_file{.number = x.file(), .path = x.path()}; });
}

void supervisor::checkpoint(checkpoint_request r, callback<made_checkpoint> f) {
  change<v1::CheckpointReply>(
    impl_->site, to_bus(r), r.request_id, std::move(f), [](const v1::CheckpointReply& x) {
      return made_checkpoint{.name = x.name(), .dir = x.dir(), .seq = x.seq()};
    });
}

void supervisor::checkpoints(container_ref c, callback<std::vector<checkpoint_summary>> f) {
  send<v1::ListCheckpointsReply>(impl_->site, about<v1::ListCheckpointsRequest>(c), std::move(f),
                                 [](const v1::ListCheckpointsReply& x) {
                                   std::vector<checkpoint_summary> out;
                                   for (const auto& one : x.checkpoints())
                                     out.push_back(from_bus(one));
                                   return out;
                                 });
}

void supervisor::remove_checkpoint(container_ref c, std::string name, callback<void> f) {
  auto req = about<v1::RemoveCheckpointRequest>(c);
  req.set_name(name);
  change<v1::RemoveCheckpointReply>(impl_->site, std::move(req), {}, std::move(f), nothing);
}

void supervisor::restore(restore_request r, callback<started_process> f) {
  auto req = about<v1::StartRequest>(r.ref);
  req.set_checkpoint(r.checkpoint);
  req.set_checkpoint_dir(r.checkpoint_dir);
  change<v1::StartReply>(impl_->site, std::move(req), r.request_id, std::move(f),
                         [](const v1::StartReply& x) {
                           return started_process{.pid = x.pid(), .seq = x.seq()};
                         });
}

void supervisor::disk_use(callback<disk_report> f) {
  send<v1::DiskUseReply>(impl_->site, v1::DiskUseRequest{}, std::move(f),
                         [](const v1::DiskUseReply& x) { return from_bus(x); });
}

void supervisor::update(update_request r, callback<void> f) {
  auto req = about<v1::UpdateRequest>(r.ref);
  *req.mutable_resources() = to_bus(r.limits);
  if (r.restart)
    *req.mutable_restart() = to_bus(*r.restart);
  if (r.health)
    *req.mutable_health() = to_bus(*r.health);
  change<v1::UpdateReply>(impl_->site, std::move(req), r.request_id, std::move(f), nothing);
}

void supervisor::run_probe(container_ref c, std::string role, callback<ran_probe> f) {
  auto req = about<v1::RunProbeRequest>(c);
  req.set_role(role);
  send<v1::RunProbeReply>(impl_->site, std::move(req), std::move(f),
                          [](const v1::RunProbeReply& x) { return from_bus(x); });
}

void supervisor::read_evidence(container_ref c, uint64_t number, callback<evidence> f) {
  auto req = about<v1::ReadEvidenceRequest>(c);
  req.set_number(number);
  send<v1::Evidence>(impl_->site, std::move(req), std::move(f),
                     [](const v1::Evidence& x) { return from_bus(x); });
}

result<int> supervisor::process_fd(container_ref c, std::string process) {
  using offer = library::link::fd_offer;
  constexpr int most_tries = 3; // A ticket dies with the gantryd that gave it.
  GANTRY_CHECK(!impl_->site->here()); // A callback must not wait for its own thread.
  auto req = about<v1::GetProcessFdRequest>(c);
  req.set_process(std::move(process));
  for (int tries = 1;; ++tries) {
    auto what = soon<offer>([&](callback<offer> f) {
                  send<offer>(impl_->site, req, std::move(f), [](offer x) { return x; });
                }).get();
    if (!what)
      return std::move(what).why();
    if (what->fd >= 0)
      return what->fd;
    auto fd = client::present_ticket(what->socket, what->ticket);
    const bool passing
      = !fd && (fd.why().code == ec::not_found || fd.why().code == ec::unavailable);
    if (!passing || tries == most_tries)
      return fd;
  }
}

} // namespace gantry
