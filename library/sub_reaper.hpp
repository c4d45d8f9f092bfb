#pragma once

#include "messages/result.hpp"

namespace gantry::library {

/// This process as the sub-reaper of what falls to it (PR_SET_CHILD_SUBREAPER, prctl(2)), for
/// as long as one of these lives; then it is again what it was before.
class sub_reaper {
public:
  sub_reaper() = default;
  ~sub_reaper();
  sub_reaper(const sub_reaper&) = delete;
  sub_reaper& operator=(const sub_reaper&) = delete;

  result<void> take();

private:
  bool taken_ = false;
};

} // namespace gantry::library
