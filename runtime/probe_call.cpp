#include "runtime/probe_call.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include "io/file_ops.hpp"
#include "io/socket_ops.hpp"
#include "runtime/probe_address.hpp"
#include "runtime/probe_output.hpp"
#include "runtime/probe_talk.hpp"

namespace gantry::runtime {

namespace {

using label = probe_result::label;
using verdict = probe_talk::state;

constexpr size_t buffer_bytes = 4096;
/// What a server says behind its status is taken, so that it is not cut off while it speaks.
constexpr size_t most_drained_bytes = 64u << 10;

std::string errno_words(int32_t res) { return std::strerror(-res); }

} // namespace

/// Lives by itself from `start` until its word is given and the kernel holds nothing of it.
struct probe_call::body : std::enable_shared_from_this<body> {
  body(io::loop& l, std::shared_ptr<permits> p, const probe& what, uint32_t most,
       const probe_target& whom, done f)
    : loop(l), paths(std::move(p)), question(what.question), timeout(what.timeout_ns),
      most_bytes(most), target(whom), tell(std::move(f)), clock(l), open(l), stat(l),
      connect(l), send(l), recv(l) {}

  // -- its life --

  void start() {
    self = shared_from_this();
    began = loop.sys().realtime().count();
    began_at = loop.sys().monotonic();
    if (on_path())
      wait_for_permit();
    else
      begin_network();
  }

  [[nodiscard]] bool on_path() const {
    return question.kind == probe_kind::file || question.kind == probe_kind::unix_socket;
  }

  [[nodiscard]] bool in_kernel() const {
    return open.in_flight() || stat.in_flight() || connect.in_flight() || send.in_flight()
           || recv.in_flight();
  }

  /// The last word of every callback.
  void maybe_go() {
    if (over && !in_kernel())
      self.reset();
  }

  /// Nothing more is wanted of it.
  void leave() {
    over = true;
    tell = nullptr;
    clock.cancel();
    if (open.in_flight())
      open.cancel();
    if (stat.in_flight())
      stat.cancel();
    if (connect.in_flight())
      connect.cancel();
    if (send.in_flight())
      send.cancel();
    if (recv.in_flight())
      recv.cancel();
  }

  void give(result<probe_result> r) {
    // Later: the owner may be in the middle of starting us.
    loop.post([f = std::move(tell), r = std::move(r), w = wanted] {
      if (*w)
        f(r);
    });
    tell = nullptr;
  }

  void drop(error why) {
    give(std::move(why));
    leave();
  }

  void settle(label what, std::string_view text) {
    probe_output output(most_bytes);
    output.feed(text);
    probe_result r;
    r.what = what;
    r.began_ns = began;
    r.ended_ns = began + (loop.sys().monotonic() - began_at).count();
    r.output = output.text();
    give(std::move(r));
  }

  void pass(std::string_view text) {
    settle(label::passed, text);
    leave();
  }

  void fail(std::string_view text) {
    settle(label::failed, text);
    leave();
  }

  void arm_clock() {
    clock.start(io::nanoseconds{timeout}, [this] {
      if (tell)
        settle(label::timeout, talk ? "waiting for " + std::string{talk->waits_for()} + " of "
                                        + address.text
                                    : doing);
      leave();
      maybe_go();
    });
  }

  // -- the network --

  void begin_network() {
    address = ip_address(question);
    const int n = loop.sys().socket_near(target.pidfd, address.where.ss_family,
                                          question.kind == probe_kind::tcp ? io::errand::knock
                                                                           : io::errand::talk);
    if (n == -EAFNOSUPPORT) {
      fail("cannot connect to " + address.text + ": " + errno_words(n));
      return maybe_go();
    }
    if (n < 0) {
      drop(n == -ESRCH ? error{ec::wrong_state, "its init has ended", {}}
                       : from_errno(-n, "make a socket in", "the container's network"));
      return maybe_go();
    }
    socket = io::fd(loop.sys(), n);
    arm_clock();
    begin_connect(false);
  }

  void begin_connect(bool apart) {
    doing = "connecting to " + address.text;
    connect.start(socket.get(), address.where, address.size, apart, [this](int32_t res) {
      path.reset();
      permit.give_back();
      if (!over)
        connected(res);
      maybe_go();
    });
  }

  void connected(int32_t res) {
    if (res < 0)
      return fail("cannot connect to " + address.text + ": " + errno_words(res));
    auto made = talk_of(question);
    if (!made)
      return drop(made.why());
    talk = std::move(*made);
    if (!talk)
      return pass("connected to " + address.text);
    send_more();
    receive();
  }

  void send_more() {
    if (send.in_flight() || mute)
      return;
    if (sending.empty())
      sending = talk->output();
    if (sending.empty())
      return;
    send.start(socket.get(), sending, [this](int32_t res) {
      mute = res <= 0; // What it has answered before it went is still to be read.
      sending.erase(0, size_t(std::max(res, 0)));
      if (!over)
        send_more();
      maybe_go();
    });
  }

  void receive() {
    recv.start(socket.get(), buffer, [this](int32_t res) {
      if (!over)
        received(res);
      maybe_go();
    });
  }

  void received(int32_t res) {
    if (!tell) { // It has been told: only to the end of what it says.
      drained += size_t(std::max(res, 0));
      return res > 0 && drained < most_drained_bytes ? receive() : leave();
    }
    if (res < 0)
      return fail("the connection to " + address.text + " broke: " + errno_words(res));
    const auto now = res == 0 ? talk->end() : talk->feed({buffer.data(), size_t(res)});
    if (now != verdict::more) {
      settle(now == verdict::passed ? label::passed : label::failed, talk->text());
      mute = true;
      return res > 0 && is_web(question.kind) ? receive() : leave();
    }
    send_more();
    receive();
  }

  // -- paths --

  void wait_for_permit() {
    clock.start(io::nanoseconds{timeout}, [this] {
      drop({ec::resource_exhausted, "other probes hang in their file systems", {}});
      maybe_go();
    });
    paths->ask([me = std::weak_ptr{self}](permits::permit p) {
      const auto b = me.lock();
      if (!b || b->over)
        return;
      b->permit = std::move(p);
      b->began = b->loop.sys().realtime().count();
      b->began_at = b->loop.sys().monotonic();
      b->arm_clock();
      b->open_root();
    });
  }

  void open_root() {
    doing = "looking at " + question.path;
    open.start(AT_FDCWD, "/proc/" + std::to_string(target.pid) + "/root", O_PATH | O_DIRECTORY, 0,
               false, [this](int32_t res) {
      root = io::fd(loop.sys(), res);
      if (!over)
        root_opened(res);
      maybe_go();
    });
  }

  void root_opened(int32_t res) {
    // Whose root it is: a number can be another's by now.
    if (res == -ENOENT || res == -ESRCH
        || loop.sys().start_ticks(target.pid) != int64_t(target.start_ticks))
      return drop({ec::wrong_state, "its init has ended", {}});
    if (res < 0)
      return drop(from_errno(-res, "open", "the container's root"));
    open.start_in_root(root.get(), question.path, O_PATH, [this](int32_t n) {
      path = io::fd(loop.sys(), n);
      root.reset();
      if (!over)
        path_opened(n);
      maybe_go();
    });
  }

  void path_opened(int32_t res) {
    if (res < 0)
      return fail("cannot look at " + question.path + ": " + errno_words(res));
    const auto link = "/proc/self/fd/" + std::to_string(path.get());
    if (question.kind == probe_kind::unix_socket)
      return connect_path(link);
    stat.start(link, true, [this](int32_t n) {
      permit.give_back();
      if (!over)
        looked(n);
      maybe_go();
    });
  }

  void looked(int32_t res) {
    if (res < 0)
      return fail("cannot look at " + question.path + ": " + errno_words(res));
    if (question.younger_ns == 0)
      return pass(question.path + " is there");
    const auto& at = stat.found().stx_mtime;
    const auto age = loop.sys().realtime()
                     - (std::chrono::seconds(at.tv_sec) + io::nanoseconds(at.tv_nsec));
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
    const auto text = question.path + " was changed " + std::to_string(ms) + " ms ago";
    if (age.count() <= question.younger_ns)
      return pass(text);
    fail(text + ", longer than " + std::to_string(question.younger_ns / 1'000'000) + " ms");
  }

  void connect_path(const std::string& link) {
    const int n = loop.sys().socket(AF_UNIX);
    if (n < 0)
      return drop(from_errno(-n, "make", "a unix socket"));
    socket = io::fd(loop.sys(), n);
    address = unix_address(link, question.path);
    begin_connect(true);
  }

  io::loop& loop;
  std::shared_ptr<permits> paths; ///< Those who made us may go before a hung path does.
  probe_question question;
  int64_t timeout;
  uint32_t most_bytes;
  probe_target target;
  done tell; ///< Empty once it is told.
  std::shared_ptr<bool> wanted = std::make_shared<bool>(true);
  bool over = false;
  bool mute = false; ///< Nothing more is sent.
  std::string doing; ///< What a timeout interrupts.
  int64_t began = 0;
  io::nanoseconds began_at{0};
  permits::permit permit;
  io::fd root, path, socket;
  network_address address;
  std::unique_ptr<probe_talk> talk;
  std::string sending;
  std::array<char, buffer_bytes> buffer{};
  size_t drained = 0;
  io::timer clock;
  io::open_op open;
  io::stat_op stat;
  io::connect_op connect;
  io::send_op send;
  io::recv_op recv;
  std::shared_ptr<body> self;
};

probe_call::probe_call(io::loop& l, std::shared_ptr<permits> paths, const probe& what,
                       uint32_t output_bytes, const probe_target& whom, done f) {
  auto b = std::make_shared<body>(l, std::move(paths), what, output_bytes, whom, std::move(f));
  body_ = b;
  b->start();
}

probe_call::~probe_call() { abandon(); }

void probe_call::abandon() {
  const auto b = body_.lock();
  if (!b)
    return;
  *b->wanted = false;
  b->leave();
  b->maybe_go();
}

bool probe_call::hangs() const {
  const auto b = body_.lock();
  return b && b->over && b->on_path() && b->in_kernel();
}

} // namespace gantry::runtime
