#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/cgroup.hpp"
#include "runtime/engine.hpp"
#include "runtime/oci_command.hpp"
#include "runtime/runtime_errors.hpp"

namespace gantry::runtime {

/// The words of `checkpoint` and `restore` about the images in this directory.
void add_images(oci_call& x, const std::string& images, const image_options& what);

/// Everything of the engine that callbacks may outlive: they hold it weakly.
class oci_driver : public std::enable_shared_from_this<oci_driver> {
public:
  oci_driver(io::loop& l, io::reaper& r, std::string root, engine_policy policy,
             std::function<cgroup_place(const std::string&)> cgroup_of)
    : loop_(l), reaper_(r), root_(std::move(root)), notes_(root_ + ".tmp"), policy_(policy),
      cgroup_of_(std::move(cgroup_of)), parents_due_(l), commands_(l, r, root_, policy) {}

  /// Takes the kept parents away, where nobody lives below them.
  ~oci_driver();
  oci_driver(const oci_driver&) = delete;
  oci_driver& operator=(const oci_driver&) = delete;

  void create(create_command c, std::function<void(result<made_process>)> f);
  void start(const std::string& runtime, const std::string& id, const std::string& bundle,
             uint64_t op, std::function<void(result<void>)> f);
  void exec(exec_command c, std::function<void(result<made_process>)> f);
  void remove(const std::string& runtime, const std::string& id, bool force, uint64_t op,
              std::function<void(result<void>)> f);
  void update(const std::string& runtime, const std::string& id, const std::string& resources,
              uint64_t op, std::function<void(result<void>)> f);
  void checkpoint(checkpoint_command c, std::function<void(result<void>)> f);
  void version(const std::string& runtime, std::function<void(result<std::string>)> f);
  [[nodiscard]] engine_stats stats() const { return commands_.stats(); }

private:
  using made_answer = std::function<void(result<made_process>)>;
  using plain_answer = std::function<void(result<void>)>;

  /// One `remove` with its tries.
  struct removal {
    std::string runtime, id;
    bool force = false;
    uint64_t op = 0;
    io::nanoseconds until{};
    io::nanoseconds pause = std::chrono::milliseconds(10);
    plain_answer f;
  };

  void make(create_command c, made_answer answer);
  oci_call call(std::string step, const std::string& runtime, const std::string& id,
                std::string log, io::nanoseconds deadline, uint64_t op) const;
  template <class Answer>
  void run(oci_call c, std::shared_ptr<Answer> f, std::function<void(oci_end)> done);
  std::optional<error> failure(const oci_call& c, const oci_end& end);
  void explain_images(const std::string& log, error why, std::function<void(error)> f);
  void take_made(const std::string& pid_file, int tries, const oci_end& end, made_answer f);
  void clean_up(const oci_call& c, std::function<void()> f);
  void empty_cgroup(const std::string& id);
  const cgroup_host* cgroups();
  std::shared_ptr<void> keep_parent(const std::string& id);
  void parent_left(const std::string& id);
  void sweep_parents();
  void try_remove(std::shared_ptr<removal> r);
  void make_notes();
  void later(io::nanoseconds after, std::function<void()> f);
  void unlink(const std::string& path) {
    if (!path.empty())
      loop_.sys().unlink(path);
  }

  io::loop& loop_;
  io::reaper& reaper_;
  std::string root_;
  std::string notes_; ///< Where files of commands without a bundle go, beside the root.
  bool has_notes_ = false;
  engine_policy policy_;
  std::function<cgroup_place(const std::string&)> cgroup_of_;
  std::optional<cgroup_host> cgroups_; ///< Looked at when it is first needed.
  /// A namespace's directories stay some seconds after its last container: to make and remove
  /// them in a dozen hierarchies of v1 takes 15 ms.
  struct kept_parent {
    std::string keep; ///< As `cgroup_place::keep`.
    std::unique_ptr<cgroup_pin> pin;
    int makers = 0; ///< Creates under way.
    std::optional<io::nanoseconds> left; ///< When something was last removed from it.
    int looks = 0; ///< … and how often it was not empty since then.
  };
  std::map<std::string, kept_parent, std::less<>> kept_; ///< By the parent's path.
  io::timer parents_due_;
  std::map<std::string, std::string> versions_;
  std::map<uint64_t, std::unique_ptr<io::timer>> timers_;
  uint64_t next_timer_ = 0;
  oci_commands commands_;
};

/// Runs the call; `done` gets its end, unless the queue is full: then `f` gets that.
template <class Answer>
void oci_driver::run(oci_call c, std::shared_ptr<Answer> f, std::function<void(oci_end)> done) {
  auto who = "container \"" + display_name(c.id) + "\": " + c.step;
  if (commands_.run(std::move(c), std::move(done)))
    return;
  error full{ec::resource_exhausted,
             who + ": " + std::to_string(policy_.max_queued) + " runtime commands wait already",
             "try again later"};
  loop_.post([f = std::move(f), full] { (*f)(full); });
}

} // namespace gantry::runtime
