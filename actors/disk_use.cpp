#include <sys/stat.h>

#include "actors/gate.hpp"
#include "io/file_ops.hpp"

namespace gantry::actors {

namespace {

/// Directories below a checkpoint's own; deeper ones are nobody's.
constexpr int deepest = 8;

/// Counts what lies in some directories, one file after the other; keeps itself alive until
/// its answer.
class count_disk : public std::enable_shared_from_this<count_disk> {
public:
  count_disk(services& host, answer<v1::DiskUseReply> f)
    : host_(host), stat_(host.loop), answer_(std::move(f)) {
    const auto& o = host.options;
    add(o.root_dir + "/journal", [this](uint64_t bytes, int) {
      reply_.set_journal_bytes(reply_.journal_bytes() + bytes);
      reply_.set_journal_files(reply_.journal_files() + 1);
    });
    add(o.root_dir + "/checkpoints", [this](uint64_t bytes, int depth) {
      reply_.set_checkpoint_bytes(reply_.checkpoint_bytes() + bytes);
      reply_.set_checkpoints(reply_.checkpoints() + (depth == 1 ? 1 : 0)); // INSTANCE/NAME
    });
    for (const auto& [name, c] : host.ledger.now().all()) {
      const int at = reply_.containers_size();
      auto* x = reply_.add_containers();
      x->set_namespace_(name.ns);
      x->set_id(name.id);
      for (const auto& p : c->processes)
        add(host.log_dir(p.serial), [this, at](uint64_t bytes, int) {
          auto* y = reply_.mutable_containers(at);
          y->set_log_bytes(y->log_bytes() + bytes);
          y->set_log_files(y->log_files() + 1);
        });
      add(host.bundle_dir(c->instance), [this, at](uint64_t bytes, int) {
        auto* y = reply_.mutable_containers(at);
        y->set_bundle_bytes(y->bundle_bytes() + bytes);
      });
    }
  }

  void next() {
    while (names_.empty()) {
      if (open_.empty())
        return host_.loop.post([self = shared_from_this()] {
          self->answer_(std::move(self->reply_));
        });
      now_ = std::move(open_.back());
      open_.pop_back();
      // One cached directory block: the ring has no operation for it.
      if (host_.loop.sys().list(now_.path, names_) < 0)
        names_.clear();
    }
    path_ = now_.path + "/" + names_.back();
    names_.pop_back();
    stat_.start(path_, false, [self = shared_from_this()](int32_t rc) {
      if (!self->life_.expired()) // Else the supervisor has gone meanwhile.
        self->take(rc);
    });
  }

private:
  using counter = std::function<void(uint64_t bytes, int depth)>;
  struct directory {
    std::string path;
    counter count;
    int depth;
  };

  void add(std::string path, counter count) {
    open_.push_back({std::move(path), std::move(count), 0});
  }

  void take(int32_t rc) {
    const auto& x = stat_.found();
    if (rc >= 0 && (S_ISREG(x.stx_mode) || S_ISDIR(x.stx_mode))) // Else it went meanwhile.
      now_.count(x.stx_blocks * 512, now_.depth);
    if (rc >= 0 && S_ISDIR(x.stx_mode) && now_.depth < deepest)
      open_.push_back({path_, now_.count, now_.depth + 1});
    next();
  }

  services& host_;
  std::weak_ptr<int> life_{host_.life};
  io::stat_op stat_;
  answer<v1::DiskUseReply> answer_;
  v1::DiskUseReply reply_;
  std::vector<directory> open_;
  directory now_{};
  std::string path_;
  std::vector<std::string> names_;
};

} // namespace

void gate::call(const v1::By&, v1::DiskUseRequest, answer<v1::DiskUseReply> f) {
  std::make_shared<count_disk>(host_, std::move(f))->next();
}

} // namespace gantry::actors
