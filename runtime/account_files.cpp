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
  look_up(io::loop& l, std::string rootfs, user_words words,
          std::function<void(result<user_ids>)> f)
    : loop_(l), open_(l), rootfs_(std::move(rootfs)), words_(std::move(words)),
      answer_(std::move(f)) {}

  void begin() {
    if (words_.complete())
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
    auto found = find_user(words_, passwd_ ? *passwd_ : "", group ? *group : "");
    const auto* why = !words_.uid && !passwd_                               ? &passwd_.why()
                      : !words_.group.empty() && !words_.gid && !group      ? &group.why()
                                                                            : nullptr;
    if (!found && why != nullptr)
      found = error{why->code == ec::not_found ? ec::invalid_argument : why->code,
                    found.why().message + ": " + why->message, found.why().cure};
    auto f = std::move(answer_);
    f(std::move(found));
  }

  io::loop& loop_;
  io::open_op open_;
  io::fd root_;
  int root_errno_ = 0;
  io::fd file_;
  std::string rootfs_;
  user_words words_;
  std::function<void(result<user_ids>)> answer_;
  result<std::string> passwd_ = std::string();
};

} // namespace

void look_up_user(io::loop& l, std::string rootfs, const std::string& user,
                  std::function<void(result<user_ids>)> f) {
  auto words = parse_user(user);
  GANTRY_CHECK(words.ok()); // The check of the spec has looked.
  std::make_shared<look_up>(l, std::move(rootfs), *std::move(words), std::move(f))->begin();
}

void look_up_exec_user(io::loop& l, const std::string& bundle, const std::string& user,
                       std::function<void(result<user_ids>)> f) {
  const auto path = bundle + "/config.json";
  auto take = [&l, path, user, f = std::move(f)](const result<std::string>& text) mutable {
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
    look_up_user(l, config->at(at).get<std::string>(), user, std::move(f));
  };
  io::read_file(l, path, largest_config, path, std::move(take));
}

} // namespace gantry::runtime
