#include <fcntl.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "io/file_ops.hpp"
#include "messages/check.hpp"
#include "runtime/accounts.hpp"
#include "runtime/config_parts.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t most_bytes = 1u << 20;
constexpr size_t largest_config = 16u << 20;

/// One look-up; its reads keep it alive until its answer.
class look_up : public std::enable_shared_from_this<look_up> {
public:
  look_up(io::loop& l, std::string rootfs, std::optional<user_words> user,
          std::vector<std::string> groups, std::function<void(result<identity>)> f)
    : loop_(l), open_(l), rootfs_(std::move(rootfs)), user_(std::move(user)),
      groups_(std::move(groups)), answer_(std::move(f)) {}

  void begin() {
    if (groups_.empty() && (!user_ || user_->complete()))
      return loop_.post([self = shared_from_this()] { self->finish(std::string()); });
    open_.start(AT_FDCWD, rootfs_, O_PATH | O_DIRECTORY, 0, false,
                [self = shared_from_this()](int32_t n) {
                  self->root_ = io::fd(self->loop_.sys(), n);
                  self->root_errno_ = n < 0 ? -n : 0;
                  self->read_both();
                });
  }

private:
  void read_both() {
    read("etc/passwd", [self = shared_from_this()](result<std::string> passwd) {
      self->passwd_ = std::move(passwd);
      self->read("etc/group", [self](const result<std::string>& g) { self->finish(g); });
    });
  }

  /// A link in the path leads where it leads inside the container: an absolute one begins at its
  /// root.
  void read(const char* file, std::function<void(result<std::string>)> f) {
    const auto thing = rootfs_ + "/" + file;
    if (!root_)
      return f(from_errno(root_errno_, "open the directory of", thing));
    auto opened = [self = shared_from_this(), thing, f](int32_t n) {
      if (n < 0)
        return f(from_errno(-n, "open", thing));
      self->file_ = io::fd(self->loop_.sys(), n);
      io::read_file(self->loop_, "/proc/self/fd/" + std::to_string(n), most_bytes, thing, f);
    };
    open_.start_in_root(root_.get(), file, O_PATH, std::move(opened));
  }

  void finish(const result<std::string>& group) {
    auto f = std::move(answer_);
    f(found(group));
  }

  result<identity> found(const result<std::string>& group) const {
    identity out;
    if (user_) {
      auto user = find_user(*user_, passwd_ ? *passwd_ : "", group ? *group : "");
      const bool by_group = !user_->group.empty() && !user_->gid;
      if (!user)
        return with_cause(user.why(), !user_->uid && !passwd_ ? &passwd_ : by_group ? &group
                                                                                    : nullptr);
      out.user = *std::move(user);
    }
    auto groups = find_groups(groups_, group ? *group : "");
    if (!groups)
      return with_cause(groups.why(), &group);
    out.groups = *std::move(groups);
    return out;
  }

  /// Where a file could not be read, that is why a name is not in it.
  static error with_cause(error x, const result<std::string>* file) {
    if (file == nullptr || file->ok())
      return x;
    const auto& why = file->why();
    return {why.code == ec::not_found ? ec::invalid_argument : why.code,
            x.message + ": " + why.message, x.cure};
  }

  io::loop& loop_;
  io::open_op open_;
  io::fd root_;
  int root_errno_ = 0;
  io::fd file_;
  std::string rootfs_;
  std::optional<user_words> user_;
  std::vector<std::string> groups_;
  std::function<void(result<identity>)> answer_;
  result<std::string> passwd_ = std::string();
};

} // namespace

void look_up_identity(io::loop& l, std::string rootfs, const identity_words& words,
                      std::function<void(result<identity>)> f) {
  std::optional<user_words> user;
  if (!words.user.empty()) {
    auto parsed = parse_user(words.user);
    GANTRY_CHECK(parsed.ok()); // The check of the spec has looked.
    user = *std::move(parsed);
  }
  std::make_shared<look_up>(l, std::move(rootfs), std::move(user), words.groups, std::move(f))
    ->begin();
}

void look_up_exec_identity(io::loop& l, const std::string& bundle, const identity_words& words,
                           std::function<void(result<identity>)> f) {
  const auto path = bundle + "/config.json";
  auto take = [&l, path, words, f = std::move(f)](const result<std::string>& text) mutable {
    if (!text)
      return f(text.why());
    const auto config = parse_json(*text, path);
    if (!config)
      return f(config.why());
    constexpr const char* root = "/root/path";
    const nlohmann::json::json_pointer at(root);
    if (!config->is_object() || !config->contains(at) || !config->at(at).is_string())
      return f(error{ec::data_loss, path + ": root.path is no text",
                     "nobody but gantry writes there"});
    look_up_identity(l, config->at(at).get<std::string>(), words, std::move(f));
  };
  io::read_file(l, path, largest_config, path, std::move(take));
}

} // namespace gantry::runtime
