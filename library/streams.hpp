#pragma once

#include <mutex>

#include "library/site.hpp"

namespace gantry {

/// What a bundle and its pumps share.
struct io_bundle::shared {
  std::mutex mutex;
  std::optional<error> trouble; ///< The first.

  void note(const error& why) {
    std::lock_guard guard(mutex);
    if (!trouble)
      trouble = why;
  }
};

/// Makes bundles: only the library does.
class stream_access {
public:
  static std::shared_ptr<io_bundle::shared>& shared(io_bundle& x) { return x.shared_; }
  static int& fd(io_bundle& x, size_t which) { return x.fds_[which]; }
  static void terminal(io_bundle& x, bool on) { x.terminal_ = on; }
};

namespace library {

/// A pipe, `ours` (0 or 1) its end for the library: O_NONBLOCK.
result<void> make_pipe(int (&ends)[2], int ours);

/// Opens the streams of a process that exists; on the library's thread.
void open_streams(const std::shared_ptr<site>& at, const io_options& what, callback<io_bundle> f);

/// One output: from the log into a pipe, as fast as its reader takes it, up to the end.
class output_pump final : public guest, public std::enable_shared_from_this<output_pump> {
public:
  /// @param pipe The write end, O_NONBLOCK; owned.
  output_pump(std::shared_ptr<site> at, std::shared_ptr<io_bundle::shared> says, int pipe,
              uint32_t stream);
  ~output_pump() override;
  void begin(std::unique_ptr<actors::log_follower> from);
  void leave(const error& why) override;

private:
  void pull();
  void took(result<std::vector<v1::LogChunk>> x);
  void write();
  void end();

  std::shared_ptr<site> site_;
  std::shared_ptr<io_bundle::shared> says_;
  int pipe_;
  uint32_t stream_;
  std::unique_ptr<actors::log_follower> from_;
  std::unique_ptr<reactor::wait> writable_;
  std::unique_ptr<reactor::wait> left_; ///< The reader has closed its end.
  std::string data_;
  size_t written_ = 0;
};

/// The input: from a pipe to the process, in order, each byte at most once.
class input_pump final : public guest, public std::enable_shared_from_this<input_pump> {
public:
  /// @param pipe The read end, O_NONBLOCK; owned.
  input_pump(std::shared_ptr<site> at, std::shared_ptr<io_bundle::shared> says, int pipe,
             v1::Ref ref, std::string process);
  ~input_pump() override;
  void begin();
  void leave(const error& why) override;

private:
  void read();
  void send();
  void sent(result<v1::WriteStdinReply> x);
  void close_stdin();
  void end();

  std::shared_ptr<site> site_;
  std::shared_ptr<io_bundle::shared> says_;
  int pipe_;
  v1::Ref ref_;
  std::string process_;
  std::unique_ptr<reactor::wait> wait_;
  bool known_ = false;  ///< How much input the process has had before us.
  uint64_t offset_ = 0; ///< Of `data_` in the whole input.
  std::string data_;
  io::nanoseconds pause_{0};
};

} // namespace library

} // namespace gantry
