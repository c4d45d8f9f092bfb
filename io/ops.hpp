#pragma once

// Every op of the loop, one file each. Common rules: an op is immovable; `start` takes a
// callback that is moved out before it runs, so it may start the same op again or destroy
// it; results are counts or negated errnos; descriptors stay open until the op is at rest
// (cancel, wait for -ECANCELED, close).

#include "io/file_ops.hpp"  // open, read, write, fsync, allocate, rename, unlink, mkdir, close
#include "io/poll.hpp"      // readiness of pipes, pidfds, eventfds, inotify
#include "io/socket_ops.hpp" // accept, connect, recv, send
