#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "io/op.hpp"

namespace gantry::io {

using nanoseconds = std::chrono::nanoseconds;

/// A finished request, as the kernel hands it back.
struct completion {
  op* what = nullptr;
  int32_t res = 0;
  uint32_t flags = 0;
};

/// What `kernel::spawn` needs. Everything not named here is what a fresh process has:
/// default signal dispositions, an empty mask, no other descriptor.
struct spawn_request {
  std::string path;                     ///< Absolute path of the program.
  std::vector<std::string> argv;        ///< With argv[0].
  std::vector<std::string> env;         ///< The whole environment, KEY=VALUE.
  std::string workdir = "/";            ///< Where it starts.
  std::vector<std::pair<int, int>> fds; ///< {ours, theirs}: 0, 1 and 2 must be given.
};

/// A child of ours: reaped by `kernel::reap`, known by its pidfd.
struct child {
  pid_t pid = -1;
  int pidfd = -1; ///< Owned by whoever holds the child; close with `kernel::close`.
};

/// How a process ended.
struct exit_status {
  bool known = false; ///< False where nobody could tell the status.
  int code = 0;       ///< Exit code; 0 when a signal ended it.
  int signal = 0;     ///< 0 when it exited by itself.
  bool core = false;  ///< A core was dumped.
  /// Peak resident memory of the process, or of the largest that it waited for; 0: unknown.
  uint64_t max_rss_bytes = 0;

  /// From the raw status of waitpid(2).
  static exit_status from_wait(int status) noexcept;
};

/// What a socket is wanted for.
enum class errand : uint8_t {
  knock, ///< To see whether somebody takes connections: the server learns nothing of it.
  talk,
};

/// What is known of a datagram beside its bytes.
struct datagram_note {
  pid_t pid = 0;    ///< Of the sender, who may have ended; 0: it cannot be seen from here.
  bool cut = false; ///< It was longer than the room for it.
};

/// The one door to the operating system. Behind it stand the real kernel
/// (`linux_kernel`, over io_uring) and the simulated one (tests/sim). Every call that
/// returns int or ssize_t answers a negated errno for a failure. One thread, but for
/// `wake`. None of these calls waits for anything but memory, except `turn`; calls named
/// "small file" are for tmpfs, procfs and cgroupfs only: regular files on a disk go
/// through ops.
class kernel {
public:
  virtual ~kernel() = default;

  // -- requests ----------------------------------------------------------------

  /// Queues `x`; the kernel sees it at the next `turn` at the latest.
  virtual void submit(op& x) = 0;

  /// Asks for an early end: `x` completes with -ECANCELED, or with its own result if
  /// that came first. Harmless on an op at rest.
  virtual void cancel(op& x) = 0;

  /// Hands over what was queued, waits until something is done or `deadline` (monotonic)
  /// has come, and appends what is done. A deadline in the past does not wait;
  /// `nanoseconds::max()` waits without end. May return with nothing done (a signal, a
  /// wake). The ops stay in flight until the loop enters `complete`: one that is done but
  /// waits for its turn cannot be destroyed by the callback of another.
  virtual void turn(nanoseconds deadline, std::vector<completion>& out) = 0;

  /// Ends a waiting `turn` early. Thread-safe, async-signal-safe.
  virtual void wake() noexcept = 0;

  // -- time ----------------------------------------------------------------------

  [[nodiscard]] virtual nanoseconds monotonic() const noexcept = 0; ///< CLOCK_MONOTONIC.
  [[nodiscard]] virtual nanoseconds realtime() const noexcept = 0;  ///< Since 1970, UTC.

  // -- descriptors (always close-on-exec, pipes always O_NONBLOCK for us) ----------

  virtual int close(int fd) = 0;
  /// A pipe: out[0] for reading, out[1] for writing. Only the end named by `ours`
  /// (0 read, 1 write, 2 both) is O_NONBLOCK; the other is what a container gets.
  virtual int pipe(int (&out)[2], int ours) = 0;
  virtual int set_pipe_size(int fd, int bytes) = 0; ///< F_SETPIPE_SZ; the new size.
  virtual int readable(int fd) = 0;                 ///< FIONREAD.
  virtual ssize_t read(int fd, std::span<char> into) = 0;         ///< On a pipe or socket.
  virtual ssize_t write(int fd, std::span<const char> from) = 0;  ///< On a pipe or socket.
  virtual ssize_t tee(int from, int to, size_t bytes) = 0;        ///< tee(2), SPLICE_F_NONBLOCK.
  /// splice(2) from pipe to pipe, SPLICE_F_NONBLOCK: the bytes leave the one and are in the other.
  virtual ssize_t splice(int from, int to, size_t bytes) = 0;
  virtual int eventfd() = 0;                                      ///< Non-blocking, counter 0.

  // -- terminals and clients' FIFOs (-ENOSYS where the kernel has none) ----------------

  virtual int dup(int fd); ///< Another number for the same file, close-on-exec.
  /// A listening unix socket at `path`, in the place of what was there.
  virtual int listen(const std::string& path);
  /// The descriptor that a peer of `listener` has sent (SCM_RIGHTS), made O_NONBLOCK; -EAGAIN
  /// if none has come. A peer that sent nothing is passed over.
  virtual int take_descriptor(int listener);
  /// A client's FIFO `name` in the directory `dir`, read and write, O_NONBLOCK, locked; one
  /// that is not there is made, 0600, for `owner`. -ELOOP: a symbolic link; -ENOTSUP: no FIFO;
  /// -EPERM: neither the owner's nor root's; -EBUSY: somebody else has locked it.
  virtual int open_fifo(int dir, const std::string& name, uint32_t owner);
  /// Bytes that the master of a terminal can give now; -EIO when the last slave was closed
  /// and nothing is left. Takes nothing.
  virtual int terminal_readable(int fd);
  virtual int set_terminal_size(int fd, uint16_t width, uint16_t height); ///< TIOCSWINSZ.

  // -- sockets (-ENOSYS where the kernel has none) -----------------------------------

  /// A stream socket for the ops; it waits in the ring, never in a call.
  virtual int socket(int family);
  /// The same in the network namespace of the process behind `pidfd`: it stays there, and so
  /// does what is done with it. Who comes for `knock` must close it as soon as it is connected,
  /// who comes for `talk` speaks first. -ESRCH: the process has ended; -EPERM: we may not go there.
  virtual int socket_near(int pidfd, int family, errand what);
  /// A unix datagram socket `name` in `dir`, in the place of what was there, O_NONBLOCK; the
  /// directory is made where it is missing. Whoever can reach it may pass through and write to
  /// it, and each datagram tells who did (SO_PASSCRED).
  virtual int datagram_inbox(const std::string& dir, const std::string& name);
  /// The datagram in front of such a socket, which stays there until `read` takes it away; -EAGAIN
  /// if there is none. Descriptors that were sent with it never take a number of ours.
  virtual ssize_t take_datagram(int fd, std::span<char> into, datagram_note& note);

  // -- processes -----------------------------------------------------------------

  /// Starts a child of ours without waiting for its exec. If the program cannot be
  /// executed the child ends with code 127 (not found) or 126 (anything else), and with 125
  /// where it found no room for its descriptors.
  virtual int spawn(const spawn_request& what, child& out) = 0;
  /// The status of an ended child of ours, which is gone afterwards; -EAGAIN while alive,
  /// -ECHILD if it is not ours.
  virtual int reap(int pidfd, exit_status& out) = 0;
  virtual int pidfd_open(pid_t pid) = 0;
  virtual int pidfd_signal(int pidfd, int sig) = 0;
  /// The status of somebody else's reaped child (PIDFD_GET_INFO, kernel 6.15);
  /// -ENOTTY where the kernel cannot, -EAGAIN where it is not reaped yet.
  virtual int pidfd_status(int pidfd, exit_status& out) = 0;
  /// Start time in clock ticks since boot (field 22 of /proc/PID/stat), or -ESRCH.
  virtual int64_t start_ticks(pid_t pid) = 0;

  // -- small files (tmpfs, procfs, cgroupfs) ----------------------------------------

  /// Whole content, at most `limit` bytes; -EFBIG above.
  virtual int read_small(const std::string& path, std::string& out, size_t limit = 65536) = 0;
  /// Existing file, no O_CREAT, one write(2): what cgroupfs wants.
  virtual int write_small(const std::string& path, std::string_view bytes) = 0;
  /// O_CREAT|O_TRUNC, then written whole.
  virtual int create_small(const std::string& path, std::string_view bytes, mode_t mode) = 0;
  virtual int mkdir(const std::string& path, mode_t mode) = 0;
  virtual int rmdir(const std::string& path) = 0;
  virtual int unlink(const std::string& path) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int exists(const std::string& path) = 0; ///< 1, 0 or an error.
  /// Names in a directory, without . and .., files and directories alike.
  virtual int list(const std::string& path, std::vector<std::string>& out) = 0;
  /// Opens a small file or directory to watch or keep it (flags as open(2), O_CLOEXEC added).
  virtual int open(const std::string& path, int flags, mode_t mode = 0) = 0;
  virtual ssize_t pread(int fd, std::span<char> into, uint64_t offset) = 0;
};

/// A descriptor that closes itself. Movable; knows the kernel that it came from.
class fd {
public:
  fd() = default;
  fd(kernel& k, int number) noexcept : kernel_(&k), number_(number) {}
  fd(fd&& other) noexcept : kernel_(other.kernel_), number_(std::exchange(other.number_, -1)) {}
  fd& operator=(fd&& other) noexcept {
    if (this != &other) {
      reset();
      kernel_ = other.kernel_;
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  ~fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }
  int release() noexcept { return std::exchange(number_, -1); }
  void reset() noexcept {
    if (number_ >= 0 && kernel_ != nullptr)
      kernel_->close(std::exchange(number_, -1));
  }

private:
  kernel* kernel_ = nullptr;
  int number_ = -1;
};

} // namespace gantry::io
