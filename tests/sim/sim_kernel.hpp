#pragma once

#include <atomic>
#include <linux/io_uring.h>
#include <memory>
#include <unordered_map>
#include <vector>

#include "io/kernel.hpp"
#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

/// An open regular file or directory, or a small file of procfs or cgroupfs.
class open_file final : public description {
public:
  open_file(machine& m, std::string path, node_ptr n, int flags);
  [[nodiscard]] uint32_t ready() const override;
  [[nodiscard]] source* changes() const override { return group_.get(); }
  ssize_t pread(std::span<char> into, uint64_t offset);

  machine& host;
  const std::string path;
  const node_ptr file; ///< Null for a virtual one.
  const int flags;
  uint64_t position = 0;

private:
  group_ptr group_; ///< Of a cgroup file.
  uint64_t seen_ = 0;
};

/// One life of gantryd on a machine: the kernel as that process sees it.
///
/// Calls are counted (requests, completions, direct calls). When the counter reaches
/// `kill_at`, the process is dead before the call has any effect: from then on nothing that
/// is done through this object changes the machine, every call answers -ECANCELED and every
/// request completes with it, so that the objects above can be torn down. The keeper's arena
/// is put back to what it was at that instant when this object is destroyed.
class incarnation final : public io::kernel {
public:
  explicit incarnation(machine& m, uint64_t kill_at = 0);
  ~incarnation() override; ///< An orderly end (exit 0) if it was not killed.

  [[nodiscard]] machine& host() noexcept { return host_; }
  [[nodiscard]] bool dead() const noexcept { return dead_; }
  [[nodiscard]] uint64_t calls() const noexcept { return calls_; }
  /// True after a `turn` that could have waited for ever: nothing will ever happen.
  [[nodiscard]] bool stuck() const noexcept { return stuck_; }
  [[nodiscard]] size_t open_descriptors() const noexcept;
  [[nodiscard]] size_t requests() const noexcept { return requests_.size(); }
  /// SIGKILL, now.
  void die();
  [[nodiscard]] process& self() noexcept { return *self_; }
  /// After a death: from now on polls end at once, too. Until then those that are begun after
  /// the death wait, as they would: what re-arms itself would never come to rest.
  void bury() noexcept { buried_ = true; }

  // For the simulated shelf.
  int install(description_ptr d); ///< Lowest free descriptor, or -EMFILE.
  [[nodiscard]] description_ptr get(int fd) const;
  bool step(); ///< Counts a call; false when dead.

  // io::kernel
  void submit(io::op& x) override;
  void cancel(io::op& x) override;
  void turn(nanoseconds deadline, std::vector<io::completion>& out) override;
  void wake() noexcept override { woken_ = true; }
  [[nodiscard]] nanoseconds monotonic() const noexcept override;
  [[nodiscard]] nanoseconds realtime() const noexcept override;
  int close(int fd) override;
  int pipe(int (&out)[2], int ours) override;
  int set_pipe_size(int fd, int bytes) override;
  int readable(int fd) override;
  ssize_t read(int fd, std::span<char> into) override;
  ssize_t write(int fd, std::span<const char> from) override;
  ssize_t tee(int from, int to, size_t bytes) override;
  ssize_t splice(int from, int to, size_t bytes) override;
  int eventfd() override;
  int datagram_inbox(const std::string& dir, const std::string& name) override;
  ssize_t take_datagram(int fd, std::span<char> into, io::datagram_note& note) override;
  int socket(int family) override;
  int socket_near(int pidfd, int family, io::errand what) override;
  int spawn(const io::spawn_request& what, io::child& out) override;
  int reap(int pidfd, io::exit_status& out) override;
  int pidfd_open(pid_t pid) override;
  int pidfd_signal(int pidfd, int sig) override;
  int pidfd_status(int pidfd, io::exit_status& out) override;
  int64_t start_ticks(pid_t pid) override;
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
  /// What a submission entry says, as far as it is used here.
  struct entry {
    uint8_t opcode = 0;
    int fd = -1;
    uint64_t off = 0; ///< Also addr2.
    uint64_t addr = 0;
    uint32_t len = 0;
    uint32_t flags = 0; ///< poll32_events, rw_flags, unlink_flags, …
  };
  /// A request in the kernel.
  struct request final : listener {
    enum class stage : uint8_t { queued, waiting, working, done };
    request(incarnation& k, io::op& what) : in(k), what(&what) {}
    void changed() override { in.look_again(*this); }

    incarnation& in;
    io::op* what;
    entry sqe;
    description_ptr on; ///< What it works on: held even if the descriptor is closed.
    stage at = stage::queued;
    nanoseconds due{0};
    int32_t res = 0;
    bool interrupted = false;
    bool cancelled = false;
    bool posthumous = false; ///< A poll that was submitted after the death.
  };

  void close_all();
  bool fault(double p) { return host_.rng.chance(p); }
  void begin(request& r);
  void begin_socket(request& r);
  void answer_later(stream_socket& s);
  void look_again(request& r);
  void work_until(request& r, nanoseconds span);
  void finish(request& r, int32_t res, nanoseconds span);
  void perform(request& r);
  int32_t effect(const request& r);
  int32_t read_effect(const request& r);
  int32_t write_effect(const request& r);
  int32_t sync_effect();
  int32_t open_effect(const request& r);
  int32_t path_effect(const request& r);
  int32_t open_in_root(const std::string& path, int flags);
  int32_t stat_effect(const request& r);
  int32_t allocate_effect(const request& r);
  void run_due();
  void deliver(std::vector<io::completion>& out);
  void cancel_all(std::vector<io::completion>& out);
  [[nodiscard]] nanoseconds next_due() const noexcept;
  int open_at(const std::string& path, int flags, mode_t mode, bool disk);
  template <class T>
  std::shared_ptr<T> typed(int fd) const;

  machine& host_;
  process_ptr self_;
  uint64_t calls_ = 0;
  uint64_t kill_at_;
  bool dead_ = false;
  bool stuck_ = false;
  bool buried_ = false;
  std::atomic<bool> woken_{false};
  nanoseconds afterlife_{0}; ///< Time that passes only for the one who is torn down.
  std::vector<description_ptr> fds_;
  std::unordered_map<io::op*, std::unique_ptr<request>> requests_;
  std::vector<request*> queue_;   ///< Submitted, not begun.
  std::vector<request*> working_; ///< With a due time.
};

template <class T>
std::shared_ptr<T> incarnation::typed(int fd) const {
  return std::dynamic_pointer_cast<T>(get(fd));
}

/// Where every container's root is for who looks at a path of it.
inline constexpr std::string_view container_root = "/in-containers";

/// What the simulated kernel opens for a path, after the checks.
bool virtual_path(const std::string& path);

} // namespace gantry::sim
