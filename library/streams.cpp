#include "library/streams.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "library/convert.hpp"
#include "messages/check.hpp"

namespace gantry {

io_bundle::io_bundle(io_bundle&& other) noexcept
  : terminal_(other.terminal_), shared_(std::move(other.shared_)) {
  for (size_t i = 0; i < 3; ++i)
    fds_[i] = std::exchange(other.fds_[i], -1);
}

io_bundle& io_bundle::operator=(io_bundle&& other) noexcept {
  if (this == &other)
    return *this;
  (void)close();
  for (size_t i = 0; i < 3; ++i)
    fds_[i] = std::exchange(other.fds_[i], -1);
  terminal_ = other.terminal_;
  shared_ = std::move(other.shared_);
  return *this;
}

io_bundle::~io_bundle() { (void)close(); }

result<void> io_bundle::close_in() {
  const int in = release_in();
  if (in >= 0 && ::close(in) != 0)
    return from_errno(errno, "close", "the stream of stdin");
  return {};
}

result<void> io_bundle::close() {
  auto first = close_in();
  for (const int number : {release_out(), release_err()})
    if (number >= 0 && ::close(number) != 0 && first)
      first = from_errno(errno, "close", "a stream of output");
  return first;
}

result<void> io_bundle::trouble() const {
  if (!shared_)
    return {};
  std::lock_guard guard(shared_->mutex);
  if (shared_->trouble)
    return *shared_->trouble;
  return {};
}

namespace library {

result<void> make_pipe(int (&ends)[2], int ours) {
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return from_errno(errno, "make", "a pipe for a stream");
  GANTRY_CHECK(::fcntl(ends[ours], F_SETFL, O_NONBLOCK) == 0);
  return {};
}

namespace {

/// The streams of one process that were asked for, being put together.
struct opening {
  std::shared_ptr<site> at;
  io_options what;
  v1::Ref ref;
  io_bundle bundle;

  result<void> find(const v1::ContainerDetail& x);
  result<void> open_output(size_t which);
  result<void> open_input();
};

result<void> opening::find(const v1::ContainerDetail& x) {
  const auto process = what.process.empty() ? std::string{"init"} : what.process;
  if (what.instance == 0)
    what.instance = x.summary().instance();
  for (const auto& p : x.processes()) {
    if (p.id() != process)
      continue;
    const bool terminal = process == "init" ? x.spec().terminal() : p.spec().terminal();
    stream_access::terminal(bundle, terminal);
    what.process = process;
    what.err = what.err && !terminal;
    return {};
  }
  return error{ec::not_found,
               "container \"" + what.ref.id + "\" has no process \"" + process + "\"",
               "inspect lists them"};
}

result<void> opening::open_output(size_t which) {
  v1::ReadLogRequest req;
  *req.mutable_ref() = ref;
  req.set_process(what.process);
  req.set_instance(what.instance);
  req.set_follow(what.follow);
  req.set_tail(what.tail);
  req.set_since_ns(what.since.time_since_epoch().count());
  req.set_until_ns(what.until.time_since_epoch().count());
  req.set_grep(what.grep);
  req.set_stream(uint32_t(which));
  auto from = at->way()->read_log(std::move(req));
  if (!from)
    return std::move(from).why();
  int ends[2];
  if (auto made = make_pipe(ends, 1); !made)
    return made;
  stream_access::fd(bundle, which) = ends[0];
  auto pump = std::make_shared<output_pump>(at, stream_access::shared(bundle), ends[1],
                                            uint32_t(which));
  pump->begin(std::move(*from));
  return {};
}

result<void> opening::open_input() {
  int ends[2];
  if (auto made = make_pipe(ends, 0); !made)
    return made;
  stream_access::fd(bundle, 0) = ends[1];
  std::make_shared<input_pump>(at, stream_access::shared(bundle), ends[0], ref, what.process)
    ->begin();
  return {};
}

} // namespace

void open_streams(const std::shared_ptr<site>& at, const io_options& what,
                  callback<io_bundle> f) {
  auto job = std::make_shared<opening>();
  job->at = at;
  job->what = what;
  job->ref = to_bus(what.ref);
  stream_access::shared(job->bundle) = std::make_shared<io_bundle::shared>();
  v1::InspectRequest req;
  *req.mutable_ref() = job->ref;
  at->ask<v1::ContainerDetail>(req, [job, f = std::move(f)](result<v1::ContainerDetail> x) {
    result<void> fine = x ? job->find(*x) : result<void>{x.why()};
    if (fine && job->at->way() == nullptr)
      fine = site::ended();
    if (fine && job->what.out)
      fine = job->open_output(1);
    if (fine && job->what.err)
      fine = job->open_output(2);
    if (fine && job->what.in)
      fine = job->open_input();
    // A bundle that goes away with an error closes its ends: its pumps notice and end.
    if (fine)
      call_out(f, std::move(job->bundle));
    else
      call_out(f, fine.why());
  });
}

} // namespace library

} // namespace gantry
