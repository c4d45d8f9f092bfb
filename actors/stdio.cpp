#include "actors/stdio.hpp"

#include <cerrno>
#include <fcntl.h>

#include "actors/log_forward.hpp"
#include "actors/terminal.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "io/log_records.hpp"
#include "io/log_state.hpp"

namespace gantry::actors {

namespace {

/// How often a log that gives bytes up says so in an event.
constexpr io::nanoseconds drops_pause = std::chrono::seconds(10);

} // namespace

io::pump::events log_events(services& host, const process_names& who,
                            const v1::LogOptions& options) {
  auto blocked = [&host, who](bool is_blocked, std::string why) {
    auto r = record_for(who);
    r.mutable_log_blocked()->set_blocked(is_blocked);
    r.mutable_log_blocked()->set_message(std::move(why));
    host.ledger.record(r);
  };
  const auto serial = who.serial;
  return {.grown = [&host, serial] { host.logs.notify(serial); },
          .closed = [&host, serial](int) { host.logs.notify(serial); },
          .blocked = [blocked](const error& why) { blocked(true, why.text()); },
          .unblocked = [blocked] { blocked(false, "the log disk takes bytes again"); },
          .came =
            [&host, serial](int stream, uint64_t offset, std::span<const char> bytes) {
              host.outputs.offer(serial, stream, offset, bytes);
            },
          .rotated =
            [&host, serial, pack = options.compress()](uint64_t file) {
              host.logs.notify(serial);
              if (pack)
                host.packer.pack(host.log_dir(serial), file);
            },
          .dropped =
            [&host, who, said = io::nanoseconds{-drops_pause}](const io::log_totals& now) mutable {
              host.logs.notify(who.serial);
              if (host.loop.now() - said < drops_pause)
                return; // The exit has the number in the end.
              said = host.loop.now();
              auto r = record_for(who);
              r.mutable_log_dropped()->set_stdout_bytes(now.dropped[0]);
              r.mutable_log_dropped()->set_stderr_bytes(now.dropped[1]);
              host.ledger.record(r);
            }};
}

bool lost(const result<void>& put) { return !put && put.why().code != ec::unavailable; }

namespace {

result<io::fd> null_input(services& host) {
  auto& sys = host.loop.sys();
  const auto n = sys.open("/dev/null", O_RDONLY);
  if (n < 0)
    return from_errno(-n, "open", "/dev/null");
  return io::fd{sys, n};
}

result<std::array<io::fd, 2>> make_pipe(services& host, int ours) {
  auto& sys = host.loop.sys();
  int ends[2];
  if (const auto rc = sys.pipe(ends, ours); rc < 0)
    return from_errno(-rc, "make", "a pipe for the container's streams");
  return std::array{io::fd{sys, ends[0]}, io::fd{sys, ends[1]}};
}

} // namespace

io::log_format format_of(const v1::LogOptions& options) {
  return io::log_format_named(options.format()).value_or(io::log_format::json_file);
}

v1::LogOptions log_options_of(const runtime::container_view& c, const runtime::process_view& p) {
  v1::ContainerSpec container_spec;
  v1::ProcessSpec process_spec;
  if (p.id == runtime::init_id)
    container_spec.ParseFromString(c.spec);
  else
    process_spec.ParseFromString(p.spec);
  return p.id == runtime::init_id ? container_spec.log() : process_spec.log();
}

io::log_policy policy_of(services& host, const process_names& who,
                         const v1::LogOptions& options) {
  io::log_policy out;
  if (options.max_file_bytes() > 0)
    out.max_file_bytes = options.max_file_bytes();
  if (options.max_files() > 0)
    out.max_files = options.max_files();
  if (options.max_line_bytes() > 0)
    out.max_line_bytes = std::min(options.max_line_bytes(), out.max_line_bytes);
  out.format = format_of(options);
  out.when_full = io::log_full_named(options.when_full()).value_or(io::log_full::block);
  out.max_age = io::nanoseconds{options.max_age_ns()};
  out.pack = options.compress();
  out.rate_bytes = options.rate_bytes();
  out.burst_bytes = options.burst_bytes();
  const auto* c = host.ledger.now().find(who.container);
  if (c != nullptr && c->restarts && who.process == runtime::init_id)
    out.max_files = std::max(out.max_files, 2u); // The last words of the run before stay.
  return out;
}

journal::Record record_for(const process_names& who) {
  journal::Record r;
  r.set_namespace_(who.container.ns);
  r.set_container(who.container.id);
  r.set_instance(who.instance);
  r.set_run(who.run);
  r.set_process(who.process);
  return r;
}

result<new_streams> make_streams(services& host, const process_names& who, bool with_stdin,
                                 const v1::LogOptions& log) {
  new_streams out;
  std::array<io::fd, 2> reads;
  for (int i = 0; i < 2; ++i) {
    auto made = make_pipe(host, 0);
    if (!made)
      return std::move(made).why();
    reads[size_t(i)] = std::move((*made)[0]);
    out.theirs[size_t(i) + 1] = std::move((*made)[1]);
  }
  if (with_stdin) {
    auto made = make_pipe(host, 1);
    if (!made)
      return std::move(made).why();
    out.theirs[0] = std::move((*made)[0]);
    out.ours.stdin_pipe = std::move((*made)[1]);
    const int fds[] = {out.ours.stdin_pipe.get()};
    if (auto put = host.keeper.put({shelf_stdin, who.serial}, {}, fds); lost(put))
      return std::move(put).why();
  } else {
    auto null = null_input(host);
    if (!null)
      return std::move(null).why();
    out.theirs[0] = std::move(*null);
  }
  const int fds[] = {reads[0].get(), reads[1].get()};
  if (auto put = host.keeper.put({io::shelf_kind::stdio, who.serial}, {}, fds); lost(put))
    return std::move(put).why();
  out.ours.pump = std::make_unique<io::pump>(host.loop, host.keeper, host.blocks,
                                        policy_of(host, who, log));
  auto begun = out.ours.pump->begin(who.serial, host.log_dir(who.serial), std::move(reads),
                                    log_events(host, who, log));
  if (!begun) {
    drop_streams(host, who.serial);
    return std::move(begun).why();
  }
  log_forward::start(host, who, log);
  return out;
}

namespace {

/// The log goes on where the arena says that it stood; where the arena does not know, in a new
/// file, and what is missing is said.
std::unique_ptr<io::pump> go_on_with_log(services& host, const process_names& who,
                                         const v1::LogOptions& log, std::array<io::fd, 2> reads) {
  const auto memory = host.keeper.memory();
  auto pump = std::make_unique<io::pump>(host.loop, host.keeper, host.blocks,
                                        policy_of(host, who, log));
  const auto dir = host.log_dir(who.serial);
  log_forward::start(host, who, log);
  const auto found = io::look_at_slot(memory, who.serial);
  io::log_totals at; // What a crash kept from being packed is packed now.
  if (log.compress() && io::totals_in_arena(memory, who.serial, at))
    host.packer.pack(dir, at.file_seq);
  if (found == io::slot_state::sound) {
    auto resumed = pump->resume(who.serial, dir, std::move(reads),
                                log_events(host, who, log));
    GANTRY_CHECK(resumed.ok()); // It needs nothing but the slot.
    return pump;
  }
  io::forget_slot(memory, who.serial);
  auto begun = pump->begin(who.serial, dir, std::move(reads), log_events(host, who, log));
  auto r = record_for(who);
  r.mutable_log_gap()->set_message(
    std::string{"where the log stood "} +
    (found == io::slot_state::damaged ? "is damaged" : "is not known any more") +
    ": an unfinished line and the newest records may be missing, or be there twice; " +
    (begun ? "it goes on in a new file" : "it cannot go on: " + begun.why().text()));
  host.ledger.record(r);
  io::log_error("container={} process={}: {}", who.container.id, who.process,
                r.log_gap().message());
  return begun ? std::move(pump) : nullptr;
}

} // namespace

process_streams adopt_streams(services& host, const process_names& who,
                              const v1::LogOptions& log) {
  process_streams out;
  if (auto at = host.shelved.find(who.serial); at != host.shelved.end()) {
    auto entry = std::move(at->second);
    host.shelved.erase(at);
    if (is_terminal(entry) && !entry.fds.empty())
      return adopt_terminal(host, who, std::move(entry.fds.front()), log);
    std::array<io::fd, 2> reads;
    for (size_t i = 0; i < reads.size() && i < entry.fds.size(); ++i)
      reads[i] = std::move(entry.fds[i]);
    out.pump = go_on_with_log(host, who, log, std::move(reads));
  }
  if (auto at = host.shelved_stdin.find(who.serial); at != host.shelved_stdin.end()) {
    if (!at->second.fds.empty())
      out.stdin_pipe = std::move(at->second.fds.front());
    host.shelved_stdin.erase(at);
  }
  return out;
}

void drop_kind(services& host, uint64_t kind, uint64_t serial) {
  if (auto dropped = host.keeper.drop({kind, serial}); !dropped && host.keeper.alive())
    io::log_warn("the keeper's shelf: {}", dropped.why().text());
}

void drop_stdin(services& host, uint64_t serial) {
  drop_kind(host, shelf_stdin, serial);
}

void drop_streams(services& host, uint64_t serial) {
  drop_kind(host, io::shelf_kind::stdio, serial);
  drop_kind(host, shelf_stdin, serial);
}

namespace {

/// Unlinks the files of one log directory, one op after the other, then the directory.
class log_removal : public std::enable_shared_from_this<log_removal> {
public:
  log_removal(services& host, uint64_t serial, std::function<void()> f, io::nanoseconds not_before)
    : host_(host), not_before_(not_before), serial_(serial), dir_(host.log_dir(serial)),
      done_(std::move(f)), deadline_(host.loop.now() + host.options.reader_patience),
      op_(host.loop), wait_(host.loop) {}

  void run() {
    if (life_.expired())
      return; // The supervisor has gone meanwhile: its next life finds the files again.
    const auto now = host_.loop.now();
    if (now < not_before_ || (host_.logs.watched(serial_) && now < deadline_)) {
      // Its readers are served to the end before the files go.
      wait_.start(std::chrono::milliseconds(20), [self = shared_from_this()] { self->run(); });
      return;
    }
    host_.packer.forget(dir_);
    if (const auto at = host_.forwards.find(serial_); at != host_.forwards.end()) {
      at->second(); // Its sink took too long.
      host_.forwards.erase(at);
    }
    look();
  }

private:
  void look() {
    // One cached directory block: the ring has no operation for it.
    if (host_.loop.sys().list(dir_, names_) < 0)
      names_.clear();
    step();
  }

  void step() {
    auto next = [self = shared_from_this()](int32_t) { self->step(); };
    if (!names_.empty()) {
      auto path = dir_ + "/" + names_.back();
      names_.pop_back();
      op_.unlink(std::move(path), std::move(next));
      return;
    }
    op_.rmdir(dir_, [self = shared_from_this()](int32_t res) {
      if (res == -ENOTEMPTY && self->again_-- > 0) // Something came meanwhile.
        return self->look();
      self->done_();
    });
  }

  services& host_;
  std::weak_ptr<int> life_{host_.life};
  io::nanoseconds not_before_;
  uint64_t serial_;
  std::string dir_;
  std::vector<std::string> names_;
  std::function<void()> done_;
  io::nanoseconds deadline_;
  io::path_op op_;
  io::timer wait_;
  int again_ = 3;
};

} // namespace

void remove_logs(services& host, uint64_t serial, std::function<void()> f,
                 io::nanoseconds not_before) {
  std::make_shared<log_removal>(host, serial, std::move(f), not_before)->run();
}

} // namespace gantry::actors
