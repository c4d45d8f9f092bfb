#include <gantry/supervisor.hpp>

#include "library/body.hpp"
#include "library/commands.hpp"
#include "library/streams.hpp"
#include "library/subscriber.hpp"

namespace gantry {

using library::about;
using library::change;
using library::nothing;
using library::send;
using library::site;
using library::to_bus;

namespace {

created_container made_of(const v1::CreateReply& x) {
  return {.instance = x.instance(), .pid = x.pid(), .seq = x.seq()};
}

exec_started made_of(const v1::ExecReply& x) {
  return {.process = x.process(), .pid = x.pid(), .seq = x.seq(), .instance = x.instance()};
}

/// A create whose caller wants the streams before the container runs: opens them, hands them
/// over, starts it. What fails on the way takes the container along.
struct streamed_create : std::enable_shared_from_this<streamed_create> {
  streamed_create(std::shared_ptr<site> a, create_request r, created_container m,
                  callback<created_container> f)
    : at(std::move(a)), request(std::move(r)), made(m), answer(std::move(f)) {}

  void open() {
    auto what = request.stdio;
    what.ref = request.ref;
    what.process.clear();
    what.instance = made.instance;
    library::open_streams(at, what, [me = shared_from_this()](result<io_bundle> x) {
      if (!x)
        return me->undo(x.why());
      library::call_out(me->request.on_stdio, std::move(*x));
      if (me->request.start)
        me->run();
      else
        me->answer(me->made);
    });
  }

  void run() {
    callback<started_process> then = [me = shared_from_this()](result<started_process> x) {
      if (!x)
        return me->undo(x.why());
      me->made.pid = x->pid;
      me->made.seq = x->seq;
      me->answer(me->made);
    };
    change<v1::StartReply>(at, about<v1::StartRequest>(request.ref), {}, std::move(then),
                           [](const v1::StartReply& x) {
                             return started_process{.pid = x.pid(), .seq = x.seq()};
                           });
  }

  void undo(const error& why) {
    auto req = about<v1::RemoveRequest>(request.ref);
    req.set_force(true);
    callback<void> then = [me = shared_from_this(), why](const result<void>&) { me->answer(why); };
    change<v1::RemoveReply>(at, std::move(req), {}, std::move(then), nothing);
  }

  std::shared_ptr<site> at;
  create_request request;
  created_container made;
  callback<created_container> answer;
};

} // namespace

result<std::unique_ptr<supervisor>> supervisor::start(start_options how) {
  auto made = library::make_embedded(std::move(how));
  if (!made)
    return std::move(made).why();
  return std::unique_ptr<supervisor>{new supervisor(std::move(*made))};
}

result<std::unique_ptr<supervisor>> supervisor::connect(connect_options how) {
  auto made = library::make_connected(std::move(how));
  if (!made)
    return std::move(made).why();
  return std::unique_ptr<supervisor>{new supervisor(std::move(*made))};
}

supervisor::supervisor(std::unique_ptr<impl> x) : impl_(std::move(x)) {}

supervisor::~supervisor() { impl_->finish({}); }

void supervisor::stop(bool stop_containers) { impl_->finish(stop_containers); }

void supervisor::version(callback<version_report> f) {
  send<v1::VersionReply>(impl_->site, v1::VersionRequest{}, std::move(f),
                         [](const v1::VersionReply& x) { return library::from_bus(x); });
}

void supervisor::info(callback<supervisor_report> f) {
  send<v1::InfoReply>(impl_->site, v1::InfoRequest{}, std::move(f),
                      [](const v1::InfoReply& x) { return library::from_bus(x); });
}

void supervisor::create(create_request r, callback<created_container> f) {
  auto req = about<v1::CreateRequest>(r.ref);
  *req.mutable_spec() = to_bus(r.spec);
  req.set_start(r.start && !r.on_stdio);
  req.set_checkpoint_dir(r.checkpoint_dir);
  if (!r.on_stdio)
    return change<v1::CreateReply>(impl_->site, std::move(req), r.request_id, std::move(f),
                                   [](const v1::CreateReply& x) { return made_of(x); });
  const auto id = r.request_id;
  callback<created_container> then = [at = impl_->site, r = std::move(r),
                                      f](result<created_container> x) {
    if (x)
      std::make_shared<streamed_create>(at, r, *x, f)->open();
    else
      f(std::move(x));
  };
  change<v1::CreateReply>(impl_->site, std::move(req), id, std::move(then),
                          [](const v1::CreateReply& x) { return made_of(x); });
}

void supervisor::start(container_ref c, callback<started_process> f) {
  change<v1::StartReply>(impl_->site, about<v1::StartRequest>(c), {}, std::move(f),
                         [](const v1::StartReply& x) {
                           return started_process{.pid = x.pid(), .seq = x.seq()};
                         });
}

void supervisor::kill(kill_request r, callback<void> f) {
  auto req = about<v1::KillRequest>(r.ref);
  req.set_process(r.process);
  req.set_signal(r.signal);
  req.set_all(r.all);
  req.set_tree(r.tree);
  change<v1::KillReply>(impl_->site, std::move(req), r.request_id, std::move(f), nothing);
}

void supervisor::stop(stop_request r, callback<exit_report> f) {
  auto req = about<v1::StopRequest>(r.ref);
  if (r.timeout)
    req.set_timeout_ns(r.timeout->count());
  req.set_signal(r.signal);
  change<v1::StopReply>(impl_->site, std::move(req), r.request_id, std::move(f),
                        [](const v1::StopReply& x) { return library::from_bus(x.exit()); });
}

void supervisor::pause(container_ref c, callback<void> f) {
  change<v1::PauseReply>(impl_->site, about<v1::PauseRequest>(c), {}, std::move(f), nothing);
}

void supervisor::resume(container_ref c, callback<void> f) {
  change<v1::ResumeReply>(impl_->site, about<v1::ResumeRequest>(c), {}, std::move(f), nothing);
}

void supervisor::update(container_ref c, resource_limits limits, callback<void> f) {
  update(update_request{.ref = std::move(c), .limits = std::move(limits)}, std::move(f));
}

void supervisor::remove(remove_request r, callback<void> f) {
  auto req = about<v1::RemoveRequest>(r.ref);
  req.set_force(r.force);
  change<v1::RemoveReply>(impl_->site, std::move(req), r.request_id, std::move(f), nothing);
}

void supervisor::wait(wait_request r, callback<waited_exit> f) {
  auto req = about<v1::WaitRequest>(r.ref);
  req.set_process(r.process);
  req.set_instance(r.instance);
  req.set_hold(r.hold);
  send<v1::WaitReply>(impl_->site, std::move(req), std::move(f), [](const v1::WaitReply& x) {
    return waited_exit{library::from_bus(x.exit()), x.instance(), x.run()};
  });
}

void supervisor::list(std::string ns, bool all, callback<container_list> f) {
  list(list_request{.ns = std::move(ns), .all = all}, std::move(f));
}

void supervisor::inspect(container_ref c, callback<container_detail> f) {
  send<v1::ContainerDetail>(impl_->site, about<v1::InspectRequest>(c), std::move(f),
                            [](const v1::ContainerDetail& x) { return library::from_bus(x); });
}

void supervisor::usage(container_ref c, bool raw, callback<std::vector<usage_report>> f) {
  auto req = about<v1::StatsRequest>(c);
  req.set_raw(raw);
  send<v1::StatsReply>(impl_->site, std::move(req), std::move(f), [](const v1::StatsReply& x) {
    std::vector<usage_report> out;
    for (const auto& s : x.stats())
      out.push_back(library::from_bus(s));
    return out;
  });
}

void supervisor::top(container_ref c, callback<std::vector<host_process>> f) {
  send<v1::TopReply>(impl_->site, about<v1::TopRequest>(c), std::move(f),
                     [](const v1::TopReply& x) {
                       std::vector<host_process> out;
                       for (const auto& p : x.processes())
                         out.push_back(library::from_bus(p));
                       return out;
                     });
}

void supervisor::exec(exec_request r, callback<exec_started> f) {
  auto req = about<v1::ExecRequest>(r.ref);
  req.set_process(r.process);
  *req.mutable_spec() = to_bus(r.spec);
  auto made = [](const v1::ExecReply& x) { return made_of(x); };
  if (!r.on_stdio)
    return change<v1::ExecReply>(impl_->site, std::move(req), r.request_id, std::move(f), made);
  const auto id = r.request_id;
  callback<exec_started> then = [at = impl_->site, r = std::move(r), f](result<exec_started> x) {
    if (!x)
      return f(std::move(x));
    auto what = r.stdio;
    what.ref = r.ref;
    what.process = x->process;
    what.instance = x->instance;
    library::open_streams(at, what, [r, f, started = *x](result<io_bundle> streams) {
      if (!streams)
        return f(std::move(streams).why());
      r.on_stdio(std::move(*streams));
      f(started);
    });
  };
  change<v1::ExecReply>(impl_->site, std::move(req), id, std::move(then), made);
}

void supervisor::open_io(io_options what, callback<io_bundle> f) {
  const auto& at = impl_->site;
  if (!at->post([at, what = std::move(what), f] { library::open_streams(at, what, f); }))
    library::call_out(f, site::ended());
}

void supervisor::close_stdin(container_ref c, std::string process, callback<void> f) {
  auto req = about<v1::CloseStdinRequest>(c);
  req.set_process(process);
  change<v1::CloseStdinReply>(impl_->site, std::move(req), {}, std::move(f), nothing);
}

subscription supervisor::subscribe(subscribe_options what, event_handler f) {
  auto made = std::make_shared<subscription::impl>(impl_->site, std::move(what), std::move(f));
  if (!impl_->site->post([made] { made->begin(); }))
    made->end(site::ended());
  return subscription(made);
}

} // namespace gantry
