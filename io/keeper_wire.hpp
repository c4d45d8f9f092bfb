#pragma once

#include <cstddef>
#include <cstdint>

/// What the keeper, gantryd and a starting gantryd say to each other: one message is one
/// packet of a SOCK_SEQPACKET unix socket, always a whole `message`, native-endian (it never
/// leaves the machine). The first eight bytes mean the same in every version.
namespace gantry::io::keeper_wire {

inline constexpr uint32_t magic = 0x70656b67; // "gkep" in memory on a little-endian machine
inline constexpr uint16_t version = 1;

/// Name of the variable by which a gantryd knows its keeper: VERSION:SOCKET:ARENA:NEWS, all
/// decimal, the last three being descriptors.
inline constexpr const char* environment = "GANTRY_KEEPER";

/// Descriptors of a gantryd that was started by the keeper.
inline constexpr int socket_fd = 3;
inline constexpr int arena_fd = 4;
inline constexpr int news_fd = 5;

/// Most descriptors that travel with one message.
inline constexpr size_t max_fds = 8;

/// Largest packet: a `start` with its strings.
inline constexpr size_t max_packet = 64u << 10;

enum class word : uint16_t {
  // gantryd to keeper
  hello = 1,    ///< First message; answered by `welcome` or, in another version, `error`.
  ready = 2,    ///< gantryd serves.
  put = 3,      ///< Keep the descriptors that come along under (kind, serial), with `note`.
  drop = 4,     ///< Forget (kind, serial).
  list = 5,     ///< Answered by one `entry` for each key, then `end`.
  freed = 6,    ///< Entries of a full table of the dead are free again.
  farewell = 7, ///< The next end is meant. value 1: the keeper stays and waits for a `start`.
  // a starting gantryd to a keeper that waits (control socket)
  /// Run this program; its strings follow. With descriptors 0, 1 and 2. What comes behind these
  /// goes on the shelf under (kind, 0) with `note`, and where nothing comes that key is dropped;
  /// kind 0: the shelf stays as it is. serial 1: where a gantryd runs whose launcher has gone,
  /// take that launcher's place; nothing is dropped then.
  start = 8,
  signal = 9, ///< Send signal `value` to the gantryd that was started.
  // keeper to gantryd
  welcome = 32, ///< value: the keeper's pid, serial: the generation.
  entry = 33,   ///< (kind, serial), note, and descriptors.
  end = 34,     ///< value: number of entries sent.
  error = 35,   ///< value: a `refusal`; aux: the keeper's version; note: a text.
  // keeper to a starting gantryd
  started = 36, ///< value: pid.
  serving = 37, ///< value: pid; it said `ready`.
  ended = 38,   ///< value: raw wait status; it will not be started again by itself.
};

/// Why a message was not obeyed.
enum class refusal : uint32_t {
  version = 1,    ///< Another version of this protocol.
  malformed = 2,  ///< Not a message, or not one that may be sent here.
  table_full = 3, ///< No room on the shelf for another key.
  fds_lost = 4,   ///< Descriptors did not arrive: the keeper's limit of open files.
  busy = 5,       ///< A gantryd is running (value of `serial`: its pid).
  failed = 6,     ///< The system refused; `serial` is the errno.
};

/// One message, in either direction, as it stands on the socket.
struct message {
  uint32_t magic = keeper_wire::magic;
  uint16_t version = keeper_wire::version;
  word what{};
  uint32_t value = 0;
  uint32_t aux = 0;
  uint64_t kind = 0;
  uint64_t serial = 0;
  char note[64] = {};
};
static_assert(sizeof(message) == 96 && alignof(message) == 8);

// Behind a `start` message come strings, each with its NUL: the program's path, its working
// directory, `value` arguments and `aux` variables of the environment.
inline constexpr uint32_t max_arguments = 512;
inline constexpr uint32_t max_variables = 1024;

} // namespace gantry::io::keeper_wire
