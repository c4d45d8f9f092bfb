// The direct calls on paths: procfs, cgroupfs, tmpfs and what else is opened to be kept.

#include <charconv>
#include <cstring>
#include <fcntl.h>

#include "tests/sim/sim_kernel.hpp"

namespace gantry::sim {

bool virtual_path(const std::string& path) {
  return cgroup_tree::owns(path) || machine::in_proc(path);
}

open_file::open_file(machine& m, std::string p, node_ptr n, int f)
  : host(m), path(std::move(p)), file(std::move(n)), flags(f) {
  if (!file && cgroup_tree::owns(path))
    group_ = m.groups.group_of_file(path);
  if (group_)
    seen_ = group_->version;
}

uint32_t open_file::ready() const {
  if (group_ && (group_->removed || group_->version != seen_))
    return POLLIN | POLLOUT | POLLPRI | POLLERR;
  return POLLIN | POLLOUT;
}

ssize_t open_file::pread(std::span<char> into, uint64_t offset) {
  if ((flags & O_ACCMODE) == O_WRONLY)
    return -EBADF;
  std::string text;
  std::string_view all;
  if (file) {
    if (file->dir)
      return -EISDIR;
    all = file->bytes;
  } else {
    if (group_ && group_->removed)
      return -ENODEV;
    if (group_)
      seen_ = group_->version;
    if (int rc = host.read_file(path, text); rc < 0)
      return rc;
    all = text;
  }
  if (offset >= all.size())
    return 0;
  const size_t n = std::min<size_t>(into.size(), all.size() - offset);
  std::memcpy(into.data(), all.data() + offset, n);
  return ssize_t(n);
}

int incarnation::read_small(const std::string& path, std::string& out, size_t limit) {
  if (!step())
    return -ECANCELED;
  std::string text;
  if (path == "/proc/self/status")
    text = "Pid:\t" + std::to_string(self_->pid) + "\nPPid:\t" +
           std::to_string(host_.keeper_process()->pid) + "\n";
  else if (int rc = host_.read_file(path, text); rc < 0)
    return rc;
  if (text.size() > limit)
    return -EFBIG;
  if (host_.options.faults.in_exec > 0 && path.ends_with("/environ") &&
      fault(host_.options.faults.in_exec))
    text.clear();
  out = std::move(text);
  return 0;
}

int incarnation::write_small(const std::string& path, std::string_view bytes) {
  if (!step())
    return -ECANCELED;
  if (path.ends_with("/cgroup.event_control") && cgroup_tree::owns(path)) {
    int counter = -1;
    std::from_chars(bytes.data(), bytes.data() + bytes.size(), counter);
    auto e = typed<event_counter>(counter);
    auto g = host_.groups.group_of_file(path);
    if (!g)
      return -ENOENT;
    if (!e)
      return -EBADF;
    g->oom_listeners.push_back(e);
    return 0;
  }
  if (cgroup_tree::owns(path))
    return host_.groups.write(path, bytes);
  node_ptr n;
  if (int rc = host_.files.open(path, O_WRONLY, 0, n); rc < 0)
    return rc;
  return int(std::min<ssize_t>(0, host_.files.write_at(*n, bytes, 0)));
}

int incarnation::create_small(const std::string& path, std::string_view bytes, mode_t mode) {
  if (!step())
    return -ECANCELED;
  if (virtual_path(path))
    return -EACCES;
  node_ptr n;
  if (int rc = host_.files.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode, n); rc < 0)
    return rc;
  return int(std::min<ssize_t>(0, host_.files.write_at(*n, bytes, 0)));
}

int incarnation::mkdir(const std::string& path, mode_t mode) {
  if (!step())
    return -ECANCELED;
  return cgroup_tree::owns(path) ? host_.groups.mkdir(path) : host_.files.mkdir(path, mode);
}

int incarnation::rmdir(const std::string& path) {
  if (!step())
    return -ECANCELED;
  return cgroup_tree::owns(path) ? host_.groups.rmdir(path) : host_.files.rmdir(path);
}

int incarnation::unlink(const std::string& path) {
  if (!step())
    return -ECANCELED;
  return virtual_path(path) ? -EPERM : host_.files.unlink(path);
}

int incarnation::rename(const std::string& from, const std::string& to) {
  if (!step())
    return -ECANCELED;
  return virtual_path(from) ? -EPERM : host_.files.rename(from, to);
}

int incarnation::exists(const std::string& path) {
  if (!step())
    return -ECANCELED;
  return host_.exists(path) ? 1 : 0;
}

int incarnation::list(const std::string& path, std::vector<std::string>& out) {
  if (!step())
    return -ECANCELED;
  out.clear();
  if (path == "/proc/self/fd") {
    for (size_t i = 0; i < fds_.size(); ++i)
      if (i < 3 || fds_[i])
        out.push_back(std::to_string(i));
    return 0;
  }
  return host_.list(path, out);
}

namespace {

/// An open /dev/kmsg, from its first record on.
class kernel_log_file final : public description {
public:
  explicit kernel_log_file(const machine& m) : host_(m) {}
  ssize_t read(std::span<char> into) override {
    if (at_ == host_.kernel_log.size())
      return -EAGAIN;
    const auto& record = host_.kernel_log[at_];
    if (record.size() > into.size())
      return -EINVAL;
    ++at_;
    std::memcpy(into.data(), record.data(), record.size());
    return ssize_t(record.size());
  }

private:
  const machine& host_;
  size_t at_ = 0;
};

} // namespace

int incarnation::open_at(const std::string& path, int flags, mode_t mode, bool disk) {
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  if (path == "/dev/null")
    return install(std::make_shared<description>());
  if (path == "/dev/kmsg" && host_.options.kernel_log)
    return install(std::make_shared<kernel_log_file>(host_));
  if (virtual_path(path)) {
    if (!host_.exists(path))
      return -ENOENT;
    return install(std::make_shared<open_file>(host_, path, nullptr, flags));
  }
  node_ptr n;
  const bool fresh = (flags & O_CREAT) && !host_.files.exists(path);
  if (disk && fresh && fault(host_.options.faults.no_space))
    return -ENOSPC;
  if (int rc = host_.files.open(path, flags, mode, n); rc < 0)
    return rc;
  return install(std::make_shared<open_file>(host_, normal_path(path), n, flags));
}

int incarnation::open(const std::string& path, int flags, mode_t mode) {
  if (!step())
    return -ECANCELED;
  return open_at(path, flags, mode, false);
}

ssize_t incarnation::pread(int fd, std::span<char> into, uint64_t offset) {
  if (!step())
    return -ECANCELED;
  auto file = typed<open_file>(fd);
  return file ? file->pread(into, offset) : get(fd) ? -ESPIPE : -EBADF;
}

} // namespace gantry::sim
