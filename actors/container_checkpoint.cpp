#include <csignal>

#include "actors/container.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "io/log_files.hpp"
#include "runtime/bundle.hpp"

// Checkpoints: the state of a container's processes on disk, and runs that go on from there.

namespace gantry::actors {

namespace {

constexpr size_t most_checkpoints = 64;

/// Written by CRIU when all the rest is there.
std::string last_image(const std::string& dir) { return dir + "/stats-dump"; }

v1::CheckpointReply reply_of(const v1::Checkpoint& what, uint64_t seq) {
  v1::CheckpointReply out;
  out.set_name(what.name());
  out.set_dir(what.dir());
  out.set_seq(seq);
  return out;
}

} // namespace

/// What they hold nobody has told us: whatever can be in images may be in these.
journal::Restore container_state::images_in(const std::string& dir) {
  journal::Restore out;
  out.set_dir(dir);
  out.set_tcp_established(true);
  out.set_file_locks(true);
  out.set_external_unix(true);
  return out;
}

std::optional<v1::Checkpoint> container_state::known_checkpoint(const std::string& name) const {
  const auto* v = view();
  for (const auto& text : v->checkpoints)
    if (v1::Checkpoint x; x.ParseFromString(text) && x.name() == name)
      return x;
  return std::nullopt;
}

result<v1::Checkpoint> container_state::wanted_checkpoint(const v1::CheckpointRequest& req) const {
  const auto* v = view();
  v1::ContainerSpec spec;
  spec.ParseFromString(v->spec);
  v1::Checkpoint out;
  out.set_name(req.name().empty() ? "checkpoint-" + std::to_string(host->next_op) : req.name());
  if (auto checked = runtime::checked_process(out.name()); !checked)
    return error{ec::invalid_argument, "\"" + out.name() + "\" cannot be a checkpoint's name",
                 "use letters, digits and _.- and begin with a letter or a digit"};
  if (known_checkpoint(out.name()))
    return error{ec::already_exists,
                 "container \"" + who.id + "\" has a checkpoint \"" + out.name() + "\" already",
                 "choose another name, or gantry checkpoint rm " + who.id + " " + out.name()};
  if (v->checkpoints.size() >= most_checkpoints)
    return error{ec::resource_exhausted,
                 "container \"" + who.id + "\" has " + std::to_string(v->checkpoints.size())
                   + " checkpoints",
                 "remove some: gantry checkpoint rm " + who.id + " NAME"};
  if (spec.terminal())
    return error{ec::unsupported,
                 "container \"" + who.id + "\" has a terminal, which no checkpoint can hold",
                 "run it without a terminal"};
  if (remove_on_exit_ && !req.leave_running() && req.dir().empty())
    return error{ec::invalid_argument,
                 "container \"" + who.id + "\" is removed at its end, and its checkpoints with it",
                 "leave it running, or name a directory of your own"};
  out.set_dir(req.dir().empty() ? host->checkpoint_dir(instance_) + "/" + out.name() : req.dir());
  out.set_foreign_dir(!req.dir().empty());
  out.set_run(run_);
  out.set_left_running(req.leave_running());
  out.set_tcp_established(req.tcp_established());
  out.set_file_locks(req.file_locks());
  out.set_external_unix(req.external_unix());
  return out;
}

caf::result<v1::CheckpointReply> container_state::checkpoint(const v1::By& by,
                                                             const v1::CheckpointRequest& req) {
  if (!req.dir().empty())
    if (auto checked = runtime::check_images(req.dir()); !checked)
      return to_caf(checked.why());
  auto promise = self->make_response_promise<v1::CheckpointReply>();
  attempt<v1::CheckpointReply>(event::checkpoint, promise, [this, by, req, promise](const rule&) {
    begin_checkpoint(by, req, promise);
  });
  return promise;
}

void container_state::begin_checkpoint(const v1::By& by, const v1::CheckpointRequest& req,
                                       pending<v1::CheckpointReply> promise) {
  auto what = wanted_checkpoint(req);
  const auto execs = std::count_if(processes_.begin(), processes_.end(), [](const auto& x) {
    return x.first != init && !x.second.ended;
  });
  if (what && execs > 0)
    what = error{ec::wrong_state,
                 "container \"" + who.id + "\" has " + std::to_string(execs)
                   + " living execs, which no checkpoint can hold",
                 "end them first: gantry inspect " + who.id + " lists them"};
  if (what && host->loop.sys().exists(what->dir()) == 1)
    what = error{ec::already_exists, what->dir() + " exists already",
                 "name a directory that is not there yet"};
  if (!what) {
    promise.deliver(to_caf(what.why()));
    return;
  }
  dumping_ = std::make_unique<dumping>();
  dumping_->what = *what;
  dumping_->by = by;
  dumping_->request_id = req.request_id();
  dumping_->op = host->next_op++;
  dumping_->timeout = io::nanoseconds{std::max<int64_t>(req.timeout_ns(), 0)};
  dumping_->promise = std::move(promise);
  auto r = record(by, req.request_id());
  *r.mutable_checkpointing()->mutable_what() = *what;
  r.mutable_checkpointing()->set_op(dumping_->op);
  r.mutable_checkpointing()->set_timeout_ns(dumping_->timeout.count());
  dumping_->cause = host->ledger.record(r);
  enter(phase::checkpointing);
  make_images();
}

void container_state::make_images() {
  auto path = std::make_shared<io::path_op>(host->loop);
  const auto& what = dumping_->what;
  const auto parent = host->checkpoint_dir(instance_);
  auto dump = while_here([this, path, parent](int32_t n) {
    if (n < 0 && n != -EEXIST) {
      fail_checkpoint(from_errno(-n, "make the directory", parent));
      return;
    }
    runtime::checkpoint_command c;
    c.runtime = runtime_;
    c.id = runtime::runtime_id(who);
    c.images = dumping_->what.dir();
    c.leave_running = dumping_->what.left_running();
    c.image.tcp_established = dumping_->what.tcp_established();
    c.image.file_locks = dumping_->what.file_locks();
    c.image.external_unix = dumping_->what.external_unix();
    c.deadline = dumping_->timeout;
    c.op = dumping_->op;
    host->engine.checkpoint(std::move(c), [me = container_actor{self}](result<void> x) {
      outcome out;
      if (!x)
        out.failed = x.why();
      caf::anon_send(me, atom::images::value, out);
    });
  });
  if (what.foreign_dir())
    host->loop.post([dump]() mutable { dump(0); });
  else
    path->mkdir(parent, 0700, dump);
}

void container_state::on_checkpointed(const outcome& x) {
  GANTRY_CHECK(dumping_ != nullptr);
  const bool whole = host->loop.sys().exists(last_image(dumping_->what.dir())) == 1;
  if (x.failed && !whole) {
    fail_checkpoint(*x.failed);
    return;
  }
  if (x.failed) // It failed behind the dump: the images are all there is of the processes.
    io::log_warn("container={}: {}", who.id, x.failed->text());
  auto work = std::move(dumping_);
  work->what.set_created_at_ns(host->loop.sys().realtime().count());
  auto r = record(work->by, work->request_id);
  r.set_cause(work->cause);
  *r.mutable_checkpointed()->mutable_what() = work->what;
  v1::CheckpointReply reply;
  {
    const auto both = host->ledger.together();
    reply = reply_of(work->what, host->ledger.record(r));
    host->finish_request(work->request_id, "Checkpoint", reply);
  }
  leave_checkpointing(event::checkpointed);
  if (!work->promise)
    return;
  host->ledger.file().durable([promise = *work->promise, reply](result<void>) mutable {
    promise.deliver(reply); // Whoever relies on it must find it after a power cut.
  });
}

/// An end that came meanwhile waited for this change of phase; one that an earlier life has
/// settled is told of now.
void container_state::leave_checkpointing(event how) {
  happen(how, [this] { enter(phase::running); });
  const auto* p = view()->init();
  if (at_ == phase::running && processes_[init].ended && p != nullptr && p->exit)
    happen(event::exited, [this, x = *p->exit] { end_of_run(x); });
}

void container_state::fail_checkpoint(error why) {
  auto work = std::shared_ptr<dumping>(std::move(dumping_));
  if (why.code == ec::wrong_state && processes_[init].ended)
    why.message = "container \"" + who.id + "\": it ended before the checkpoint was whole";
  if (auto thawed = group().thaw(); !thawed) // CRIU may have been ended in the middle.
    io::log_warn("container={}: {}", who.id, thawed.why().text());
  auto tell = while_here([this, work, why] {
    auto r = record(work->by, work->request_id);
    r.set_cause(work->cause);
    auto* f = r.mutable_checkpoint_failed();
    f->set_name(work->what.name());
    f->set_code(std::string{name_of(why.code)});
    f->set_message(why.message);
    f->set_cure(why.cure);
    host->ledger.record(r);
    host->fail_request(work->request_id, "Checkpoint", why);
    leave_checkpointing(event::checkpoint_failed);
    if (work->promise)
      work->promise->deliver(to_caf(why));
  });
  runtime::remove_bundle(host->loop, work->what.dir(), std::move(tell)); // Nobody's images.
}

caf::result<v1::RemoveCheckpointReply>
container_state::remove_checkpoint(const v1::By& by, const v1::RemoveCheckpointRequest& req) {
  const auto known = known_checkpoint(req.name());
  if (!known)
    return to_caf({ec::not_found,
                   "container \"" + who.id + "\" has no checkpoint \"" + req.name() + "\"",
                   "gantry checkpoint ls " + who.id + " lists them"});
  if (making_ && making_->restore && making_->restore->dir() == known->dir())
    return to_caf({ec::wrong_state,
                   "container \"" + who.id + "\" is being restored from \"" + req.name() + "\"",
                   "try again when it runs"});
  auto r = record(by, req.request_id());
  r.mutable_checkpoint_removed()->set_name(req.name());
  v1::RemoveCheckpointReply reply;
  reply.set_seq(host->ledger.record(r));
  host->finish_request(req.request_id(), "RemoveCheckpoint", reply);
  if (known->foreign_dir())
    return reply;
  auto promise = self->make_response_promise<v1::RemoveCheckpointReply>();
  runtime::remove_bundle(host->loop, known->dir(),
                         while_here([promise, reply]() mutable { promise.deliver(reply); }));
  return promise;
}

result<std::optional<journal::Restore>>
container_state::restore_of(const v1::StartRequest& req) const {
  if (req.checkpoint().empty() && req.checkpoint_dir().empty())
    return std::optional<journal::Restore>{};
  if (!req.checkpoint().empty() && !req.checkpoint_dir().empty())
    return error{ec::invalid_argument, "a checkpoint is named both by its name and by a directory",
                 "name it by one of them"};
  journal::Restore out;
  if (!req.checkpoint().empty()) {
    const auto known = known_checkpoint(req.checkpoint());
    if (!known)
      return error{ec::not_found,
                   "container \"" + who.id + "\" has no checkpoint \"" + req.checkpoint() + "\"",
                   "gantry checkpoint ls " + who.id + " lists them"};
    out.set_name(known->name());
    out.set_dir(known->dir());
    out.set_tcp_established(known->tcp_established());
    out.set_file_locks(known->file_locks());
    out.set_external_unix(known->external_unix());
  } else if (auto checked = runtime::check_images(req.checkpoint_dir()); !checked) {
    return std::move(checked).why();
  } else {
    out = images_in(req.checkpoint_dir());
  }
  return std::optional{std::move(out)};
}

/// Takes away what the run that is being made has logged: all, or the files behind those of the
/// runs before.
void container_state::undo_log(std::function<void()> f) {
  const auto serial = processes_[init].serial;
  const auto earlier = view()->earlier_log_files;
  if (!making_->fresh || !earlier) {
    remove_logs(*host, serial, std::move(f));
    return;
  }
  const auto dir = host->log_dir(serial);
  auto paths = std::make_shared<std::vector<std::string>>();
  std::vector<std::string> names;
  host->loop.sys().list(dir, names);
  for (const auto& name : names) {
    const auto end = name.ends_with(".idx") ? name.size() - 4 : name.size();
    if (io::log_file_seq(std::string_view(name).substr(0, end)) > *earlier)
      paths->push_back(dir + "/" + name);
  }
  auto op = std::make_shared<io::path_op>(host->loop);
  auto next = std::make_shared<std::function<void(int32_t)>>();
  *next = [op, paths, f = std::move(f), again = std::weak_ptr(next)](int32_t) {
    const auto keep = again.lock();
    if (paths->empty())
      return f();
    const auto path = paths->back();
    paths->pop_back();
    op->unlink(path, [keep](int32_t n) { (*keep)(n); });
  };
  host->loop.post([next] { (*next)(0); });
}

// -- adoption -----------------------------------------------------------------------------------

void container_state::adopt_checkpoint(const runtime::container_view& v) {
  journal::Checkpointing intent;
  intent.ParseFromString(v.checkpointing);
  dumping_ = std::make_unique<dumping>();
  dumping_->what = intent.what();
  dumping_->by = v.intent_by.value_or(v1::By{});
  dumping_->request_id = v.intent_request;
  dumping_->op = v.op;
  dumping_->cause = v.intent_seq;
  dumping_->timeout = io::nanoseconds{intent.timeout_ns()};
  await_orphan(v.op, init);
}

void container_state::orphan_checkpoint_ended() {
  auto& sys = host->loop.sys();
  const auto dir = dumping_->what.dir();
  if (sys.exists(last_image(dir)) == 1) {
    on_checkpointed({});
    return;
  }
  const auto& key = processes_[init].key;
  if (sys.start_ticks(key.pid) != int64_t(key.start_ticks)) {
    fail_checkpoint({ec::wrong_state, "init has ended", {}});
    return;
  }
  // Half: undone, and done once more.
  if (auto thawed = group().thaw(); !thawed)
    io::log_warn("container={}: {}", who.id, thawed.why().text());
  runtime::remove_bundle(host->loop, dir, while_here([this] { make_images(); }));
}

} // namespace gantry::actors
