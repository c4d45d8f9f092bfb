#pragma once

#include <array>
#include <deque>
#include <mutex>

#include <gantry/attach.hpp>

#include "library/streams.hpp"

namespace gantry {

namespace library {
class attach_pump;
}

/// What an attachment and its pump share.
struct attachment::joined {
  struct place {
    std::array<uint64_t, 2> put{};
    std::string cursor;
  };

  /// A piece was put into its pipe whole.
  void passed(std::string at);
  /// Behind what was read from the pipes; with the mutex held.
  const std::string& read_to();

  std::shared_ptr<library::site> at;
  std::weak_ptr<library::attach_pump> pump; ///< For the library's thread.
  bool input = false;
  std::mutex mutex;
  std::array<int, 2> pipes{-1, -1};  ///< Write ends, while they are open.
  std::array<uint64_t, 2> put{};     ///< Bytes that went into each.
  std::array<uint64_t, 2> left_out{};
  std::string cursor;                ///< Behind what was read for sure.
  std::deque<place> places;          ///< What was put into the pipes behind that.
  uint64_t stdin_offset = 0;
  std::optional<exit_report> exit;
};

/// Makes attachments: only the library does.
class attach_access {
public:
  static void fill(attachment& x, const v1::AttachOpened& opened,
                   std::shared_ptr<attachment::joined> j) {
    x.instance_ = opened.instance();
    x.run_ = opened.run();
    x.joined_ = std::move(j);
  }
};

namespace library {

/// Joins the streams of a process; on the library's thread.
void open_attachment(const std::shared_ptr<site>& at, attach_options what,
                     callback<attachment> f);

/// Between a process's streams and an attachment's pipes, in both directions.
class attach_pump final : public guest, public std::enable_shared_from_this<attach_pump> {
public:
  attach_pump(std::shared_ptr<site> at, attach_options what, callback<attachment> f);
  ~attach_pump() override;
  void begin(std::unique_ptr<actors::attachment> from);
  void resize(const v1::TerminalSize& size);
  /// Nothing more is passed on, and nobody is told.
  void end();
  [[nodiscard]] bool over() const noexcept { return over_; }
  void leave(const error& why) override { end_with(why); }
  [[nodiscard]] bool idle() const override { return pending_.empty(); }

private:
  struct output {
    int pipe = -1;
    std::unique_ptr<reactor::wait> writable;
    std::unique_ptr<reactor::wait> left; ///< The reader has closed its end.
  };

  void pull();
  void took(result<std::vector<v1::AttachReply>> x);
  void go_on();
  bool hand_on(const v1::AttachReply& x);
  void give(const v1::AttachOpened& opened);
  result<io_bundle> make_pipes(const v1::AttachOpened& opened);
  bool put(const v1::AttachOutput& x);
  void tell_gap(const v1::AttachGap& x);
  void close_output(size_t which);
  void end_with(result<exit_report> how);

  void await_input();
  void read_input();
  void end_input();
  void leave_if_alone();
  [[nodiscard]] bool untaken() const;

  /// Calls one of our functions later, if we are still there.
  std::function<void()> soon(void (attach_pump::*f)());

  std::shared_ptr<site> site_;
  const attach_options what_;
  callback<attachment> f_; ///< Until it was called.
  std::shared_ptr<io_bundle::shared> says_;
  std::shared_ptr<attachment::joined> joined_;
  std::unique_ptr<actors::attachment> from_;
  std::array<output, 2> outputs_;
  std::deque<v1::AttachReply> pending_;
  size_t written_ = 0; ///< Of the first one.
  bool pulling_ = false;
  bool blocked_ = false;
  bool over_ = false;

  int in_ = -1;
  std::unique_ptr<reactor::wait> readable_;
  bool room_ = true;
  bool at_end_ = false;     ///< `in` was closed by its writer.
  bool input_over_ = false; ///< The process takes no more.
  bool closing_ = false;
  uint64_t sent_to_ = 0; ///< The offset behind what was sent.
};

} // namespace library

} // namespace gantry
