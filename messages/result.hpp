#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "messages/check.hpp"
#include "messages/error.hpp"

namespace gantry {

/// A value, or the error that stands in its place. What the world does wrong
/// travels as a `result`; reading the side that is not there is our own bug and
/// aborts.
template <class T>
class [[nodiscard]] result {
public:
  using value_type = T;

  result(T value) : store_(std::in_place_index<0>, std::move(value)) {}
  result(error why) : store_(std::in_place_index<1>, std::move(why)) {}

  [[nodiscard]] bool ok() const noexcept { return store_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & { return GANTRY_CHECK(ok()), std::get<0>(store_); }
  const T& value() const& { return GANTRY_CHECK(ok()), std::get<0>(store_); }
  T&& value() && { return GANTRY_CHECK(ok()), std::get<0>(std::move(store_)); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const error& why() const& { return GANTRY_CHECK(!ok()), std::get<1>(store_); }
  [[nodiscard]] error&& why() && { return GANTRY_CHECK(!ok()), std::get<1>(std::move(store_)); }

private:
  std::variant<T, error> store_;
};

/// Success without a value, or an error.
template <>
class [[nodiscard]] result<void> {
public:
  using value_type = void;

  result() = default;
  result(error why) : why_(std::move(why)) {}

  [[nodiscard]] bool ok() const noexcept { return !why_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] const error& why() const& { return GANTRY_CHECK(!ok()), *why_; }
  [[nodiscard]] error&& why() && { return GANTRY_CHECK(!ok()), *std::move(why_); }

private:
  std::optional<error> why_;
};

} // namespace gantry
