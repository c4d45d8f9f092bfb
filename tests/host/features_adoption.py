"""gantryd dies or goes away, and another takes over: the same containers, in the same state."""

import os
import signal

from marks import once
from rig import check, check_equal, process_state, until


def restart(rig):
    """An orderly end and a new start; the containers stay."""
    rig.stop_daemon()
    rig.start_again()


def picture(rig):
    return [{k: c[k] for k in ("id", "instance", "run", "state", "pid", "command", "labels",
                               "created_at", "started_at", "execs")}
            for c in rig.ok("--json", "ps", "-a").objects()]


def some_of_each(rig):
    for name in ("running", "paused", "stopped", "withexec"):
        rig.run(rig.id(name), "sh", "-c", "exit 4" if name == "stopped" else "sleep 1000",
                options=("-l", "a=b"))
    rig.ok("create", "--name", rig.id("created"), "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.ok("pause", rig.id("paused"))
    rig.ok("wait", rig.id("stopped"))
    rig.ok("exec", "-d", "--id", "e", rig.id("withexec"), "--", "sleep", "1000")


def check_all_work(rig):
    rig.ok("resume", rig.id("paused"))
    rig.ok("start", rig.id("created"))
    rig.ok("start", rig.id("stopped"))
    check_equal(rig.ok("exec", rig.id("running"), "--", "echo", "x").out, "x\n", "exec")
    rig.ok("kill", "-p", "e", rig.id("withexec"))
    check_equal(rig.ok("wait", "-p", "e", rig.id("withexec")).out, "137\n", "wait of the exec")
    for name in ("running", "paused", "withexec", "created"):
        rig.ok("kill", rig.id(name))
        check_equal(rig.ok("wait", rig.id(name)).out, "137\n", f"wait of {name}")


@once
def test_a_crash_changes_nothing(rig):
    some_of_each(rig)
    before = picture(rig)
    rig.kill_daemon()
    check_equal(picture(rig), before, "ps")
    said = {e["container"]: e for e in rig.events("restored")}
    for name in ("running", "paused", "withexec", "created"):
        check(rig.id(name) in said, f"restored of {name}")
        check_equal(said[rig.id(name)]["details"]["adopted"], "true", f"adoption of {name}")
    check_all_work(rig)


@once
def test_an_orderly_restart_changes_nothing(rig):
    some_of_each(rig)
    before = picture(rig)
    restart(rig)
    check_equal(picture(rig), before, "ps")
    check_all_work(rig)
    stops = rig.events("supervisor-stopping")
    check_equal(stops[-1]["details"]["leaves_running"], "true", "it says so")


@once
def test_many_crashes_in_a_row(rig):
    some_of_each(rig)
    before = picture(rig)
    for _ in range(5):
        rig.kill_daemon()
    check_equal(picture(rig), before, "ps")
    check_all_work(rig)


@once
def test_what_ends_while_it_is_down_has_its_true_status(rig):
    names = [rig.id(x) for x in "abc"]
    for name in names:
        rig.run(name, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", names[2], "--", "sleep", "1000")
    pids = [rig.init_pid(name) for name in names]
    exec_pid = [p["pid"] for p in rig.show(names[2])["processes"] if p["id"] == "e"][0]
    rig.pause_keeper()
    try:
        rig.kill_daemon()
        for pid, sig in ((pids[0], signal.SIGKILL), (pids[1], signal.SIGKILL),
                         (exec_pid, signal.SIGTERM)):
            os.kill(pid, sig)
        for pid in (pids[0], pids[1], exec_pid):
            until(lambda pid=pid: process_state(pid) in ("Z", None), "it ends")
    finally:
        rig.resume_keeper()
    check_equal(rig.ok("wait", names[0]).out, "137\n", "wait")
    check_equal(rig.ok("wait", names[1]).out, "137\n", "wait")
    check_equal(rig.ok("wait", "-p", "e", names[2]).out, "143\n", "wait of the exec")
    for name in names[:2]:
        e = rig.wait_event("exit", name)
        check_equal((e["exit_code"], e["signal"]), (None, 9), "exit")
    check_equal(rig.state_of(names[2]), "running", "the third lives")


@once
def test_gantryd_and_a_container_killed_at_once(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo before; sleep 1000")
    until(lambda: rig.ok("logs", a).out == "before\n", "it has begun")
    pid = rig.init_pid(a)
    os.kill(rig.alive_pid(), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    rig.crashes += 1
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    check_equal(rig.ok("logs", a).out, "before\n", "its log")


@once
def test_crashes_at_every_moment_of_a_create(rig):
    """Kills at growing distances after a run was asked for: it is done once, whole."""
    import time
    for i in range(12):
        a = rig.id(f"a{i}")
        child = rig.spawn("run", "-d", "--name", a, "--rootfs", rig.rootfs, "--", "sh", "-c",
                          "echo once; exit 3")
        time.sleep(i * 0.008)  # Where in its life the kill falls is the thing that varies.
        rig.kill_daemon()
        out, err = child.communicate(timeout=60)
        check_equal(child.returncode, 0, f"run number {i}: {err}")
        check_equal(rig.ok("wait", a).out, "3\n", f"wait number {i}")
        check_equal(rig.ok("logs", a).out, "once\n", f"log number {i}")
        check_equal(rig.show(a)["command"][-1], "echo once; exit 3", f"command number {i}")
        check_equal(len(rig.events("exit", container=a)), 1, f"exits number {i}")


@once
def test_crashes_at_every_moment_of_an_exec(rig):
    import time
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    for i in range(12):
        child = rig.spawn("exec", "--id", f"e{i}", a, "--", "sh", "-c", "echo once; exit 3")
        time.sleep(i * 0.008)
        rig.kill_daemon()
        out, err = child.communicate(timeout=60)
        check_equal((child.returncode, out), (3, b"once\n"), f"exec number {i} ({err})")
        check_equal(len(rig.events("exit", container=a, process=f"e{i}")), 1, "exits")


@once
def test_crashes_at_every_moment_of_a_removal(rig):
    import time
    for i in range(8):
        a = rig.id(f"a{i}")
        rig.run(a, "sleep", "1000")
        child = rig.spawn("rm", "-f", a)
        time.sleep(i * 0.01)
        rig.kill_daemon()
        out, err = child.communicate(timeout=60)
        check_equal(child.returncode, 0, f"rm number {i}: {err}")
        check_equal(rig.state_of(a), None, "it is gone")
        check_equal(rig.ok("wait", a).out, "137\n", "wait after rm")


@once
def test_a_stop_goes_on_across_a_crash(rig):
    import time
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: rig.ok("logs", a).out == "ready\n", "ready")
    began = time.monotonic()
    child = rig.spawn("stop", "-t", "1", a)
    rig.wait_event("kill", a)
    rig.kill_daemon()
    out, err = child.communicate(timeout=30)
    check_equal(child.returncode, 0, f"stop: {err}")
    check(time.monotonic() - began >= 0.9, "the grace was kept")
    check_equal(rig.wait_event("exit", a)["signal"], 9, "signal")
