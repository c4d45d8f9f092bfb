#!/usr/bin/python3
"""A sleeping process with a pid of the caller's choice: tests/host/take_pid.py PID

The kernel gives it by clone3(2) with set_tid (Linux 5.5, root). While the number's last owner has
not been reaped, it is tried again. Prints "ready" and sleeps until stdin ends.
"""

import ctypes
import errno
import os
import signal
import sys
import time

SYS_CLONE3 = 435  # The same on every architecture.


class CloneArgs(ctypes.Structure):
    """struct clone_args, clone3(2)."""
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
        "set_tid", "set_tid_size", "cgroup")]


def fork_as(pid):
    """fork(2) with this pid; 0 in the child, a negative errno where the number is in use."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = ctypes.c_int32(pid)
    args = CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    got = libc.syscall(SYS_CLONE3, ctypes.byref(args), ctypes.sizeof(args))
    return got if got >= 0 else -ctypes.get_errno()


def main():
    pid = int(sys.argv[1])
    deadline = time.monotonic() + 60
    while (got := fork_as(pid)) == -errno.EEXIST and time.monotonic() < deadline:
        time.sleep(0.002)
    if got == 0:
        os.execv("/bin/sleep", ["sleep", "1000"])
    if got < 0:
        sys.exit(f"take_pid: {pid}: {os.strerror(-got)}")
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
