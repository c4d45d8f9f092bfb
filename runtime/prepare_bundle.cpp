#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>

#include "io/file_ops.hpp"
#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/cgroup_files.hpp"
#include "runtime/config_parts.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr size_t config_limit = 4u << 20;
constexpr size_t our_config_limit = 4 * config_limit; ///< The client's with our parts.

/// Hard limit of our own RLIMIT_NOFILE; a large number where it cannot be read.
uint64_t own_open_files(io::kernel& k) {
  constexpr std::string_view name = "Max open files";
  uint64_t out = UINT64_MAX;
  std::string text;
  if (k.read_small("/proc/self/limits", text) < 0)
    return out;
  for_each_line(text, [&out, name](std::string_view line) {
    if (!line.starts_with(name))
      return;
    line.remove_prefix(name.size());
    next_word(line); // soft
    if (auto hard = number_in(next_word(line)); hard != 0)
      out = hard;
  });
  return out;
}

/// One call of `prepare_bundle`: a chain of ops that keeps itself alive until its answer.
class preparation : public std::enable_shared_from_this<preparation> {
public:
  preparation(io::loop& l, bundle_request req, std::function<void(result<prepared_bundle>)> f)
    : loop_(l), open_(l), path_(l), req_(std::move(req)), answer_(std::move(f)) {}

  void begin() {
    if (auto done = check_spec(req_.spec); !done) {
      loop_.post([self = shared_from_this(), why = done.why()] { self->finish(why); });
      return;
    }
    req_.max_open_files = std::min(req_.max_open_files, own_open_files(loop_.sys()));
    find_host_things(loop_, req_.spec, [self = shared_from_this()](result<host_things> found) {
      if (!found)
        return self->finish(std::move(found).why());
      self->req_.host = *std::move(found);
      self->make();
    });
  }

private:
  using step = void (preparation::*)();

  void make() {
    if (req_.spec.bundle().empty()) {
      config_ = config_without_seccomp(req_);
      look_for(req_.spec.rootfs(), "rootfs", &preparation::find_user);
    } else {
      look_for(req_.spec.bundle(), "bundle", &preparation::read_config);
    }
  }

  /// Goes on with `next` if there is such a directory.
  void look_for(const std::string& dir, const char* what, step next) {
    open_.start(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0, false,
                [self = shared_from_this(), dir, what, next](int32_t fd) {
                  if (fd < 0)
                    return self->finish(missing(-fd, dir, what));
                  self->loop_.sys().close(fd);
                  (*self.*next)();
                });
  }

  static error missing(int err, const std::string& dir, const std::string& what) {
    if (err == ENOENT)
      return {ec::not_found, what + " " + dir + ": does not exist",
              "check the path, as the daemon sees it"};
    if (err == ENOTDIR)
      return {ec::invalid_argument, what + " " + dir + ": is not a directory",
              what == "bundle" ? "give the directory that holds config.json"
                               : "give the directory that is to be the container's /"};
    return from_errno(err, "open", what + " " + dir);
  }

  void read_config() {
    io::read_file_beneath(loop_, req_.spec.bundle(), "config.json", config_limit,
                          req_.spec.bundle() + "/config.json",
                          [self = shared_from_this()](result<std::string> text) {
                            self->take_config(std::move(text));
                          });
  }

  void take_config(result<std::string> text) {
    auto file = "bundle " + req_.spec.bundle();
    if (!text) {
      auto why = std::move(text).why();
      if (why.code == ec::not_found)
        why = {ec::not_found, file + ": has no config.json",
               "a bundle is a directory with config.json and a root filesystem: runc spec "
               "writes one to start from"};
      if (why.cure.empty())
        why.cure = "a bundle's config.json is a plain file of some KiB in the bundle itself";
      return finish(std::move(why));
    }
    auto parsed = parse_json(*text, req_.spec.bundle() + "/config.json");
    if (!parsed)
      return finish(std::move(parsed).why());
    auto adopted = adopt_config(req_, *std::move(parsed));
    if (!adopted) {
      auto why = std::move(adopted).why();
      why.message = file + ": " + why.message;
      return finish(std::move(why));
    }
    config_ = *std::move(adopted);
    look_for(config_["root"]["path"].get<std::string>(), "rootfs", &preparation::find_user);
  }

  void find_user() {
    const auto words = identity_of(req_.spec);
    if (words.empty())
      return make_dir();
    look_up_identity(loop_, config_["root"]["path"].get<std::string>(), words,
                     [self = shared_from_this()](result<identity> ids) {
                       if (!ids)
                         return self->finish(std::move(ids).why());
                       put_identity(self->config_["process"], *ids);
                       self->make_dir();
                     });
  }

  void make_dir() { req_.on_tmpfs ? finish(write_at_once()) : make_dir_at(req_.dir); }

  result<prepared_bundle> write_at_once() {
    auto& sys = loop_.sys();
    std::vector<std::string> missing{req_.dir};
    while (!missing.empty()) {
      const auto dir = missing.back();
      const int rc = sys.mkdir(dir, 0700);
      const size_t slash = dir.rfind('/');
      if (rc == -ENOENT && slash != std::string::npos && slash > 0 && ++steps_ < max_steps) {
        missing.push_back(dir.substr(0, slash));
        continue;
      }
      if (rc < 0 && rc != -EEXIST)
        return from_errno(-rc, "make the directory", dir);
      missing.pop_back();
    }
    // As with write_file: what a crash leaves is the whole file, or none of that name.
    const auto path = req_.dir + "/config.json";
    const auto temp = path + ".tmp";
    const auto text = config_text(config_, wants_default_seccomp(req_.spec));
    if (const int rc = sys.create_small(temp, text, 0600); rc < 0)
      return from_errno(-rc, "write", temp);
    if (const int rc = sys.rename(temp, path); rc < 0)
      return from_errno(-rc, "rename", temp);
    return prepared();
  }

  /// mkdir -p, from the end: the parents are there but for the first container.
  void make_dir_at(const std::string& dir) {
    path_.mkdir(dir, 0700, [self = shared_from_this(), dir](int32_t rc) {
      if (rc >= 0 || rc == -EEXIST)
        return dir == self->req_.dir ? self->write_config() : self->make_dir_at(self->req_.dir);
      size_t slash = dir.rfind('/');
      bool has_parent = slash != std::string::npos && slash > 0;
      if (rc == -ENOENT && has_parent && ++self->steps_ < max_steps)
        return self->make_dir_at(dir.substr(0, slash));
      self->finish(from_errno(-rc, "make the directory", dir));
    });
  }

  void write_config() {
    io::write_file(loop_, req_.dir + "/config.json",
                   config_text(config_, wants_default_seccomp(req_.spec)), 0600, false,
                   [self = shared_from_this()](result<void> done) {
                     if (!done)
                       return self->finish(std::move(done).why());
                     self->finish(self->prepared());
                   });
  }

  prepared_bundle prepared() const {
    prepared_bundle out;
    out.dir = req_.dir;
    out.rootfs = config_["root"]["path"].get<std::string>();
    out.args = config_["process"]["args"].get<std::vector<std::string>>();
    return out;
  }

  void finish(result<prepared_bundle> r) {
    auto f = std::move(answer_);
    f(std::move(r));
  }

  static constexpr int max_steps = 512; ///< Of mkdir -p: somebody may remove behind us.

  io::loop& loop_;
  io::open_op open_;
  io::path_op path_;
  bundle_request req_;
  std::function<void(result<prepared_bundle>)> answer_;
  json config_;
  int steps_ = 0;
};

/// One call of `remove_bundle`.
class removal : public std::enable_shared_from_this<removal> {
public:
  removal(io::loop& l, std::string dir, std::function<void()> f)
    : loop_(l), path_(l), dir_(std::move(dir)), answer_(std::move(f)) {}

  void begin() {
    // A listing cannot go through the ring; the directory lies on the state's tmpfs.
    loop_.sys().list(dir_, names_);
    next();
  }

private:
  void next() {
    if (names_.empty()) {
      path_.rmdir(dir_, [self = shared_from_this()](int32_t) { self->answer_(); });
      return;
    }
    auto file = dir_ + "/" + names_.back();
    names_.pop_back();
    path_.unlink(file, [self = shared_from_this()](int32_t) { self->next(); });
  }

  io::loop& loop_;
  io::path_op path_;
  std::string dir_;
  std::vector<std::string> names_;
  std::function<void()> answer_;
};

} // namespace

void prepare_bundle(io::loop& l, bundle_request req,
                    std::function<void(result<prepared_bundle>)> f) {
  std::make_shared<preparation>(l, std::move(req), std::move(f))->begin();
}

void read_command(io::loop& l, const std::string& dir,
                  std::function<void(result<std::vector<std::string>>)> f) {
  const auto path = dir + "/config.json";
  auto take = [path, f = std::move(f)](result<std::string> text) {
    if (!text)
      return f(std::move(text).why());
    auto config = parse_json(*text, path);
    if (!config)
      return f(std::move(config).why());
    json args;
    if (config->is_object())
      args = config->value("/process/args"_json_pointer, json());
    const auto is_text = [](const json& x) { return x.is_string(); };
    if (!args.is_array() || !std::all_of(args.begin(), args.end(), is_text))
      return f(error{ec::invalid_argument, path + ": process.args is no list of strings",
                     "nobody but gantry writes there"});
    f(args.get<std::vector<std::string>>());
  };
  io::read_file(l, path, our_config_limit, path, std::move(take));
}

void remove_bundle(io::loop& l, std::string dir, std::function<void()> f) {
  std::make_shared<removal>(l, std::move(dir), std::move(f))->begin();
}

} // namespace gantry::runtime
