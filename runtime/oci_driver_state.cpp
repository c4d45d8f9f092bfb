#include <algorithm>
#include <cerrno>

#include "runtime/oci_driver.hpp"

// The commands that need no container stdio: delete, update, version.

namespace gantry::runtime {

namespace {

constexpr auto last_retry = std::chrono::milliseconds(640);

} // namespace

void oci_driver::make_notes() {
  if (has_notes_)
    return;
  loop_.sys().mkdir(notes_, 0700);
  has_notes_ = true;
}

void oci_driver::remove(const std::string& runtime, const std::string& id, bool force, uint64_t op,
                    plain_answer answer) {
  make_notes();
  auto r = std::make_shared<removal>();
  r->runtime = runtime;
  r->id = id;
  r->force = force;
  r->op = op;
  r->until = loop_.sys().monotonic() + policy_.delete_deadline;
  r->f = std::move(answer);
  try_remove(std::move(r));
}

void oci_driver::try_remove(std::shared_ptr<removal> r) {
  auto x = call("delete", r->runtime, r->id, notes_ + "/" + r->id + ".delete.log",
                policy_.delete_deadline, r->op);
  if (r->force)
    x.argv.emplace_back("--force");
  x.argv.push_back(r->id);
  auto f = std::shared_ptr<plain_answer>(r, &r->f);
  run(x, f, [weak = weak_from_this(), x, r](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    if (!why || why->code == ec::not_found) {
      self->parent_left(r->id);
      return r->f({});
    }
    // No process or descriptor to be had now: a removal that gives up leaves everything behind.
    const bool scarce = end.spawn_error == EAGAIN || end.spawn_error == EMFILE
                        || end.spawn_error == ENFILE || end.spawn_error == ENOMEM;
    const bool torn = end.status.signal != 0; // Somebody ended the runtime in the middle.
    bool again = !end.overdue && (scarce || torn || is_not_stopped_yet(*why))
                 && self->loop_.sys().monotonic() + r->pause < r->until;
    if (!again)
      return r->f(*std::move(why));
    auto pause = std::exchange(r->pause, std::min<io::nanoseconds>(2 * r->pause, last_retry));
    self->later(pause, [driver = self.get(), r] { driver->try_remove(r); });
  });
}

void oci_driver::update(const std::string& runtime, const std::string& id,
                    const std::string& resources, uint64_t op, plain_answer answer) {
  make_notes();
  auto f = std::make_shared<plain_answer>(std::move(answer));
  // A file, not "-": crun opens /dev/stdin for that, which must exist.
  auto file = notes_ + "/" + id + "." + std::to_string(op) + ".update.json";
  int rc = loop_.sys().create_small(file, resources, 0600);
  if (rc < 0) {
    loop_.post([f, why = from_errno(-rc, "write", file)] { (*f)(why); });
    return;
  }
  auto x = call("update", runtime, id, file + ".log", policy_.update_deadline, op);
  for (const auto& word : {std::string("--resources"), file, id})
    x.argv.push_back(word);
  auto answered = std::make_shared<plain_answer>(
    [weak = weak_from_this(), f, file](result<void> r) {
      if (auto self = weak.lock())
        self->unlink(file);
      (*f)(std::move(r));
    });
  run(x, answered, [weak = weak_from_this(), x, answered](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    auto why = self->failure(x, end);
    self->unlink(x.log);
    self->commands_.settled(end);
    why ? (*answered)(*std::move(why)) : (*answered)({});
  });
}

void oci_driver::version(const std::string& runtime, std::function<void(result<std::string>)> f) {
  using answer_t = std::function<void(result<std::string>)>;
  auto answer = std::make_shared<answer_t>(std::move(f));
  if (auto known = versions_.find(runtime); known != versions_.end()) {
    loop_.post([answer, text = known->second] { (*answer)(text); });
    return;
  }
  oci_call x;
  x.step = "version";
  x.runtime = runtime;
  x.argv = {runtime, "--version"};
  x.keep_output = true;
  x.deadline = policy_.start_deadline;
  run(x, answer, [weak = weak_from_this(), x, answer](oci_end end) {
    auto self = weak.lock();
    if (!self)
      return;
    self->commands_.settled(end);
    auto line = end.output.substr(0, end.output.find('\n'));
    if (end.fine() && !line.empty()) {
      self->versions_[x.runtime] = line;
      return (*answer)(std::move(line));
    }
    self->commands_.count_failure();
    (*answer)(error{ec::runtime_missing,
                    "the runtime " + x.runtime + " does not tell its version",
                    "install it (apt-get install runc), or name another with --runtime"});
  });
}

} // namespace gantry::runtime
