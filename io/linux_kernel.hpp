#pragma once

#include <deque>
#include <liburing.h>
#include <memory>
#include <sys/resource.h>

#include "io/kernel.hpp"
#include "io/probe.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// Sizes of the ring: policy, plain data.
struct ring_policy {
  unsigned sq_entries = 256;      ///< Requests handed over at once; more go in several calls.
  unsigned cq_entries = 4096;     ///< Completions that wait; more are kept by the kernel.
  unsigned bounded_workers = 4;   ///< io-wq threads for regular files.
  unsigned unbounded_workers = 8; ///< io-wq threads for everything else.
};

class spawner;

/// The real kernel, over io_uring (Linux 6.1) and plain system calls. Belongs to the thread
/// that made it: only `wake` may come from elsewhere, or from a signal handler.
///
/// Cost of a turn: at most one io_uring_enter, and none when it need not wait, nothing is
/// queued, and the kernel has not flagged (IORING_SETUP_TASKRUN_FLAG) that something is done.
class linux_kernel final : public kernel {
public:
  /// Makes the ring and asks the kernel for all it needs. `ec::unsupported` names the cause
  /// and the cure.
  static result<std::unique_ptr<linux_kernel>> make(ring_policy policy = {});

  /// No op may be in flight.
  ~linux_kernel() override;
  linux_kernel(const linux_kernel&) = delete;
  linux_kernel& operator=(const linux_kernel&) = delete;

  /// RLIMIT_NOFILE of every child from now on; without this call, our own.
  void limit_children(const rlimit& files);

  [[nodiscard]] kernel_version version() const noexcept { return version_; }

  // kernel: requests
  void submit(op& x) override;
  void cancel(op& x) override;
  void turn(nanoseconds deadline, std::vector<completion>& out) override;
  void wake() noexcept override;

  // kernel: time
  [[nodiscard]] nanoseconds monotonic() const noexcept override;
  [[nodiscard]] nanoseconds realtime() const noexcept override;

  // kernel: descriptors
  int close(int fd) override;
  int pipe(int (&out)[2], int ours) override;
  int set_pipe_size(int fd, int bytes) override;
  int readable(int fd) override;
  ssize_t read(int fd, std::span<char> into) override;
  ssize_t write(int fd, std::span<const char> from) override;
  ssize_t tee(int from, int to, size_t bytes) override;
  ssize_t splice(int from, int to, size_t bytes) override;
  int eventfd() override;

  // kernel: terminals
  int dup(int fd) override;
  int listen(const std::string& path) override;
  int take_descriptor(int listener) override;
  int open_fifo(int dir, const std::string& name, uint32_t owner) override;
  int terminal_readable(int fd) override;
  int set_terminal_size(int fd, uint16_t width, uint16_t height) override;

  // kernel: sockets
  int socket(int family) override;
  int socket_near(int pidfd, int family, errand what) override;
  int datagram_inbox(const std::string& dir, const std::string& name) override;
  ssize_t take_datagram(int fd, std::span<char> into, datagram_note& note) override;

  // kernel: processes
  int spawn(const spawn_request& what, child& out) override;
  int reap(int pidfd, exit_status& out) override;
  int pidfd_open(pid_t pid) override;
  int pidfd_signal(int pidfd, int sig) override;
  int pidfd_status(int pidfd, exit_status& out) override;
  int64_t start_ticks(pid_t pid) override;

  // kernel: small files
  int read_small(const std::string& path, std::string& out, size_t limit) override;
  int write_small(const std::string& path, std::string_view bytes) override;
  int create_small(const std::string& path, std::string_view bytes, mode_t mode) override;
  int mkdir(const std::string& path, mode_t mode) override;
  int rmdir(const std::string& path) override;
  int unlink(const std::string& path) override;
  int rename(const std::string& from, const std::string& to) override;
  int exists(const std::string& path) override;
  int list(const std::string& path, std::vector<std::string>& out) override;
  int open(const std::string& path, int flags, mode_t mode) override;
  ssize_t pread(int fd, std::span<char> into, uint64_t offset) override;

private:
  /// A request that found no room in the submission queue.
  struct waiting {
    op* what;
    bool is_cancel;
  };

  linux_kernel();
  result<void> open_ring(const ring_policy& policy);
  io_uring_sqe* free_entry();
  bool enqueue(const waiting& x);
  void enqueue_waiting();
  void arm_wake();
  void enter(nanoseconds deadline);
  bool must_enter() const noexcept;
  void collect(std::vector<completion>& out);

  io_uring ring_{};
  bool ring_made_ = false;
  int wake_fd_ = -1;
  bool wake_armed_ = false;
  int own_network_ = -1; ///< Our way back, once we have been in another network namespace.
  kernel_version version_;
  std::deque<waiting> waiting_;
  std::vector<op*> cancelled_early_; ///< Cancelled before the kernel ever saw them.
  size_t in_kernel_ = 0;             ///< Ops submitted and not collected.
  std::unique_ptr<spawner> spawner_;
};

} // namespace gantry::io
