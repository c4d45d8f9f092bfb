#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <poll.h>

#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::bench {

/// CLOCK_MONOTONIC in nanoseconds.
int64_t now_ns() noexcept;

/// Ends the program: a figure of a run that went wrong would be a lie.
[[noreturn]] void give_up(const std::string& why);

int pidfd_open(int32_t pid);
void kill_by(int pidfd, int sig);
void sleep_ms(int ms);

/// One connection to gantryd. Whatever fails ends the program.
class session {
public:
  explicit session(const std::string& socket) : channel_(socket) {}

  template <class Reply>
  Reply ask(const char* method, const google::protobuf::MessageLite& what) {
    auto got = channel_.ask<Reply>(method, what);
    if (!got)
      give_up(std::string(method) + ": " + got.why().text());
    return std::move(*got);
  }

  void start(client::call& c) { channel_.start(c); }
  void drop(const client::call& c) { channel_.drop(c); }

  /// One round of the connection, which also watches `other`.
  void step(pollfd& other) { channel_.step({&other, 1}, 1000); }

  /// Waits until `ready`, with a deadline.
  void until(const std::function<bool()>& ready, const char* what, int seconds = 60);

private:
  client::channel channel_;
};

/// The event stream, from now on.
class events final : public client::call {
public:
  using sink = std::function<void(const v1::Event&)>;

  /// Returns when the stream is set up: no event from here on is missed.
  events(session& s, sink f);
  ~events() override { session_.drop(*this); }

  [[nodiscard]] std::string request() const override;
  void message(std::string_view bytes) override;
  void done(result<void> how) override;

private:
  session& session_;
  sink sink_;
  bool listed_ = false;
};

/// What a container of a figure is.
struct container {
  std::string id;
  std::string rootfs;
  std::vector<std::string> args{};
  bool start = true;
  bool remove_on_exit = false;
  uint64_t log_file_bytes = 0; ///< 0: the default.
  uint32_t log_files = 0;
  std::string log_format{}; ///< Empty: the default.
};

v1::CreateRequest create_request(const container& c);
v1::CreateReply create(session& s, const container& c);
void remove(session& s, const std::string& id);
v1::Ref ref_of(const std::string& id);

/// Words after the subcommand: `--name value`, in any order.
class words {
public:
  words(int argc, char** argv);
  [[nodiscard]] std::string text(const std::string& name) const;
  [[nodiscard]] std::string text(const std::string& name, const std::string& otherwise) const;
  [[nodiscard]] int64_t number(const std::string& name, int64_t otherwise) const;

private:
  std::vector<std::pair<std::string, std::string>> all_;
};

/// `"name": [1, 2, 3]`
std::string list_of(const char* name, const std::vector<int64_t>& samples);

int exit_latency(const words& w);
int loud_neighbours(const words& w);
int restart(const words& w);
int one_shot(const words& w);
int exec_latency(const words& w);
int fill(const words& w);
int clear(const words& w);
int list_latency(const words& w);
int log_rate(const words& w);
int echo_latency(const words& w);
int calls(const words& w);

} // namespace gantry::bench
