#pragma once

#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "io/loop.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// The process that asked for a ticket, and the only one that may present it.
struct ticket_holder {
  uid_t uid = 0;
  pid_t pid = 0;
  bool operator==(const ticket_holder&) const = default;
};

/// Limits: policy, plain data.
struct ticket_policy {
  nanoseconds life = std::chrono::seconds(10);
  size_t most = 256;          ///< That wait at a time: each holds a descriptor.
  size_t most_of_a_user = 64; ///< Of them for one user.
};

/// Descriptors that wait for those who were promised them. A ticket is 24 random bytes in hex
/// (8 of them are those of this life), good once, for a short time, for one process. One
/// thread: the loop's.
class fd_tickets {
public:
  explicit fd_tickets(loop& l, ticket_policy policy = {});

  /// Keeps `what` for `who`. `resource_exhausted` where too many wait.
  result<std::string> issue(fd what, ticket_holder who);

  /// What the ticket stands for; it is used up. Presented by somebody else it stays good.
  result<fd> redeem(std::string_view ticket, ticket_holder who);

  [[nodiscard]] nanoseconds life() const noexcept { return policy_.life; }
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }
  [[nodiscard]] uint64_t refused() const noexcept { return refused_; } ///< Bad tickets so far.

private:
  struct entry {
    fd what;
    ticket_holder who;
    nanoseconds until{0};
  };

  void expire();

  loop& loop_;
  const ticket_policy policy_;
  timer expiry_;
  std::string life_; ///< Of the tickets of this life; empty before the first.
  std::map<std::string, entry, std::less<>> waiting_;
  uint64_t refused_ = 0;
};

} // namespace gantry::io
