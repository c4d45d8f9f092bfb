#include "io/scheduler.hpp"

#include <caf/actor_registry.hpp>
#include <caf/message.hpp>
#include <caf/message_view.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduled_actor.hpp>

namespace gantry::io {

namespace {

/// Messages that one actor may handle before the next ready one runs.
constexpr size_t messages_per_resume = 50;

/// Resumes that `stop` still grants: actors that keep each other busy do not end by
/// themselves.
constexpr size_t last_resumes = 100'000;

/// Of an actor that is its class's: it outlives the actor.
const char* name_of(const caf::resumable& x) {
  if (x.subtype() != caf::resumable::scheduled_actor)
    return "that is none";
  return static_cast<const caf::scheduled_actor&>(x).name();
}

[[noreturn]] void surprise(const caf::scheduled_actor* self, const std::string& what) {
  std::string text = "actor \"";
  text.append(self->name()).append("\" ").append(what);
  check_failed(text.c_str(), __FILE__, __LINE__);
}

} // namespace

// -- configuration -----------------------------------------------------------------

loop_config::loop_config(loop& l) : loop_(&l) {
  set("scheduler.max-threads", size_t(1));
  set("scheduler.max-throughput", messages_per_resume);
  set("logger.verbosity", caf::atom("quiet")); // Else CAF starts a thread for its log.
  set("logger.console", caf::atom("none"));
  module_factories.emplace_back([](caf::actor_system& sys) -> caf::actor_system::module* {
    auto& self = static_cast<const loop_config&>(sys.config());
    return new loop_scheduler(sys, self.the_loop());
  });
}

bool end_actors(caf::actor_system& sys, loop& l, nanoseconds limit) {
  bool over = false;
  timer clock(l);
  clock.start(limit, [&over] { over = true; });
  while (sys.registry().running() > 0 && !over)
    l.turn(true);
  return sys.registry().running() == 0;
}

// -- clock ---------------------------------------------------------------------------

loop_clock::time_point loop_clock::now() const noexcept {
  return time_point(std::chrono::duration_cast<duration_type>(loop_.sys().monotonic()));
}

nanoseconds loop_clock::deadline() const noexcept {
  return schedule_.empty() ? nanoseconds::max() : schedule_.begin()->first.time_since_epoch();
}

void loop_clock::fire_due() {
  if (!schedule_.empty())
    trigger_expired_timeouts();
}

// -- scheduler -----------------------------------------------------------------------

loop_scheduler::loop_scheduler(caf::actor_system& sys, loop& l)
  : abstract_coordinator(sys), loop_(l), clock_(l), unit_(sys, *this),
    owner_(std::this_thread::get_id()) {}

loop_scheduler::~loop_scheduler() {
  if (hooked_)
    loop_.remove_hook(*this);
}

void loop_scheduler::enqueue(caf::resumable* what) {
  if (std::this_thread::get_id() == owner_) {
    ready_.push_back(what);
    return;
  }
  {
    std::lock_guard guard(foreign_mutex_);
    foreign_.push_back(what);
  }
  // Whoever sets the flag wakes the loop; the others find it awake or being woken.
  if (!has_foreign_.exchange(true, std::memory_order_acq_rel))
    loop_.sys().wake();
}

void loop_scheduler::start() {
  // Not the base class's: it would spawn the printer.
  system_.await_actors_before_shutdown(false);
  loop_.add_hook(*this);
  hooked_ = true;
}

void loop_scheduler::stop() {
  for (size_t n = 0; n < last_resumes && run_one() != nullptr; ++n) {
  }
  take_foreign();
  while (!ready_.empty()) {
    auto* what = ready_.front();
    ready_.pop_front();
    cleanup_and_release(what);
  }
  clock_.cancel_all();
  if (hooked_)
    loop_.remove_hook(*this);
  hooked_ = false;
}

void loop_scheduler::run_some() {
  clock_.fire_due();
  // Bounded by number and, as one resume may handle many messages, by time.
  const auto enough = loop_.did("clock", "of the actors") + loop_.policy().slow_turn / 4;
  size_t n = 0;
  while (n < loop_.policy().max_actor_resumes) {
    const char* name = run_one();
    if (name == nullptr)
      break;
    ++n;
    if (loop_.did("actor", name) >= enough)
      break;
  }
  loop_.count_resumes(n);
}

bool loop_scheduler::ready() const noexcept {
  return !ready_.empty() || has_foreign_.load(std::memory_order_acquire);
}

nanoseconds loop_scheduler::deadline() const noexcept { return clock_.deadline(); }

void loop_scheduler::take_foreign() {
  if (!has_foreign_.exchange(false, std::memory_order_acq_rel))
    return;
  std::lock_guard guard(foreign_mutex_);
  ready_.insert(ready_.end(), foreign_.begin(), foreign_.end());
  foreign_.clear();
}

/// The name of whom it was; null where nobody was ready.
const char* loop_scheduler::run_one() {
  if (has_foreign_.load(std::memory_order_relaxed))
    take_foreign();
  if (ready_.empty())
    return nullptr;
  auto* what = ready_.front();
  ready_.pop_front();
  const char* name = name_of(*what); // It may be gone behind this.
  switch (what->resume(&unit_, max_throughput())) {
  case caf::resumable::resume_later:
    ready_.push_back(what);
    break;
  case caf::resumable::awaiting_message:
  case caf::resumable::done:
  case caf::resumable::shutdown_execution_unit: // Only CAF's own workers are sent that.
    caf::intrusive_ptr_release(what);
    break;
  }
  return name;
}

// -- defaults of actors ----------------------------------------------------------------

void abort_on_surprise(caf::scheduled_actor& self) {
  self.set_default_handler(
    [](caf::scheduled_actor* who, caf::message_view& x) -> caf::result<caf::message> {
      surprise(who,
               "got an unexpected message: " + caf::to_string(x.move_content_to_message()));
    });
  self.set_exception_handler([](caf::scheduled_actor* who, std::exception_ptr& x) -> caf::error {
    try {
      std::rethrow_exception(x);
    } catch (const std::exception& e) {
      surprise(who, std::string("threw an exception: ") + e.what());
    } catch (...) {
      surprise(who, "threw an exception that is none");
    }
  });
  self.set_error_handler([](caf::scheduled_actor* who, caf::error& x) {
    surprise(who, "got an error that nobody handles: " + who->home_system().render(x));
  });
}

} // namespace gantry::io
