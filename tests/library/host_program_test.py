#!/usr/bin/python3
"""A program that embeds a supervisor: with a keeper and without, killed by -9 and started again,
and what gantry does to it otherwise: nothing.

  host_program_test.py BUILD
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "host"))

from checks import Broken, check, check_equal, until  # noqa: E402
from rig import make_rootfs, process_state, read_text  # noqa: E402

PATIENCE = 60


class Host:
    """One host program and its directories."""

    def __init__(self, build, keeper=None):
        self.build = build
        self.keeper = keeper  # None, "above" (gantry-keeper -- program) or "self" (under_keeper)
        self.dir = tempfile.mkdtemp(prefix="gantry-host-", dir="/run")
        self.rootfs = make_rootfs(os.path.join(self.dir, "rootfs"))
        self.parent = os.path.basename(self.dir)
        self.events = []
        self.child = None
        self.pid = 0
        self.text = b""

    def begin(self):
        """Starts it, up to the moment before it makes its supervisor."""
        state = os.path.join(self.dir, "state")
        words = [os.path.join(self.build, "tests/library/host_program"), state,
                 os.path.join(self.dir, "root"), self.parent, self.rootfs]
        if self.keeper == "above":
            words = [os.path.join(self.build, "bin/gantry-keeper"), "--"] + words
        if self.keeper == "self":
            words.append(os.path.join(self.build, "bin/gantry-keeper"))
        self.text = b""
        self.child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(self.expect("before"))

    def serve(self):
        self.tell("go")
        self.expect("ready")

    def tell(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def line(self):
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE)
            part = os.read(self.child.stdout.fileno(), 65536) if ready else b""
            check(part, f"no more lines from the host program; the last: {self.text!r}")
            self.text += part
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def expect(self, word):
        """The rest of the next line that begins so; events are set aside."""
        while True:
            line = self.line()
            if line.startswith("event "):
                self.events.append(tuple(line.split()[1:]))
                continue
            check(line == word or line.startswith(word + " "), f"wanted {word}, got: {line}")
            return line[len(word) + 1:]

    def ask(self, line, word):
        self.tell(line)
        return self.expect(word)

    def told(self, kind, name):
        """Whether such an event has come; asks something, as lines are read for answers."""
        self.ask("info", "info")
        return any(e[:2] == (kind, name) for e in self.events)

    def ps(self):
        pairs = (x.split("=") for x in self.ask("ps", "ps").split())
        return {name: tuple(what.split("/")) for name, what in pairs}

    def kill(self):
        """kill -9; under a keeper the next one begins by itself."""
        os.kill(self.pid, signal.SIGKILL)
        if self.keeper:
            self.pid = int(self.expect("before"))
        else:
            self.child.wait()

    def close(self):
        if self.child and self.child.poll() is None:
            self.child.stdin.close()
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        tops = [e.path for e in os.scandir("/sys/fs/cgroup") if e.is_dir()]
        for top in ["/sys/fs/cgroup"] + tops:
            for folder, _, _ in os.walk(os.path.join(top, self.parent), topdown=False):
                for pid in read_text(os.path.join(folder, "cgroup.procs")).split():
                    os.kill(int(pid), signal.SIGKILL)
                until(lambda f=folder: not read_text(os.path.join(f, "cgroup.procs")), "empty")
                os.rmdir(folder)
        shutil.rmtree(self.dir, ignore_errors=True)


def status(pid, *fields):
    text = read_text(f"/proc/{pid}/status")
    return {f: re.search(rf"^{f}:\s*(.*)$", text, re.M).group(1) for f in fields}


def picture(pid):
    """What a program has of its own, as the kernel shows it."""
    masks = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        if read_text(f"/proc/{pid}/task/{task}/comm").strip() not in ("gantry",) \
                and not read_text(f"/proc/{pid}/task/{task}/comm").startswith("iou-"):
            masks[task] = status(f"{pid}/task/{task}", "SigBlk")["SigBlk"]
    return {"signals": status(pid, "SigCgt", "SigIgn", "Umask"), "masks": masks,
            "limits": read_text(f"/proc/{pid}/limits"), "cwd": os.readlink(f"/proc/{pid}/cwd"),
            "environ": read_text(f"/proc/{pid}/environ")}


def test_it_does_nothing_to_the_program_around_it(build):
    host = Host(build)
    try:
        host.begin()
        before = picture(host.pid)
        threads = set(os.listdir(f"/proc/{host.pid}/task"))
        host.serve()
        host.ask("run a sleep 1000", "pid")
        check_equal(picture(host.pid), before, "while it serves")
        own = {t for t in os.listdir(f"/proc/{host.pid}/task")
               if not read_text(f"/proc/{host.pid}/task/{t}/comm").startswith("iou-")}
        check_equal(len(own - threads), 1, "threads that came")
        for number in os.listdir(f"/proc/{host.pid}/fd"):
            flags = int(re.search(r"flags:\s*(\d+)",
                                  read_text(f"/proc/{host.pid}/fdinfo/{number}")).group(1), 8)
            check(int(number) < 3 or flags & os.O_CLOEXEC, f"descriptor {number} is inherited")
        check_equal(host.ask("child", "child"), "42", "the status of the program's own child")
        host.tell("stop")
        host.expect("ended")
        check_equal(picture(host.pid), before, "after the end")
        check_equal(set(os.listdir(f"/proc/{host.pid}/task")), threads, "threads at the end")
        check_equal(len(os.listdir(f"/proc/{host.pid}/fd")), 3, "descriptors at the end")
    finally:
        host.close()


def with_keeper(build, keeper):
    host = Host(build, keeper)
    try:
        host.begin()
        host.serve()
        check_equal(host.ask("info", "info"), "alive 1", "the keeper")
        lives = host.ask("run lives i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done", "pid")
        dies = host.ask("run dies sleep 1000", "pid")
        for generation in ("2", "3"):
            host.kill()
            host.serve()
            check_equal(host.ask("info", "info"), f"alive {generation}", "the keeper")
            check_equal(host.ps(), {"lives": ("running", lives), "dies": ("running", dies)},
                        "adopted")
        check_attached(host)
        # One ends while there is no host program.
        parent = int(status(host.pid, "PPid")["PPid"])
        os.kill(parent, signal.SIGSTOP)
        os.kill(host.pid, signal.SIGKILL)
        os.kill(int(dies), signal.SIGTERM)
        os.kill(int(dies), signal.SIGKILL)
        until(lambda: process_state(dies) in ("Z", None), "it ends")
        os.kill(parent, signal.SIGCONT)
        host.pid = int(host.expect("before"))
        host.serve()
        check_equal(host.ask("wait dies", "exit"), "137", "its true status")
        host.ask("kill lives", "ok")
        check_equal(host.ask("wait lives", "exit"), "137", "the other's")
        numbers = host.ask("log lives", "log").rstrip(",").split(",")
        check_equal(numbers, [str(i + 1) for i in range(len(numbers))], "not a line is missing")
        for name in ("lives", "dies"):
            until(lambda n=name: host.told("exit", n), f"the end of {name} is told")
            told = {e for e in host.events if e[1] == name}
            check_equal(sorted(e[0] for e in told), ["exit", "start"], f"events of {name}")
        for name in ("lives", "dies"):
            host.ask(f"rm {name}", "ok")
        host.tell("stop")
        host.expect("ended")
        host.tell("bye")
        check_equal(host.child.wait(PATIENCE), 0, "its exit code is the program's")
    finally:
        host.close()


def check_attached(host):
    """What is attached to is found again by the next life, with all its output and input."""
    host.ask("run talks while read x; do echo got $x; done", "pid")
    check_equal(host.ask("join talks", "joined"), "0", "input that it has had")
    check_equal(host.ask("type one", "heard"), "got one", "the first life")
    host.kill()
    host.serve()
    check_equal(host.ask("join talks", "joined"), "4", "input that the earlier life gave it")
    check_equal(host.ask("type two", "heard"), "got one", "its output from the beginning")
    host.tell("type three")
    check_equal(host.expect("heard"), "got two", "and as it comes")
    host.ask("rm talks", "ok")


def test_killed_under_a_keeper_it_finds_all_again(build):
    with_keeper(build, "above")


def test_it_comes_under_a_keeper_by_itself(build):
    with_keeper(build, "self")


def test_without_a_keeper_what_lives_is_taken_over(build):
    host = Host(build)
    try:
        host.begin()
        host.serve()
        check_equal(host.ask("info", "info").split()[0], "none", "the keeper")
        pid = host.ask("run a sleep 1000", "pid")
        until(lambda: host.ask("pending", "pending") == "0", "the journal is on disk")
        host.kill()
        check(process_state(pid) is not None, "the container goes on")
        host.begin()
        host.serve()
        check_equal(host.ps(), {"a": ("running", pid)}, "adopted")
        host.ask("rm a", "ok")
        check_equal(host.ps(), {}, "gone")
        until(lambda: process_state(pid) in ("Z", None), "it has ended")
        host.tell("stop")
        host.expect("ended")
    finally:
        host.close()


def main():
    build = os.path.abspath(sys.argv[1])
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (len(sys.argv) > 2 and sys.argv[2] not in name):
            continue
        try:
            test(build)
            passed += 1
            print(f"ok     {name}", flush=True)
        except (Broken, Exception):
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc(limit=-5)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
