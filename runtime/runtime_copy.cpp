#include "runtime/runtime_copy.hpp"

#include <fcntl.h>
#include <utility>
#include <vector>

#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "io/sealed_file.hpp"
#include "runtime/runtime_errors.hpp"

namespace gantry::runtime {

namespace {

/// What a file is, as far as a look can tell.
struct file_mark {
  uint64_t inode = 0, size = 0;
  uint32_t major = 0, minor = 0;
  int64_t changed_s = 0, changed_ns = 0;
  bool operator==(const file_mark&) const = default;

  static file_mark of(const struct statx& x) {
    return {x.stx_ino,       x.stx_size,           x.stx_dev_major,
            x.stx_dev_minor, x.stx_ctime.tv_sec,   int64_t(x.stx_ctime.tv_nsec)};
  }
};

constexpr size_t copied_at_once = 256u << 10;
constexpr std::string_view elf = "\x7f" "ELF";

} // namespace

/// Held by its own ops, so it may outlive its owner.
struct runtime_copy::body : std::enable_shared_from_this<body> {
  enum class stage : uint8_t {
    none,    ///< The program is started by its path.
    making,  ///< Looked at, read, written, tried.
    ready,
    refused, ///< It cannot be had: it is not tried again.
  };

  body(io::loop& l, std::string what, std::string where, copy_policy p, trial t)
    : loop(l), program(std::move(what)),
      link(std::move(where) + "/" + std::string(base_name(program))), policy(p),
      try_out(std::move(t)), look(l), open(l), read(l), write(l), patience(l), rest(l) {
    if (!policy.wanted || !copies_itself(program))
      now = stage::refused;
  }

  void ask(found f) {
    last_call = loop.now();
    if (now == stage::ready && !look_hangs) {
      askers.push_back(std::move(f));
      if (!look.in_flight())
        look_again();
      return;
    }
    f(program);
    if (now == stage::none && is_worth_it())
      make();
  }

  bool is_worth_it() {
    if (calls == 0 || last_call - first_call > policy.within) {
      calls = 0;
      first_call = last_call;
    }
    return ++calls >= policy.worth_calls;
  }

  // -- making it: in pieces, so that no turn of the loop is long --

  void make() {
    now = stage::making;
    calls = 0;
    look.start(program, true, [me = shared_from_this()](int32_t res) {
      if (res < 0 || !me->wanted)
        return me->drop(stage::none);
      me->mark = file_mark::of(me->look.found());
      me->begin();
    });
  }

  void begin() {
    if (mark.size > policy.most_bytes)
      return refuse("it is larger than " + std::to_string(policy.most_bytes) + " bytes");
    const int n = io::executable_memory(std::string(base_name(program)));
    if (n < 0)
      return refuse(from_errno(-n, "make", "a file in memory").text());
    file = io::fd(loop.sys(), n);
    open.start(AT_FDCWD, program, O_RDONLY, 0, false, [me = shared_from_this()](int32_t res) {
      if (res < 0 || !me->wanted)
        return me->drop(stage::none);
      me->source = io::fd(me->loop.sys(), res);
      me->piece.resize(copied_at_once);
      me->copied = 0;
      me->read_on();
    });
  }

  void read_on() {
    read.start(source.get(), piece, copied, [me = shared_from_this()](int32_t n) {
      if (n < 0 || !me->wanted)
        return me->drop(stage::none);
      const std::string_view bytes(me->piece.data(), size_t(n));
      if (me->copied == 0 && !bytes.starts_with(elf))
        return me->drop(stage::refused); // A script wants its own path.
      if (n == 0)
        return me->copied_all();
      me->write_on(size_t(n));
    });
  }

  void write_on(size_t n) {
    write.start(file.get(), std::span(piece).first(n), copied,
                [me = shared_from_this(), n](int32_t res) {
      if (res < 0 || !me->wanted)
        return me->drop(stage::none); // No memory: later perhaps.
      me->copied += n;
      if (me->copied > me->mark.size)
        return me->drop(stage::none); // It grows: somebody writes it.
      me->read_on();
    });
  }

  void copied_all() {
    forget_source();
    if (const int n = io::seal(file.get()); n < 0)
      return refuse(from_errno(-n, "seal", "the copy").text());
    if (const int n = io::link_to_descriptor(link, file.get()); n < 0)
      return refuse(from_errno(-n, "make", link).text());
    try_out(link, [me = shared_from_this()](bool works) {
      if (!me->wanted)
        return;
      if (!works)
        return me->refuse("it cannot be run from memory here");
      me->now = stage::ready;
      me->rest_later(me->policy.rest);
    });
  }

  void refuse(const std::string& why) {
    io::log_info("runtime={}: no copy is made of it, each call starts it by its path: {}", program,
                 why);
    drop(stage::refused);
  }

  void forget_source() {
    if (read.in_flight() || write.in_flight())
      return; // The kernel has the piece: its callback comes here.
    source.reset();
    std::vector<char>().swap(piece);
  }

  // -- using it --

  void look_again() {
    patience.start(policy.patience, [this] {
      look_hangs = true;
      answer(program);
    });
    look.start(program, true, [me = shared_from_this()](int32_t res) {
      me->patience.cancel();
      me->look_hangs = false;
      if (!me->wanted)
        return;
      const bool same = res == 0 && me->now == stage::ready
                        && file_mark::of(me->look.found()) == me->mark;
      if (!same)
        me->drop(stage::none); // Another one lies there now.
      me->answer(same ? me->link : me->program);
    });
  }

  void answer(const std::string& path) {
    for (auto& f : std::exchange(askers, {}))
      f(path);
  }

  void rest_later(io::nanoseconds after) {
    rest.start(after, [this] {
      const auto idle = loop.now() - last_call;
      if (idle < policy.rest || look.in_flight())
        return rest_later(std::max(policy.rest - idle, policy.patience));
      drop(stage::none);
    });
  }

  void drop(stage to) {
    now = to;
    rest.cancel();
    forget_source();
    if (file)
      loop.sys().unlink(link); // It may not be there yet.
    file.reset();
  }

  io::loop& loop;
  std::string program;
  std::string link;
  copy_policy policy;
  trial try_out;
  stage now = stage::none;
  bool wanted = true; ///< Our owner is there.
  bool look_hangs = false;
  uint32_t calls = 0;
  io::nanoseconds first_call{0};
  io::nanoseconds last_call{0};
  file_mark mark;
  io::fd file;
  io::fd source;
  std::vector<char> piece;
  uint64_t copied = 0;
  std::vector<found> askers;
  io::stat_op look;
  io::open_op open;
  io::read_op read;
  io::write_op write;
  io::timer patience;
  io::timer rest;
};

runtime_copy::runtime_copy(io::loop& l, std::string program, std::string dir, copy_policy policy,
                           trial t)
  : body_(std::make_shared<body>(l, std::move(program), std::move(dir), policy, std::move(t))) {}

runtime_copy::~runtime_copy() {
  body_->wanted = false;
  body_->askers.clear();
  body_->try_out = nullptr;
  body_->patience.cancel();
  body_->drop(body::stage::refused);
}

void runtime_copy::ask(found f) { body_->ask(std::move(f)); }

bool copies_itself(const std::string& program) {
  const auto name = base_name(program);
  return name == "runc" || name == "crun";
}

} // namespace gantry::runtime
