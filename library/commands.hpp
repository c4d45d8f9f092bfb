#pragma once

#include "library/convert.hpp"
#include "library/site.hpp"

// How a command of the public interface goes to the library's thread and comes back.

namespace gantry::library {

/// Sends a request from any thread and hands its converted answer to the callback, on the
/// library's.
template <class Reply, class T, class Request, class Convert>
void send(const std::shared_ptr<site>& at, Request req, callback<T> f, Convert convert) {
  const bool in = at->post([at, req = std::move(req), f, convert]() mutable {
    at->ask<Reply>(std::move(req), [f, convert](result<Reply> x) {
      if (x)
        call_out(f, convert(*x));
      else
        call_out(f, std::move(x).why());
    });
  });
  if (!in)
    call_out(f, site::ended());
}

/// A changing request: repeats of it are recognised.
template <class Reply, class T, class Request, class Convert>
void change(const std::shared_ptr<site>& at, Request req, const std::string& request_id,
            callback<T> f, Convert convert) {
  const bool in = at->post([at, req = std::move(req), request_id, f, convert]() mutable {
    req.set_request_id(!request_id.empty() || at->way() == nullptr || !at->way()->may_repeat()
                         ? request_id
                         : fresh_request_id());
    at->ask<Reply>(std::move(req), [f, convert](result<Reply> x) {
      if (x)
        call_out(f, convert(*x));
      else
        call_out(f, std::move(x).why());
    });
  });
  if (!in)
    call_out(f, site::ended());
}

inline constexpr auto nothing = [](const auto&) { return result<void>{}; };

template <class Request>
Request about(const container_ref& c) {
  Request out;
  *out.mutable_ref() = to_bus(c);
  return out;
}

} // namespace gantry::library
