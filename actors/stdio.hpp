#pragma once

#include <array>
#include <memory>
#include <string>

#include "actors/services.hpp"
#include "messages/gantry.pb.h"

namespace gantry::actors {

/// Whose streams they are: for records and paths.
struct process_names {
  runtime::container_name container;
  uint64_t instance = 0;
  uint32_t run = 0;
  std::string process;
  uint64_t serial = 0;
};

/// Gantry's side of a process's streams.
struct process_streams {
  std::unique_ptr<io::pump> pump; ///< Null where nothing is left to read.
  io::fd stdin_pipe;              ///< Write end, or a terminal's master; empty without stdin.
  io::fd terminal;                ///< The master, for its size; empty where there is none.
};

/// A listening socket to which the runtime sends a terminal's master.
struct console_socket {
  io::fd listener;
  std::string path;
};

/// Both sides of a new process's streams.
struct new_streams {
  process_streams ours;
  std::array<io::fd, 3> theirs; ///< stdin, stdout, stderr: for the runtime, closed afterwards.
  console_socket console;       ///< Instead of all that, where a terminal is asked for.

  [[nodiscard]] std::array<int, 3> numbers() const noexcept {
    return {theirs[0].get(), theirs[1].get(), theirs[2].get()};
  }
};

/// Makes pipes, lays our ends on the shelf and begins the log. The log directory exists.
/// Cost: three pipes or two and /dev/null, one or two messages to the keeper.
result<new_streams> make_streams(services& host, const process_names& who, bool with_stdin,
                                 const v1::LogOptions& log);

/// What the owner of a log does not decide: followers hear of growth, the journal of a disk
/// that refuses.
io::pump::events log_events(services& host, const process_names& who,
                            const v1::LogOptions& options);

/// A put that failed although there is a keeper. Without one the containers still run; that
/// they would not survive us was said when it went.
bool lost(const result<void>& put);

/// Drops one kind of what the shelf holds of a process.
void drop_kind(services& host, uint64_t kind, uint64_t serial);

/// Takes the streams of an adopted process from the shelf and goes on with its log.
process_streams adopt_streams(services& host, const process_names& who, const v1::LogOptions& log);

/// Ends a process's stdin for good, on our side and on the shelf.
void drop_stdin(services& host, uint64_t serial);

/// Drops what the shelf holds of a process.
void drop_streams(services& host, uint64_t serial);

/// Removes the log files of a process once their readers have left, or lost patience.
/// @param not_before Readers may still come until then (loop time): the files stay so long.
void remove_logs(services& host, uint64_t serial, std::function<void()> f,
                 io::nanoseconds not_before = {});

io::log_policy policy_of(services& host, const process_names& who, const v1::LogOptions& options);
io::log_format format_of(const v1::LogOptions& options);

/// How the log of a known process was asked for.
v1::LogOptions log_options_of(const runtime::container_view& c, const runtime::process_view& p);

/// A record with the names of a process filled in.
journal::Record record_for(const process_names& who);

} // namespace gantry::actors
