#include "actors/fifos.hpp"

#include <cerrno>
#include <fcntl.h>

#include "io/file_ops.hpp"

namespace gantry::actors {

namespace {

/// What is wrong with a client's FIFO, in words.
error refusal(int err, const std::string& path) {
  const auto thing = "the FIFO " + path;
  switch (err) {
    case ELOOP:
      return {ec::invalid_argument, thing + ": a symbolic link stands there",
              "name the FIFO itself"};
    case ENOTSUP:
      return {ec::invalid_argument, thing + ": what stands there is no FIFO",
              "remove it, or name another path: one that is not there is made"};
    case EPERM:
    case EACCES:
      return {ec::permission_denied, thing + ": it belongs to somebody else",
              "name a FIFO of your own"};
    case EBUSY:
      return {ec::wrong_state, thing + ": another process has locked it",
              "each stream needs a FIFO of its own"};
    default:
      return from_errno(err, "open the FIFO", path);
  }
}

/// Opens the FIFOs one after the other. The directory through the ring: it may lie anywhere.
class opening : public std::enable_shared_from_this<opening> {
public:
  opening(services& host, uint64_t serial, const v1::Fifos& named, uint32_t owner,
          std::function<void(result<void>)> f)
    : host_(host), serial_(serial), owner_(owner), done_(std::move(f)), op_(host.loop),
      paths_{named.stdin_path(), named.stdout_path(), named.stderr_path()} {}

  void next() {
    while (at_ < paths_.size() && paths_[at_].empty())
      ++at_;
    if (at_ == paths_.size())
      return finish();
    const auto& path = paths_[at_];
    const auto slash = path.rfind('/');
    const auto dir = slash == 0 ? std::string("/") : path.substr(0, slash);
    op_.start(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0, false,
              [self = shared_from_this()](int32_t n) { self->opened_dir(n); });
  }

private:
  void opened_dir(int32_t n) {
    if (n < 0)
      return fail(from_errno(-n, "open the directory of the FIFO", paths_[at_]));
    auto& sys = host_.loop.sys();
    const io::fd dir{sys, n};
    const auto name = paths_[at_].substr(paths_[at_].rfind('/') + 1);
    const int fifo = sys.open_fifo(dir.get(), name, owner_);
    if (fifo < 0)
      return fail(refusal(-fifo, paths_[at_]));
    fifos_[at_++] = io::fd{sys, fifo};
    next();
  }

  void finish() {
    io::shelf_entry entry{.key = {shelf_fifos, serial_}, .note = {}, .fds = {}};
    std::vector<int> numbers;
    for (size_t i = 0; i < fifos_.size(); ++i)
      if (fifos_[i]) {
        entry.note[i] = 1;
        numbers.push_back(fifos_[i].get());
        entry.fds.push_back(std::move(fifos_[i]));
      }
    if (auto put = host_.keeper.put(entry.key, entry.note, numbers); lost(put))
      return fail(std::move(put).why());
    host_.shelved_fifos[serial_] = std::move(entry);
    done_({});
  }

  void fail(error why) { done_(std::move(why)); }

  services& host_;
  uint64_t serial_;
  uint32_t owner_;
  std::function<void(result<void>)> done_;
  io::open_op op_;
  std::array<std::string, 3> paths_;
  fifo_set fifos_;
  size_t at_ = 0;
};

} // namespace

void open_fifos(services& host, uint64_t serial, const v1::Fifos& named, uint32_t owner,
                std::function<void(result<void>)> f) {
  const bool none = named.stdin_path().empty() && named.stdout_path().empty()
                    && named.stderr_path().empty();
  if (none || host.shelved_fifos.contains(serial)) {
    f({});
    return;
  }
  std::make_shared<opening>(host, serial, named, owner, std::move(f))->next();
}

fifo_set take_fifos(services& host, uint64_t serial) {
  fifo_set out;
  const auto at = host.shelved_fifos.find(serial);
  if (at == host.shelved_fifos.end())
    return out;
  size_t next = 0;
  for (size_t i = 0; i < out.size(); ++i)
    if (at->second.note[i] != 0 && next < at->second.fds.size())
      out[i] = std::move(at->second.fds[next++]);
  host.shelved_fifos.erase(at);
  return out;
}

void forget_fifos(services& host, uint64_t serial) {
  if (host.shelved_fifos.erase(serial) > 0)
    drop_kind(host, shelf_fifos, serial);
}

} // namespace gantry::actors
