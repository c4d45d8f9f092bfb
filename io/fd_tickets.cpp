#include "io/fd_tickets.hpp"

#include <algorithm>
#include <array>
#include <sys/random.h>

#include "messages/check.hpp"

namespace gantry::io {

namespace {

constexpr size_t life_bytes = 8;
constexpr size_t secret_bytes = 16;
constexpr size_t ticket_digits = 2 * (life_bytes + secret_bytes);
constexpr std::string_view digits = "0123456789abcdef";

std::string random_hex(size_t bytes) {
  std::array<unsigned char, 32> raw{};
  GANTRY_CHECK(bytes <= raw.size() && ::getrandom(raw.data(), bytes, 0) == ssize_t(bytes));
  std::string out;
  for (size_t i = 0; i < bytes; ++i)
    out.append({digits[raw[i] >> 4], digits[raw[i] & 15]});
  return out;
}

} // namespace

fd_tickets::fd_tickets(loop& l, ticket_policy policy) : loop_(l), policy_(policy), expiry_(l) {}

result<std::string> fd_tickets::issue(fd what, ticket_holder who) {
  const auto theirs = std::count_if(waiting_.begin(), waiting_.end(), [&who](const auto& x) {
    return x.second.who.uid == who.uid;
  });
  if (waiting_.size() >= policy_.most || size_t(theirs) >= policy_.most_of_a_user)
    return error{ec::resource_exhausted,
                 std::to_string(theirs) + " tickets of user " + std::to_string(who.uid)
                   + " and " + std::to_string(waiting_.size()) + " in all wait to be presented",
                 "present them, or wait until they expire"};
  if (life_.empty())
    life_ = random_hex(life_bytes);
  auto ticket = life_ + random_hex(secret_bytes);
  waiting_.emplace(ticket, entry{std::move(what), who, loop_.now() + policy_.life});
  if (waiting_.size() == 1)
    expiry_.start(policy_.life, [this] { expire(); });
  return ticket;
}

result<fd> fd_tickets::redeem(std::string_view ticket, ticket_holder who) {
  const auto place = waiting_.find(ticket);
  if (place != waiting_.end() && place->second.who == who) {
    fd out = std::move(place->second.what);
    waiting_.erase(place);
    return out;
  }
  ++refused_;
  const std::string again = "ask for a new one with GetProcessFd";
  if (ticket.size() != ticket_digits || ticket.find_first_not_of(digits) != std::string_view::npos)
    return error{ec::invalid_argument, "that is no ticket of gantryd's", again};
  if (place != waiting_.end())
    return error{ec::permission_denied, "the ticket was given to another process",
                 "present it in the process that asked for it"};
  if (life_.empty() || !ticket.starts_with(life_))
    return error{ec::not_found, "the ticket is of an earlier life of gantryd, which has restarted",
                 again};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(policy_.life).count();
  return error{ec::not_found,
               "no such ticket: it was used already, or is older than " + std::to_string(seconds)
                 + " s",
               again};
}

void fd_tickets::expire() {
  const auto now = loop_.now();
  auto next = nanoseconds::max();
  for (auto at = waiting_.begin(); at != waiting_.end();)
    if (at->second.until <= now) {
      at = waiting_.erase(at);
    } else {
      next = std::min(next, at->second.until);
      ++at;
    }
  if (!waiting_.empty())
    expiry_.start(next - now, [this] { expire(); });
}

} // namespace gantry::io
