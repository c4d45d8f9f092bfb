#include <cerrno>
#include <fcntl.h>

#include "io/file_ops.hpp"

namespace gantry::io {

namespace {

constexpr size_t first_part = 16 * 1024;

/// One read_file under way. Its ops hold it by their callbacks.
struct reading : std::enable_shared_from_this<reading> {
  reading(loop& l, std::string what, size_t most, std::function<void(result<std::string>)> f)
    : on(l), dir_open(l), open(l), read(l), thing(std::move(what)), limit(most),
      done(std::move(f)) {}

  void from_dir(std::string root, std::string path);
  void from_path(int dir, std::string path, bool beneath);
  void more();
  void got(int32_t n);
  void fail(int32_t res, std::string_view deed) { end(from_errno(-res, deed, thing)); }
  void end(result<std::string> r);

  loop& on;
  open_op dir_open;
  open_op open;
  read_op read;
  fd root;
  fd file;
  std::string thing;
  size_t limit;
  std::string bytes;
  size_t have = 0;
  std::function<void(result<std::string>)> done;
};

void reading::from_dir(std::string dir, std::string path) {
  auto then = [self = shared_from_this(), path = std::move(path)](int32_t res) {
    if (res < 0)
      return self->fail(res, "open the directory of");
    self->root = fd(self->on.sys(), res);
    self->from_path(res, path, true);
  };
  dir_open.start(AT_FDCWD, std::move(dir), O_PATH | O_DIRECTORY, 0, false, std::move(then));
}

void reading::from_path(int dir, std::string path, bool beneath) {
  // O_NONBLOCK: a FIFO or a device under that name must not hold a worker.
  auto flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  open.start(dir, std::move(path), flags, 0, beneath, [self = shared_from_this()](int32_t res) {
    if (res < 0)
      return self->fail(res, "open");
    self->file = fd(self->on.sys(), res);
    self->more();
  });
}

// One byte above the limit is asked for, to tell a file that is too large.
void reading::more() {
  auto size = bytes.empty() ? first_part : bytes.size() * 2;
  bytes.resize(std::min(size, limit + 1));
  std::span<char> into(bytes.data() + have, bytes.size() - have);
  read.start(file.get(), into, have, [self = shared_from_this()](int32_t n) { self->got(n); });
}

void reading::got(int32_t n) {
  if (n < 0)
    return fail(n, "read");
  have += size_t(n);
  if (have > limit)
    return end(error{ec::resource_exhausted,
                     "cannot read " + thing + ": it is larger than " + std::to_string(limit) +
                       " bytes",
                     ""});
  if (have == bytes.size())
    return more();
  bytes.resize(have); // A short count: the end of the file.
  end(std::move(bytes));
}

void reading::end(result<std::string> r) {
  file.reset();
  root.reset();
  auto f = std::move(done);
  f(std::move(r));
}

/// One write_file under way.
struct writing : std::enable_shared_from_this<writing> {
  writing(loop& l, std::string to, std::string content, bool safe,
          std::function<void(result<void>)> f)
    : on(l), open(l), write(l), sync(l), deed(l), path(std::move(to)), temp(path + ".tmp"),
      bytes(std::move(content)), durable(safe), done(std::move(f)) {}

  void start(mode_t mode);
  void put();
  void flush();
  void rename();
  void open_dir();
  void flush_dir();
  void fail(int32_t res, std::string_view what);
  void end(result<void> r);

  loop& on;
  open_op open;
  write_op write;
  sync_op sync;
  path_op deed;
  std::string path;
  std::string temp;
  std::string bytes;
  bool durable;
  fd file;
  std::function<void(result<void>)> done;
};

void writing::start(mode_t mode) {
  auto flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW;
  open.start(AT_FDCWD, temp, flags, mode, false, [self = shared_from_this()](int32_t res) {
    if (res < 0)
      return self->end(from_errno(-res, "create", self->temp));
    self->file = fd(self->on.sys(), res);
    self->put();
  });
}

void writing::put() {
  write.start(file.get(), bytes, 0, [self = shared_from_this()](int32_t res) {
    if (res < 0)
      return self->fail(res, "write");
    self->durable ? self->flush() : self->rename();
  });
}

void writing::flush() {
  sync.start(file.get(), [self = shared_from_this()](int32_t res) {
    res < 0 ? self->fail(res, "sync") : self->rename();
  });
}

void writing::rename() {
  file.reset();
  deed.rename(temp, path, [self = shared_from_this()](int32_t res) {
    if (res < 0)
      return self->fail(res, "rename");
    self->durable ? self->open_dir() : self->end({});
  });
}

// The rename itself is durable only when the directory is on disk.
void writing::open_dir() {
  auto slash = path.rfind('/');
  auto dir = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  auto flags = O_RDONLY | O_DIRECTORY;
  open.start(AT_FDCWD, dir, flags, 0, false, [self = shared_from_this()](int32_t res) {
    if (res < 0)
      return self->end(from_errno(-res, "open the directory of", self->path));
    self->file = fd(self->on.sys(), res);
    self->flush_dir();
  });
}

void writing::flush_dir() {
  sync.start(file.get(), [self = shared_from_this()](int32_t res) {
    // EINVAL: a file system whose directories need no sync.
    if (res < 0 && res != -EINVAL)
      return self->end(from_errno(-res, "sync the directory of", self->path));
    self->end({});
  });
}

void writing::fail(int32_t res, std::string_view what) {
  auto why = from_errno(-res, what, temp);
  file.reset();
  deed.unlink(temp, [self = shared_from_this(), why](int32_t) { self->end(why); });
}

void writing::end(result<void> r) {
  file.reset();
  auto f = std::move(done);
  f(std::move(r));
}

} // namespace

void read_file(loop& l, std::string path, size_t limit, std::string thing,
               std::function<void(result<std::string>)> f) {
  auto job = std::make_shared<reading>(l, std::move(thing), limit, std::move(f));
  job->from_path(AT_FDCWD, std::move(path), false);
}

void read_file_beneath(loop& l, std::string root, std::string path, size_t limit,
                       std::string thing, std::function<void(result<std::string>)> f) {
  auto job = std::make_shared<reading>(l, std::move(thing), limit, std::move(f));
  job->from_dir(std::move(root), std::move(path));
}

void write_file(loop& l, std::string path, std::string bytes, mode_t mode, bool durable,
                std::function<void(result<void>)> f) {
  auto job = std::make_shared<writing>(l, std::move(path), std::move(bytes), durable, std::move(f));
  job->start(mode);
}

} // namespace gantry::io
