"""gantryd as the service of a manager: the keeper apart, readiness, the watchdog, every end."""

import os
import signal
import socket
import subprocess
import time

from marks import once, own_rig
from rig import check, check_equal, process_state, scaled, until


TICKING = "trap 'exit 3' TERM; while :; do echo tick; sleep 0.05; done"
POLITE = "trap 'exit 3' TERM; while :; do sleep 0.05; done"


class Manager:
    """Does with gantryd what systemd does: starts one process, hears its words, ends it."""

    def __init__(self, rig, watchdog_s=0.0):
        self.rig = rig
        path = os.path.join(rig.dir, "notify")
        self.words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.words.bind(path)
        self.words.settimeout(scaled(20))
        self.env = dict(os.environ, NOTIFY_SOCKET=path)
        if watchdog_s:
            self.env["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
            self.env["WATCHDOG_PID"] = "1"  # Of the first process, never gantryd's own.
        rig.ends.append(self.end)

    def start(self):
        self.rig.daemon = subprocess.Popen(
            [*self.rig.command(), "--keeper-apart"], env=self.env, stdin=subprocess.DEVNULL,
            stdout=self.rig.log, stderr=self.rig.log, start_new_session=True)
        self.hear("READY=1")
        until(self.rig.answers, "gantryd answers")

    def hear(self, word):
        while word not in self.words.recv(4096).decode():
            pass

    def stop(self, sig=signal.SIGTERM):
        self.rig.daemon.send_signal(sig)
        return self.rig.daemon.wait(timeout=30)

    def keeper(self):
        return parent_of(self.rig.pid())

    def end(self):
        """Whatever a broken test has left: keeper and gantryd."""
        pid = self.rig.pid()
        for victim in (parent_of(pid), pid):
            if victim > 1 and self.rig.dir in words_of(victim):
                os.kill(victim, signal.SIGKILL)
        self.words.close()


def words_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as f:
            return f.read()
    except OSError:
        return ""


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@once
@own_rig(runs=False)
def test_a_restart_of_the_service_leaves_the_containers(rig):
    manager = Manager(rig)
    manager.start()
    rig.run("a", "sh", "-c", TICKING)
    pid, keeper = rig.init_pid("a"), manager.keeper()
    check(keeper != rig.daemon.pid, "the keeper is a process apart")
    rig.run("gone", "sh", "-c", POLITE)
    rig.ok("stop", "gone")
    began = time.monotonic()
    check_equal(manager.stop(), 0, "exit code")
    check(time.monotonic() - began < scaled(2), "nothing of a finished stop holds it up")
    check(process_state(pid) in ("S", "R"), "the container lives")
    check(process_state(keeper), "its keeper waits")
    manager.start()
    check_equal((rig.init_pid("a"), manager.keeper()), (pid, keeper), "the same two")
    seen = len(rig.ok("logs", "a").out)
    until(lambda: len(rig.ok("logs", "a").out) > seen, "its log goes on")
    check_equal(manager.stop(signal.SIGQUIT), 0, "exit code of an end with the containers")
    check_equal(process_state(pid), None, "the container has ended")
    until(lambda: not process_state(keeper), "the keeper has ended")


@once
@own_rig(runs=False)
def test_a_killed_proxy_is_followed_by_another(rig):
    manager = Manager(rig)
    manager.start()
    rig.run("a", "sh", "-c", POLITE)
    gantryd, pid = rig.pid(), rig.init_pid("a")
    check_equal(manager.stop(signal.SIGKILL), -signal.SIGKILL, "the proxy is killed")
    rig.ok("ps")
    manager.start()
    check_equal(rig.pid(), gantryd, "the same gantryd")
    os.kill(gantryd, signal.SIGKILL)
    until(lambda: rig.pid() not in (0, gantryd) and rig.answers(), "the keeper starts another")
    check_equal(rig.daemon.poll(), None, "the proxy stays")
    check_equal(rig.init_pid("a"), pid, "the container does not notice")
    check_equal(manager.stop(signal.SIGQUIT), 0, "exit code")


@once
@own_rig(runs=False)
def test_the_watchdog(rig):
    manager = Manager(rig, watchdog_s=0.4)
    manager.start()
    for _ in range(3):
        manager.hear("WATCHDOG=1")
    rig.run("a", "sh", "-c", POLITE)
    gantryd, pid = rig.pid(), rig.init_pid("a")
    # A gantryd that hangs is not heard any more; systemd then sends SIGABRT to what it started.
    os.kill(gantryd, signal.SIGSTOP)
    check_equal(manager.stop(signal.SIGABRT), 128 + signal.SIGABRT, "the proxy says how it ended")
    check_equal(process_state(gantryd), None, "the one that hung is gone")
    manager.start()
    check_equal(rig.init_pid("a"), pid, "the container does not notice")
    start = [e for e in rig.events() if e["type"] == "supervisor-started"][-1]
    check_equal(start["details"].get("previous_signal"), "6", "SIGABRT is told")
    check_equal(manager.stop(signal.SIGQUIT), 0, "exit code")


@once
@own_rig(runs=False)
def test_a_start_that_fails_leaves_nothing(rig):
    rig.use_runtime("/nowhere/runc")
    code, text = rig.try_start([*rig.command(), "--keeper-apart"])
    check_equal(code, 69, f"exit code: {text}")
    check("/nowhere/runc" in text, f"the cause is named: {text}")
    until(lambda: not os.path.exists(os.path.join(rig.state, "keeper.sock")), "no keeper waits")
