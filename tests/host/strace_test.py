#!/usr/bin/python3
"""Proof that the loop thread never blocks: gantryd under strace and a short mixed load.

  tests/host/strace_test.py BIN_DIR [--keep FILE]

What it may do is listed below, call by call, with the reason; anything else fails the test.
Calls of the ring's own workers (fsync, writes to disk) are not the loop's and not seen here.
"""

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import Broken, Rig, check, check_equal, until  # noqa: E402

LINE = re.compile(r"^(?:\[pid +\d+\] )?(\w+)\((.*)$")
DISK = "/gantry-disk/"  # The root directory: what lies here goes through the ring.

# Where a call waits, it waits here and nowhere else.
WAITS_HERE = {"io_uring_enter"}

# At once, whatever comes: memory, clocks, signals, descriptors, pipes, sockets, procfs.
AT_ONCE = {
    "read", "readv", "write", "writev", "close", "pipe2", "tee", "ioctl", "fcntl", "eventfd2",
    "dup", "dup2", "dup3", "mmap", "munmap", "madvise", "mremap", "brk", "mprotect",
    "socket", "sendmsg", "recvmsg", "sendto", "recvfrom", "accept4", "getsockopt", "getsockname",
    "socketpair", "memfd_create", "pread64", "preadv", "preadv2", "pidfd_open", "pidfd_send_signal",
    "timer_settime", "timer_gettime", "clock_gettime", "gettimeofday", "getpid", "gettid",
    "getrandom", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield", "getrusage",
    "io_uring_register", "prlimit64", "kill", "tgkill", "uname", "sysinfo", "getdents64",
    "lseek", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "restart_syscall", "clone3", "clone", "vfork", "waitid", "wait4",
    "futex", "poll", "ppoll", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "symlink", "open",
    "openat", "openat2", "statfs", "fstatfs", "setrlimit", "close_range",
}

SYNCS = {"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync", "fallocate",
         "nanosleep", "clock_nanosleep", "select", "pselect6", "epoll_wait", "epoll_pwait",
         "flock", "connect", "pwrite64", "pwritev", "pwritev2", "ftruncate", "rename",
         "renameat", "renameat2", "link", "splice", "sendfile", "copy_file_range", "execve",
         "pause", "rt_sigtimedwait", "sigsuspend", "open_by_handle_at", "mount", "umount2"}


def wrong(name, rest):
    """Why this call must not be in the loop thread, or None."""
    if name in WAITS_HERE:
        return None
    if name in SYNCS:
        if name in ("pwrite64", "pwritev", "pwritev2"):
            number = re.match(r"(\d+)<([^>]*)>", rest)
            if number and DISK not in number.group(2):
                return None  # A cgroup file, say.
        if name == "splice" and rest.count("<pipe:") == 2 and "SPLICE_F_NONBLOCK" in rest:
            return None  # From pipe to pipe, that flag holds for both: splice(2).
        return "it can block"
    if name not in AT_ONCE:
        return "it is not on the list of what the loop may call"
    if name in ("write", "writev", "read", "readv", "pread64", "preadv", "preadv2"):
        number = re.match(r"(\d+)<([^>]*)>", rest)
        if number and DISK in number.group(2):
            return "a file on the disk is read or written outside of the ring"
    if name in ("open", "openat", "openat2") and DISK in rest and "O_DIRECTORY" not in rest:
        return "a file on the disk is opened outside of the ring"
    if name in ("wait4", "waitid") and "WNOHANG" not in rest:
        return "it waits for a child"
    if name in ("poll", "ppoll") and not re.search(r", (0|\{tv_sec=0, tv_nsec=0\})[,)]", rest):
        return "it waits for descriptors"
    if name == "futex" and "FUTEX_WAIT" in rest:
        return "it waits for another thread"
    if name in ("symlink", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat") and DISK in rest:
        return "a directory of the disk is changed outside of the ring"
    if name == "accept4" and "SOCK_NONBLOCK" not in rest:
        return "it takes a connection that would block"
    return None


def load(rig):
    """A short mixed load: every kind of request, and a writer at full speed."""
    with open(os.path.join(rig.rootfs, "data"), "wb") as f:
        f.write((b"x" * 99 + b"\n") * 100000)
    for i in range(3):
        a = f"a{i}"
        rig.run(a, "sh", "-c", "cat /data; exec sleep 1000", options=("-m", "64m"))
        check_equal(rig.ok("exec", "-i", a, "--", "wc", "-c", stdin=b"hello").out.strip(), "5",
                    "wc")
        rig.ok("pause", a)
        rig.ok("resume", a)
        rig.ok("update", "-m", "128m", a)
        rig.ok("stats", a)
        rig.ok("top", a)
        rig.ok("inspect", a)
        rig.ok("ps")
        until(lambda a=a: len(rig.ok("logs", a).raw) == 10000000, "its log is whole")
        rig.ok("kill", a)
        rig.ok("wait", a)
        rig.ok("start", a)
        rig.ok("stop", "-t", "0", a)
        rig.ok("rm", a)
    rig.gantry("run", "--rm", "--rootfs", rig.rootfs, "--", "/nowhere")
    rig.ok("events", "--since", "0")
    rig.ok("info")


def trace(rig, path):
    pid = rig.alive_pid()
    tracer = subprocess.Popen(["strace", "-y", "-s", "64", "-e", "signal=none", "-o", path, "-p",
                               str(pid)], stderr=subprocess.PIPE)
    try:
        until(lambda: "TracerPid:\t0" not in open(f"/proc/{pid}/status").read(), "strace attaches")
        load(rig)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    check_equal(rig.alive_pid(), pid, "gantryd has lived through it")


def judge(path):
    counts, faults = collections.Counter(), collections.Counter()
    with open(path, errors="replace") as f:
        for line in f:
            m = LINE.match(line)
            if not m:
                continue
            counts[m.group(1)] += 1
            why = wrong(m.group(1), m.group(2))
            if why:
                faults[(why, line.strip()[:200])] += 1
    check(counts["io_uring_enter"] > 100, f"too little was seen: {counts}")
    print("calls of the loop thread: "
          + ", ".join(f"{name} {n}" for name, n in counts.most_common()))
    for (why, line), n in faults.most_common(20):
        print(f"FAILED: {why} ({n} times): {line}")
    check(not faults, f"{sum(faults.values())} calls that the loop thread must not make")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir")
    parser.add_argument("--keep", help="where the trace is kept")
    options = parser.parse_args()
    began = time.monotonic()
    # On a disk, as in life: tmpfs would hide what the ring is for.
    root = f"/var/tmp{DISK}{os.getpid()}"
    os.makedirs(os.path.dirname(root), exist_ok=True)
    rig = Rig(options.bin_dir, root=root)
    path = options.keep or os.path.join(rig.dir, "trace")
    trouble = None
    try:
        rig.start()
        trace(rig, path)
        judge(path)
        rig.check_clean()
        rig.check_end()
    except (Broken, subprocess.TimeoutExpired) as e:
        trouble = str(e)
        print(f"FAILED: {trouble}\n" + rig.daemon_log()[-2000:])
    finally:
        rig.close()
        subprocess.run(["rm", "-rf", root], check=False)
    print(f"took {time.monotonic() - began:.0f} s")
    print("0 passed, 1 failed" if trouble else "1 passed, 0 failed")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
