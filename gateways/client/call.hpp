#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include "messages/result.hpp"

namespace gantry::client {

/// One call in progress. It never moves, and must outlive its end: `done`, or
/// `channel::drop`. All functions run on the thread that steps the channel.
class call {
public:
  /// @param method `/gantry.v1.Containers/List`; a literal, it is not copied.
  explicit call(const char* method) : method_(method) {}
  call(const call&) = delete;
  call& operator=(const call&) = delete;
  virtual ~call() = default;

  [[nodiscard]] const char* method() const noexcept { return method_; }

  /// The request, serialised. Asked anew for every connection, so that a repeat can
  /// continue where the last connection ended.
  [[nodiscard]] virtual std::string request() const = 0;

  /// True: `request` is only the first message; more follow by `channel::say`, on the
  /// connection that asked for it last.
  [[nodiscard]] virtual bool talks() const noexcept { return false; }

  /// A reply, serialised; the view dies with the call. May start and drop other calls.
  virtual void message(std::string_view bytes) = 0;

  /// The end, exactly once. Connection losses within the channel's bound are not ends.
  virtual void done(result<void> how) = 0;

private:
  const char* method_;
};

/// A call with one request and one reply.
template <class Reply>
class unary final : public call {
public:
  unary(const char* method, const google::protobuf::MessageLite& request)
    : call(method), request_(request.SerializeAsString()) {}

  [[nodiscard]] std::string request() const override { return request_; }

  void message(std::string_view bytes) override {
    Reply fresh;
    if (fresh.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
      reply_ = std::move(fresh);
  }

  void done(result<void> how) override { end_ = std::move(how); }

  [[nodiscard]] bool finished() const noexcept { return end_.has_value(); }

  /// Only after `finished`.
  [[nodiscard]] result<Reply> take() {
    GANTRY_CHECK(finished());
    if (!end_->ok())
      return end_->why();
    if (!reply_)
      return error{ec::internal, std::string("gantryd gave no readable answer to ") + method(),
                   "use the same version of both"};
    return std::move(*reply_);
  }

private:
  std::string request_;
  std::optional<Reply> reply_;
  std::optional<result<void>> end_;
};

} // namespace gantry::client
