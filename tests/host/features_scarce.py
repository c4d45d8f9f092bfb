"""What the host does not give: no runtime, no io_uring, full disks, no descriptors, no pids."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

from marks import once, own_rig
from rig import (check, check_equal, check_stream, process_state, read_text, scaled,
                 until)

HERE = os.path.dirname(os.path.abspath(__file__))


@once
@own_rig(runs=False)
def test_no_runtime(rig):
    usual = list(rig.extra)
    rig.use_runtime("/nowhere/runc")
    code, text = rig.try_start()
    rig.extra = usual
    check_equal(code, 69, f"exit code: {text}")
    check("/nowhere/runc" in text, f"it is named: {text}")
    check("--runtime" in text or "install" in text, f"the cure is named: {text}")
    with open(os.path.join(rig.dir, "norunc"), "w") as f:
        f.write("not a program")
        os.fchmod(f.fileno(), 0o755)
    rig.use_runtime(os.path.join(rig.dir, "norunc"))
    rig.start()
    done = rig.gantry("run", "--name", "a", "--rootfs", rig.rootfs, "--", "true")
    check(done.code == 125 and "norunc" in done.err, f"it is named: {done!r}")
    check_equal(rig.state_of("a"), None, "nothing is left")


@once
@own_rig(runs=False)
def test_io_uring_is_forbidden(rig):
    code, text = rig.try_start([sys.executable, os.path.join(HERE, "without_io_uring.py"),
                                *rig.command()])
    check_equal(code, 69, f"exit code: {text}")
    check("io_uring" in text, f"it is named: {text}")
    check("seccomp" in text or "io_uring_disabled" in text, f"the cure is named: {text}")


@once
@own_rig(runs=False)
def test_the_state_cannot_be_written(rig):
    for option in ("--state", "--root"):
        command = rig.command()
        command[command.index(option) + 1] = "/proc/nowhere"
        code, text = rig.try_start(command)
        check(code in (1, 69, 71, 78), f"exit code {code}: {text}")
        check("/proc/nowhere" in text, f"it is named: {text}")


@once
@own_rig(wrapper=["/usr/bin/prlimit", "--nofile=64:64"])
def test_descriptors_run_out(rig):
    made, done = [], None
    for i in range(20):
        done = rig.gantry("run", "-d", "--name", f"a{i}", "--rootfs", rig.rootfs, "--", "sleep",
                          "1000")
        if done.code != 0:
            break
        made.append(f"a{i}")
    check(done.code == 125, f"there is an end: {done!r}")
    check("descriptors" in done.err or "files" in done.err, f"the cause is named: {done.err}")
    check("limit" in done.err.lower(), f"the cure is named: {done.err}")
    info = rig.ok("--json", "info").objects()[0]
    check(info["fd_limit"] == 64 and 45 <= info["fds"] < 64,
          f"some are kept for what goes on: {info}")
    check(len(made) >= 2, f"some fit: {made}")
    check_equal(rig.state_of(made[0]), "running", "those there live on")
    rig.ok("rm", "-f", made[0], made[1])
    rig.run("again", "true")
    check_equal(rig.ok("wait", "again").out, "0\n", "and there is room again")


@once
@own_rig()
def test_pids_run_out(rig):
    """The host's pids cgroup allows no new process: a create fails, the rest lives."""
    base = "/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup"
    group = os.path.join(base, os.path.basename(rig.dir) + "-own")
    os.mkdir(group)
    rig.ends.append(lambda: os.rmdir(group))
    rig.ends.append(lambda: back(base, rig))
    rig.run("a", "sleep", "1000")
    for pid in (rig.daemon.pid, rig.alive_pid()):
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(pid))
    with open(os.path.join(group, "pids.max"), "w") as f:
        f.write("1")
    done = rig.gantry("run", "-d", "--name", "b", "--rootfs", rig.rootfs, "--", "true")
    check(done.code == 125 and done.err, f"refused: {done!r}")
    check_equal(rig.state_of("b"), None, "nothing is left")
    check_equal(rig.state_of("a"), "running", "the other lives")
    with open(os.path.join(group, "pids.max"), "w") as f:
        f.write("max")
    rig.run("c", "true")
    check_equal(rig.ok("wait", "c").out, "0\n", "and it works again")


def back(base, rig):
    for pid in (rig.daemon.pid, rig.alive_pid()):
        with contextlib.suppress(OSError), open(os.path.join(base, "cgroup.procs"), "w") as f:
            f.write(str(pid))


class MemoryGroup:
    """A memory cgroup for gantryd alone: its keeper and the containers live elsewhere."""

    def __init__(self, rig):
        v1 = os.path.isdir("/sys/fs/cgroup/memory")
        self.path = os.path.join("/sys/fs/cgroup/memory" if v1 else "/sys/fs/cgroup",
                                 os.path.basename(rig.dir) + "-memory")
        self.limit_file, self.usage_file = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if v1
            else ("memory.max", "memory.current"))
        self.none = "-1" if v1 else "max"
        os.mkdir(self.path)
        rig.ends.append(lambda: until(self.removed, "its cgroup is gone"))
        rig.wrapper = ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs; exec "$@"', "sh"]

    def removed(self):
        """Whoever is in it moves out; the next start of gantryd may bring another."""
        with contextlib.suppress(OSError):
            for pid in read_text(os.path.join(self.path, "cgroup.procs")).split():
                with open(os.path.join(os.path.dirname(self.path), "cgroup.procs"), "w") as f:
                    f.write(pid)
            os.rmdir(self.path)
        return not os.path.exists(self.path)

    def limit(self, text):
        with open(os.path.join(self.path, self.limit_file), "w") as f:
            f.write(text)

    def limit_to_what_it_has(self, more):
        self.limit(str(int(read_text(os.path.join(self.path, self.usage_file))) + more))

    def kills(self):
        for file in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                words = read_text(os.path.join(self.path, file)).split()
                return int(words[words.index("oom_kill") + 1])
        raise AssertionError("no counter of OOM kills")


@once
@own_rig(runs=False, unchecked=True)
def test_memory_runs_out(rig):
    """The kernel kills gantryd again and again, and its starts fail: when there is memory
    again it is back, nobody has noticed, and what was asked for meanwhile is done once."""
    group = MemoryGroup(rig)
    rig.start(rig.keeper_command()[:1] + ["--back-off", "20"] + rig.keeper_command()[3:])
    rig.run("writer", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    rig.run("ends", "sh", "-c", "sleep 1; exit 6")
    pid = rig.init_pid("writer")
    group.limit_to_what_it_has(128 << 10)
    child = rig.spawn("run", "-d", "--name", "late", "--rootfs", rig.rootfs, "--", "sh", "-c",
                      "echo once; exit 5")
    until(group.kills, "the kernel kills")
    first = time.monotonic()  # However slow its starts are: a client waits 10 s for gantryd.
    until(lambda: group.kills() >= 5 or time.monotonic() - first > 3, "the kernel kills again")
    group.limit(group.none)
    until(rig.answers, "gantryd is back", 60)
    out, err = child.communicate(timeout=60)
    check_equal((child.returncode, out), (0, b"late\n"), f"the run that was under way ({err})")
    check_equal(rig.ok("wait", "ends", "late").out, "6\n5\n", "exits")
    check_equal(rig.ok("logs", "late").out, "once\n", "it was run once")
    check_equal((rig.state_of("writer"), rig.init_pid("writer")), ("running", pid), "the writer")
    rig.ok("kill", "writer")
    rig.ok("wait", "writer")
    numbers = rig.ok("logs", "writer").lines()
    check_equal(numbers, [str(i) for i in range(len(numbers))], "no number is missing")
    check(rig.events("supervisor-started")[-1]["details"]["previous_signal"] == "9", "why")
    check_stream(rig.events())


SLOW = """#!/bin/sh
for word in "$@"; do
  case "$word" in *stuck*) touch {mark}; exec sleep 1000;; esac
done
exec runc "$@"
"""


@once
@own_rig(runs=False)
def test_a_runtime_that_hangs_delays_nobody_else(rig):
    slow, mark = os.path.join(rig.dir, "slow-runc"), os.path.join(rig.dir, "mark")
    with open(slow, "w") as f:
        f.write(SLOW.format(mark=mark))
    os.chmod(slow, 0o755)
    rig.use_runtime(slow)
    rig.start([*rig.keeper_command(), "--runtime-deadline", str(scaled(4))])
    child = rig.spawn("run", "-d", "--name", "stuck", "--rootfs", rig.rootfs, "--", "true")
    until(lambda: os.path.exists(mark), "the runtime hangs")
    for i in range(3):
        began = time.monotonic()
        rig.run(f"a{i}", "sh", "-c", "exit 3")
        check_equal(rig.ok("wait", f"a{i}").out, "3\n", "another container")
        rig.ok("ps", "-a")
        check(time.monotonic() - began < scaled(10), "nobody waits")
    # Its deadline ends it, and the create says so.
    out, err = child.communicate(timeout=60)
    check(child.returncode == 125 and b"stuck" in err, f"the create fails: {err}")
    check(f"took longer than {scaled(4):g} s and was killed".encode() in err, f"and why: {err}")
    until(lambda: not hung_commands(rig), "the hung command has been ended")
    os.unlink(slow)
    os.symlink(shutil.which("runc"), slow)
    until(lambda: rig.state_of("stuck") is None, "nothing of it is left")


def hung_commands(rig):
    """Commands of this rig's gantryd that its runtime never ends: by the words in them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as f:
            if f"GANTRY_ROOT={rig.state}/".encode() in f.read():
                found.append(pid)
    return found


@once
@own_rig(runs=False, unchecked=True)
def test_a_full_disk_under_journal_and_logs(rig):
    os.makedirs(rig.root)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", rig.root], check=True)
    rig.ends.append(lambda: subprocess.run(["umount", "-l", rig.root], check=True))
    rig.start()
    rig.run("old", "sleep", "1000")
    ballast = os.path.join(rig.root, "ballast")
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 4096)
    # A writer is held up, not cut off.
    done = rig.gantry("run", "-d", "--name", "new", "--rootfs", rig.rootfs, "--", "sh", "-c",
                      "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done; exit 3")
    rig.ok("ps", "-a")
    # Kills, exits and removals go on.
    rig.ok("kill", "old")
    check_equal(rig.ok("wait", "old").out, "137\n", "wait")
    rig.ok("rm", "old")
    if done.code == 0:
        until(lambda: rig.events("log-blocked"), "the blocked log is told of")
        check_equal(rig.state_of("new"), "running", "the writer waits")
    else:
        check("disk" in done.err or "space" in done.err, f"the cause is named: {done.err}")
    os.unlink(ballast)
    if done.code == 0:
        check_equal(rig.ok("wait", "new", patience=60).out, "3\n", "it goes on and ends")
        check_equal(rig.ok("logs", "new").out, "".join(f"line {i}\n" for i in range(60000)),
                    "not a byte is lost")
    rig.run("later", "true")
    check_equal(rig.ok("wait", "later").out, "0\n", "all is well again")


@once
@own_rig()
def test_a_process_that_cannot_be_killed_delays_nobody(rig):
    """A stopped tracee is the nearest to it that a test can make: a frozen cgroup."""
    rig.run("a", "sleep", "1000")
    rig.run("b", "sh", "-c", "exit 3")
    freezer = rig.cgroup_file("a", "freezer", "freezer.state")
    if freezer is None:
        return  # v2: SIGKILL ends a frozen process.
    with open(freezer, "w") as f:
        f.write("FROZEN")
    child = rig.spawn("stop", "-t", "0", "a")
    began = time.monotonic()
    check_equal(rig.ok("wait", "b").out, "3\n", "another")
    rig.ok("ps", "-a")
    check(time.monotonic() - began < scaled(5), "nobody waits")
    out, err = child.communicate(timeout=40)
    check(process_state(rig.init_pid("a") or 1) is not None, "asked")
    with open(freezer, "w") as f:
        f.write("THAWED")
    check(child.returncode in (0, 125), f"stop ends: {err}")
    if child.returncode == 125:
        check(b"SIGKILL has not ended" in err, f"and says why: {err}")
    until(lambda: rig.state_of("a") == "stopped", "it ends after the thaw")
