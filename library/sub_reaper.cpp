#include "library/sub_reaper.hpp"

#include <cerrno>
#include <mutex>
#include <sys/prctl.h>

namespace gantry::library {

namespace {

// Of a process there is one such setting: the supervisors in it share it.
std::mutex guarded;
int takers = 0;
int before = 0;

} // namespace

result<void> sub_reaper::take() {
  std::lock_guard guard(guarded);
  if (takers == 0 && (::prctl(PR_GET_CHILD_SUBREAPER, &before) != 0
                      || ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0))
    return from_errno(errno, "become", "a sub-reaper");
  ++takers;
  taken_ = true;
  return {};
}

sub_reaper::~sub_reaper() {
  std::lock_guard guard(guarded);
  if (taken_ && --takers == 0 && before == 0)
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

} // namespace gantry::library
