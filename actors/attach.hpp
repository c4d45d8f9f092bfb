#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>

#include "actors/front.hpp"
#include "actors/output_hub.hpp"
#include "actors/run_bound.hpp"
#include "actors/services.hpp"
#include "io/log_format.hpp"
#include "io/log_reader.hpp"

namespace gantry::actors {

/// Where an attached client goes on: a place in the log that holds everything before it, and
/// how many bytes behind it, of each stream, the client has had already.
struct attach_place {
  uint64_t serial = 0;
  io::log_place log;
  std::array<uint64_t, 2> skip{};
};

std::string cursor_text(const attach_place& at);
result<attach_place> parse_attach_cursor(const std::string& text);

/// Whose streams somebody joins.
struct attach_target {
  runtime::container_name container;
  uint64_t instance = 0;
  std::string process;
  uint64_t serial = 0;
  uint32_t run = 0; ///< Of the container.
  bool terminal = false;
  io::log_format format = io::log_format::json_file; ///< Of its log.
};

/// One client at a process's streams. Output comes from the log until the client has caught
/// up with it, then as the pump reads it: the place where the one ends and the other begins
/// is a position of the pump, so that no byte is left out and none comes twice.
class attached final : public output_tap, public std::enable_shared_from_this<attached> {
public:
  /// @param way Where input goes: the front that made this.
  attached(services& host, front& way, v1::By by, v1::AttachOpen open, attach_target who);
  ~attached() override;

  /// @param from Empty serial: from now on.
  void begin(attach_place from, v1::AttachOpened opened);

  void next(size_t max_bytes, answer<std::vector<v1::AttachReply>> f);
  result<bool> take(v1::AttachRequest req);
  void end_of_requests();
  void on_room(std::function<void()> f) { room_ = std::move(f); }

  void came(int stream, uint64_t offset, std::span<const char> bytes) override;

private:
  // -- output (attach.cpp) --
  bool greet();
  [[nodiscard]] bool over() const;
  [[nodiscard]] bool later_run() const;
  void wake();
  void read();
  void on_batch(result<io::log_reader::batch> b);
  void take_pending();
  void go_on();
  [[nodiscard]] bool caught_up() const;
  void go_live(bool with_unlogged);
  void push_output(int stream, std::string_view bytes, bool live, uint64_t offset);
  [[nodiscard]] attach_place place() const;
  bool make_room(int stream, size_t bytes);
  void go_without();
  void rest();
  void push_gaps();
  void push(v1::AttachReply reply, size_t bytes);
  void push_exit();
  void deliver_later();
  void deliver();
  void fail(error why);

  // -- input (attach_input.cpp) --
  void write_next();
  void wrote(result<v1::WriteStdinReply> x);
  void end_input(const error& why);
  void close_input();

  services& host_;
  front& way_;
  const v1::By by_;
  const v1::AttachOpen open_;
  const attach_target who_;
  const size_t limit_;
  std::function<void()> on_news_;
  std::optional<v1::AttachOpened> opened_; ///< Until it was said.

  enum class stage : uint8_t { log, waiting, live, ended } at_ = stage::log;
  std::unique_ptr<io::log_reader> reader_;
  std::deque<io::log_piece> pending_; ///< Read, and not committed by the pump yet.
  io::log_place read_to_;             ///< Up to here everything was handed on.
  std::array<uint64_t, 2> skip_{};
  std::array<uint64_t, 2> sent_{};    ///< Live: the offset behind what was handed on.
  bool reading_ = false;
  bool news_ = false;
  bool at_end_ = false;
  run_bound bound_;
  bool beyond_ = false; ///< What the log has now is the next run's.

  std::deque<std::pair<v1::AttachReply, size_t>> queue_;
  size_t queued_ = 0;
  std::array<uint64_t, 2> dropped_{};
  bool late_ = false; ///< It goes without until it has read all that waits, and rested.
  io::nanoseconds late_since_{0};
  io::timer rest_;
  io::timer patience_;
  size_t max_bytes_ = 0;
  answer<std::vector<v1::AttachReply>> waiting_;
  bool deliver_posted_ = false;
  std::optional<error> failed_;

  std::deque<v1::AttachInput> inputs_;
  size_t input_bytes_ = 0;
  bool writing_ = false;
  bool input_over_ = false;
  bool requests_over_ = false;
  std::function<void()> room_;
};

/// Finds the process and attaches to it.
result<std::unique_ptr<attachment>> attach_to(services& host, front& way, const v1::By& by,
                                              const v1::AttachOpen& open);

} // namespace gantry::actors
