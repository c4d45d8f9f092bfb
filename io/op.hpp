#pragma once

#include <cstdint>
#include <typeinfo>

#include "messages/check.hpp"

struct io_uring_sqe;

namespace gantry::io {

/// One kernel request. Its address travels as the completion's user_data, so it
/// never moves and must outlive its completion. Used on the loop's thread only.
class op {
public:
  op() = default;
  op(const op&) = delete;
  op& operator=(const op&) = delete;
  virtual ~op() { GANTRY_CHECK(!in_flight_); }

  /// True from `kernel::submit` until `complete` is entered.
  [[nodiscard]] bool in_flight() const noexcept { return in_flight_; }

protected:
  /// Fills the submission entry (already zeroed); never blocks. What the entry points
  /// to stays valid until `complete`.
  virtual void prepare(io_uring_sqe& sqe) noexcept = 0;

  /// Runs on the loop's own turn, never from inside `submit` or `cancel`. The op is at
  /// rest when this is entered: it may be submitted again or destroyed from here.
  /// @param res A count, or a negated errno (-ECANCELED after a cancel).
  /// @param flags The completion's flags (IORING_CQE_F_*).
  virtual void complete(int32_t res, uint32_t flags) noexcept = 0;

  /// Whom the completion is for, for the word about a slow turn.
  [[nodiscard]] virtual const std::type_info& purpose() const noexcept { return typeid(*this); }

private:
  friend class loop;
  friend class op_access;
  bool in_flight_ = false;
};

/// For kernels only: the way to an op's private side.
class op_access {
public:
  static void prepare(op& x, io_uring_sqe& sqe) noexcept { x.prepare(sqe); }
  static void complete(op& x, int32_t res, uint32_t flags) noexcept { x.complete(res, flags); }
  static void set_in_flight(op& x, bool value) noexcept { x.in_flight_ = value; }
};

} // namespace gantry::io
