#include "actors/terminal.hpp"

#include <cerrno>

#include "actors/log_forward.hpp"
#include "io/log.hpp"
#include "io/log_state.hpp"

namespace gantry::actors {

namespace {

/// First byte of the shelf's note where the streams are a terminal.
constexpr char terminal_mark = 't';

std::string thing(const process_names& who) {
  return "the terminal of \"" + who.process + "\" of \"" + who.container.id + "\"";
}

std::string console_path(const services& host, uint64_t serial) {
  return host.options.state_dir + "/tty/" + hex16(serial);
}

result<io::fd> twin(services& host, const io::fd& of, const process_names& who) {
  auto& sys = host.loop.sys();
  const int n = sys.dup(of.get());
  if (n < 0)
    return from_errno(-n, "keep", thing(who));
  return io::fd{sys, n};
}

void tell_gap(services& host, const process_names& who, uint64_t at_most) {
  auto r = record_for(who);
  r.mutable_output_gap()->set_at_most_bytes(at_most);
  r.mutable_output_gap()->set_reason(
    "gantryd died while it read " + std::to_string(at_most)
    + " bytes of a terminal: they may be lost");
  host.ledger.record(r);
}

/// The size that a process's terminal was given last; 0x0 if nobody gave one.
v1::TerminalSize size_of(const services& host, const process_names& who) {
  v1::TerminalSize size;
  const auto* c = host.ledger.now().find(who.container);
  const auto* p = c != nullptr ? c->process(who.process) : nullptr;
  if (p != nullptr && p->serial == who.serial) {
    size.set_width(p->width);
    size.set_height(p->height);
  }
  return size;
}

/// Everything about a terminal but the shelf: its log, its input, its size.
result<process_streams> streams_of(services& host, const process_names& who, io::fd master,
                                   const v1::LogOptions& log) {
  process_streams out;
  auto input = twin(host, master, who);
  if (!input)
    return std::move(input).why();
  auto control = twin(host, master, who);
  if (!control)
    return std::move(control).why();
  // Also after a crash: it may have come between the record of a size and this.
  if (const auto size = size_of(host, who); size.width() != 0)
    (void)host.loop.sys().set_terminal_size(master.get(), uint16_t(size.width()),
                                            uint16_t(size.height()));
  out.stdin_pipe = std::move(*input);
  out.terminal = std::move(*control);
  out.pump = std::make_unique<io::pump>(host.loop, host.keeper, host.blocks,
                                        policy_of(host, who, log));
  out.pump->is_terminal();
  std::array<io::fd, 2> reads{std::move(master), io::fd{}};
  const auto dir = host.log_dir(who.serial);
  // A crash between the shelf and the beginning of the log leaves no slot.
  const bool known = bool(io::log_state::find(host.keeper.memory(), who.serial));
  auto begun = known
                 ? out.pump->resume(who.serial, dir, std::move(reads),
                                    log_events(host, who, log))
                 : out.pump->begin(who.serial, dir, std::move(reads),
                                   log_events(host, who, log));
  if (!begun)
    return std::move(begun).why();
  log_forward::start(host, who, log);
  if (const auto lost = out.pump->maybe_lost(); lost > 0)
    tell_gap(host, who, lost);
  return out;
}

} // namespace

bool is_terminal(const io::shelf_entry& entry) noexcept {
  return entry.note[0] == terminal_mark;
}

result<new_streams> make_console(services& host, const process_names& who) {
  auto& sys = host.loop.sys();
  new_streams made;
  auto& out = made.console;
  out.path = console_path(host, who.serial);
  if (const int n = sys.mkdir(host.options.state_dir + "/tty", 0700); n < 0 && n != -EEXIST)
    return from_errno(-n, "make the directory", host.options.state_dir + "/tty");
  const int n = sys.listen(out.path);
  if (n == -ENAMETOOLONG)
    return error{ec::invalid_argument,
                 "the path of the terminal's socket is longer than 107 bytes: " + out.path,
                 "give gantryd a shorter --state directory"};
  if (n < 0)
    return from_errno(-n, "listen at", out.path);
  out.listener = io::fd{sys, n};
  const int fds[] = {n};
  if (auto put = host.keeper.put({shelf_console, who.serial}, {}, fds); lost(put)) {
    sys.unlink(out.path);
    return std::move(put).why();
  }
  return made;
}

void close_console(services& host, uint64_t serial) {
  drop_kind(host, shelf_console, serial);
  host.loop.sys().unlink(console_path(host, serial));
}

result<process_streams> take_terminal(services& host, const process_names& who,
                                      console_socket console, const v1::LogOptions& log) {
  auto& sys = host.loop.sys();
  const int n = console.listener ? sys.take_descriptor(console.listener.get()) : -EAGAIN;
  io::fd master;
  if (n >= 0) {
    master = io::fd{sys, n};
    io::shelf_note note{};
    note[0] = terminal_mark;
    const int fds[] = {n};
    if (auto put = host.keeper.put({io::shelf_kind::stdio, who.serial}, note, fds); lost(put)) {
      close_console(host, who.serial);
      return std::move(put).why();
    }
  }
  console.listener.reset();
  close_console(host, who.serial);
  if (n < 0)
    return error{ec::runtime_failed,
                 "the runtime made no terminal for \"" + who.process + "\" of \""
                   + who.container.id + "\"",
                 "look whether it knows --console-socket"};
  auto out = streams_of(host, who, std::move(master), log);
  if (!out)
    drop_streams(host, who.serial);
  return out;
}

result<process_streams> take_terminal_again(services& host, const process_names& who,
                                            const v1::LogOptions& log) {
  if (host.shelved.contains(who.serial))
    return adopt_streams(host, who, log);
  console_socket waits;
  if (auto at = host.shelved_consoles.find(who.serial); at != host.shelved_consoles.end()) {
    if (!at->second.fds.empty())
      waits.listener = std::move(at->second.fds.front());
    host.shelved_consoles.erase(at);
  }
  return take_terminal(host, who, std::move(waits), log);
}

process_streams adopt_terminal(services& host, const process_names& who, io::fd master,
                               const v1::LogOptions& log) {
  auto out = streams_of(host, who, std::move(master), log);
  if (out)
    return std::move(*out);
  io::log_error("container={} process={}: its terminal cannot go on: {}", who.container.id,
                who.process, out.why().text());
  return {};
}

} // namespace gantry::actors
