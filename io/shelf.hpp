#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/arena.hpp"
#include "io/kernel.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// Key of something on the keeper's shelf. The keeper only compares it.
struct shelf_key {
  uint64_t kind = 0; ///< See `shelf_kind`.
  uint64_t serial = 0;
  auto operator<=>(const shelf_key&) const = default;
};

/// What gantryd puts on the shelf.
namespace shelf_kind {
inline constexpr uint64_t listener = 1; ///< serial: 1 the bus, 2 fds.sock, …; one fd.
inline constexpr uint64_t stdio = 2;    ///< serial: process serial; fds as `stdio_note` says.
inline constexpr uint64_t stage = 16;   ///< serial 1: see io/stage.hpp; read end, write end.
} // namespace shelf_kind

/// 64 bytes that travel beside the fds and mean nothing to the keeper.
using shelf_note = std::array<char, 64>;

/// What lies on the shelf under one key.
struct shelf_entry {
  shelf_key key;
  shelf_note note{};
  std::vector<fd> fds; ///< Our own duplicates.
};

/// Most fds under one key.
inline constexpr size_t shelf_max_fds = 8;

/// gantryd's side of the keeper: the shelf and the news of the dead. A successful `put` is
/// durable at once: the message lies in the socket's queue, and the keeper empties that
/// queue before it starts another gantryd.
class shelf {
public:
  virtual ~shelf() = default;

  /// Keeps duplicates of `fds` under `key`, instead of what was there. Never waits.
  /// `unavailable` once the keeper has gone: who can live without it goes on.
  virtual result<void> put(const shelf_key& key, const shelf_note& note,
                           std::span<const int> fds) = 0;
  virtual result<void> drop(const shelf_key& key) = 0;

  /// Everything on the shelf. Waits for the keeper: for the start only.
  virtual result<std::vector<shelf_entry>> list() = 0;

  /// Readable when the keeper has written into the table of the dead (an eventfd; read it
  /// to reset), or -1 without a keeper.
  [[nodiscard]] virtual int news_fd() const noexcept = 0;

  /// Tells the keeper that entries of a full table were freed.
  virtual void freed() noexcept = 0;

  /// Tells the keeper that the next end of this gantryd is meant (no restart).
  virtual void farewell() noexcept = 0;

  /// The same, but the keeper stays with all that it holds until another gantryd is started
  /// on the same state: containers are to go on running meanwhile.
  virtual void farewell_for_now() noexcept { farewell(); }

  /// Tells the keeper that this gantryd serves: from now on each end of it leads to a
  /// restart, whatever its exit code.
  virtual void ready() noexcept {}

  /// False once the keeper has gone. Without a keeper (`news_fd` is -1) always true.
  [[nodiscard]] virtual bool alive() const noexcept = 0;

  /// Called once, on the loop, when the keeper has gone. Each call adds a listener.
  virtual void on_lost(std::function<void()> f) = 0;

  [[nodiscard]] virtual arena memory() const noexcept = 0;
};

} // namespace gantry::io
