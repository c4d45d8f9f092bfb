#include "runtime/journal.hpp"
#include "runtime/world_impl.hpp"

namespace gantry::runtime {

namespace {

/// So many entries are looked at for one piece, however small they are.
constexpr size_t most_looks = 1024;

} // namespace

/// A snapshot of the moment at which this was made, and why it is one:
///
/// Each container that was there is marked then. It is packed when its turn comes, or right before
/// the first change behind that moment (`about_to_change`, which every change goes through), so as
/// it was; the mark goes with it, so once. One that is made later has no mark and is left out. The
/// answers, exits and labels of the past are never changed: the lists of that moment are held.
/// The journal writes nothing of it down before the last piece, under the seq of that moment: a
/// crash between two pieces leaves the snapshot before, and a recovery adds to the new one what
/// came behind that seq, once.
class world_packing final : public snapshot_pieces {
public:
  explicit world_packing(std::shared_ptr<world::impl> w)
    : world_(std::move(w)), answers_(world_->answer_order.begin(), world_->answer_order.end()),
      finished_(world_->finished.begin(), world_->finished.end()),
      removed_(world_->removed.begin(), world_->removed.end()) {
    GANTRY_CHECK(world_->packing == nullptr);
    world_->packing = this;
    for (auto& [name, c] : world_->containers)
      c->to_pack = true;
    journal::Snapshot head;
    head.set_next_serial(world_->next_serial);
    head.AppendToString(&early_);
  }

  ~world_packing() override {
    world_->packing = nullptr;
    for (auto& [name, c] : world_->containers)
      c->to_pack = false;
  }

  world_packing(const world_packing&) = delete;
  world_packing& operator=(const world_packing&) = delete;

  bool more(std::string& to, size_t bytes) override {
    to += early_;
    early_.clear();
    const auto enough = to.size() + bytes;
    for (size_t looks = 0; looks < most_looks && to.size() < enough; ++looks)
      if (!next(to))
        return false;
    return true;
  }

  void before_change(container_view& c) { pack(c, early_); }

private:
  void pack(container_view& c, std::string& to) {
    c.to_pack = false;
    one_.Clear();
    save_container(c, *one_.add_containers());
    one_.AppendToString(&to);
  }

  /// Looks at one more entry. False: there is none.
  bool next(std::string& to) {
    if (containers_left_) {
      const auto i = world_->containers.upper_bound(at_);
      containers_left_ = i != world_->containers.end();
      if (containers_left_) {
        at_ = i->first;
        if (i->second->to_pack)
          pack(*i->second, to);
        return true;
      }
    }
    one_.Clear();
    if (answer_ < answers_.size())
      save_answer(*answers_[answer_++], *one_.add_requests());
    else if (exit_ < finished_.size())
      save_exit(*finished_[exit_++], *one_.add_finished());
    else if (label_ < removed_.size())
      save_removed(removed_[label_++], *one_.add_removed());
    else
      return false;
    one_.AppendToString(&to);
    return true;
  }

  std::shared_ptr<world::impl> world_;
  std::string early_; ///< What was packed since the last piece.
  journal::Snapshot one_;
  bool containers_left_ = true;
  container_name at_; ///< The last one that was looked at.
  std::vector<std::shared_ptr<const kept_answer>> answers_;
  std::vector<std::shared_ptr<const finished_exit>> finished_;
  std::vector<removed_labels> removed_;
  size_t answer_ = 0;
  size_t exit_ = 0;
  size_t label_ = 0;
};

void world::impl::about_to_change(container_view& c) {
  if (c.to_pack)
    packing->before_change(c);
}

std::unique_ptr<snapshot_pieces> world::pack() { return std::make_unique<world_packing>(impl_); }

} // namespace gantry::runtime
