#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "actors/output_hub.hpp"
#include "actors/stdio.hpp"
#include "io/held_poll.hpp"

namespace gantry::actors {

// Named FIFOs of clients, joined with the streams of a process. We hold both ends of each, and
// so does the shelf: a client that goes brings no end of file, and what lies in a FIFO stays.

/// stdin, stdout, stderr; empty where there is none.
using fifo_set = std::array<io::fd, 3>;

/// Opens what the spec names and lays it on the shelf; those of an earlier life are kept. The
/// process takes them from `services::shelved_fifos`. At once where none are named.
/// @param owner Whose they are: the caller's uid.
/// @param f On the loop, perhaps from inside this call. An error names the FIFO.
void open_fifos(services& host, uint64_t serial, const v1::Fifos& named, uint32_t owner,
                std::function<void(result<void>)> f);

/// Takes the FIFOs of a process from `services::shelved_fifos`.
fifo_set take_fifos(services& host, uint64_t serial);

/// Lets go of the FIFOs of a process that was not made.
void forget_fifos(services& host, uint64_t serial);

/// Passes output on to FIFOs, and input from one. Output waits for room, and its process with
/// it. Lives on for a while after its process, if readers have not caught up.
class fifo_relay final : public output_tap, public std::enable_shared_from_this<fifo_relay> {
public:
  /// Bytes for stdin; `more_input` answers when they were taken.
  using input = std::function<void(std::string bytes)>;

  fifo_relay(services& host, process_names who, fifo_set fifos, input in);
  ~fifo_relay() override;

  /// Begins, from where an earlier life came to; what that lost is told as an event.
  void begin();
  void more_input() { watch_input(); }
  void end_input();
  /// The process has ended and its pump is at rest: what waits still goes, for some time.
  void leave();

  void came(int stream, uint64_t offset, std::span<const char> bytes) override;

private:
  struct output {
    io::fd fifo;
    std::string waiting;
    uint64_t relayed = 0; ///< Stream bytes up to here were written.
    io::held_poll poll;
  };

  void pass(int stream);
  void watch_output(int stream);
  void watch_input();
  void read_input();
  void lost(int stream, uint64_t bytes, const std::string& why);
  [[nodiscard]] bool waits() const;

  services& host_;
  process_names who_;
  io::fd in_fifo_;
  io::held_poll in_poll_;
  input in_;
  std::array<output, 2> out_;
  io::timer patience_;
  bool in_over_ = false;
  bool left_ = false;
};

} // namespace gantry::actors
