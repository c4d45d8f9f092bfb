"""Pause and resume, and what meets them half way."""

import time

from rig import check, check_equal, until


def cpu_ns(rig, name):
    return rig.ok("--json", "stats", name).objects()[0]["cpu_usage_ns"]


def test_pause_and_resume(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "while :; do :; done")
    rig.ok("pause", a)
    rig.crash_point()
    check_equal(rig.state_of(a), "paused", "state")
    before = cpu_ns(rig, a)
    time.sleep(0.1)
    check_equal(cpu_ns(rig, a), before, "CPU time of a paused container")
    rig.ok("pause", a)  # Once more is no error.
    rig.ok("resume", a)
    check_equal(rig.state_of(a), "running", "state")
    until(lambda: cpu_ns(rig, a) > before, "it goes on")
    rig.ok("kill", a)
    rig.ok("wait", a)
    check_equal([e["type"] for e in rig.events(container=a) if e["type"] != "restored"],
                ["create", "start", "paused", "resumed", "kill", "exit"], "events")


def test_exec_is_refused_while_paused(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("pause", a)
    rig.crash_point()
    done = rig.gantry("exec", a, "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check("paused" in done.err and "resume" in done.err, done.err)
    done = rig.gantry("rm", a)
    check(done.code != 0 and "paused" in done.err, f"rm is refused: {done!r}")


def test_stop_while_paused(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    until(lambda: rig.ok("logs", a).out == "ready\n", "ready")
    rig.ok("pause", a)
    rig.crash_point()
    rig.ok("stop", a)
    check_equal(rig.ok("wait", a).out, "3\n", "it ended by itself after the thaw")


def test_kill_while_paused(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("pause", a)
    rig.crash_point()
    rig.ok("kill", a)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")


def test_rm_force_while_paused(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("pause", a)
    rig.crash_point()
    rig.ok("rm", "-f", a)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")


def test_pause_during_exec(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    child = rig.spawn("exec", "--id", "e", a, "--", "sh", "-c", "echo x; sleep 0.2; exit 4")
    rig.wait_event("exec-added", a)
    pause = rig.spawn("pause", a)
    rig.crash_point()
    out, err = pause.communicate(timeout=30)
    check_equal(pause.returncode, 0, f"pause: {err}")
    rig.wait_state(a, "paused")
    rig.ok("resume", a)
    out, err = child.communicate(timeout=30)
    check_equal((child.returncode, out), (4, b"x\n"), f"exec ({err})")


def test_resume_of_what_is_not_paused(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("resume", a)
    check(done.code in (1, 125) and "not paused" in done.err, f"refused: {done!r}")
    rig.ok("create", "--name", a + "2", "--rootfs", rig.rootfs, "--", "true")
    done = rig.gantry("pause", a + "2")
    check(done.code in (1, 125) and "not started" in done.err, f"refused: {done!r}")


def test_delete_during_create(rig):
    for i in range(3):
        a = rig.id(f"a{i}")
        child = rig.spawn("run", "-d", "--name", a, "--rootfs", rig.rootfs, "--", "sleep", "1000")
        until(lambda a=a: rig.state_of(a) is not None, "it is seen")
        if i == 1:
            rig.crash_point()
        rig.ok("rm", "-f", a)
        child.communicate(timeout=30)
        check_equal(rig.state_of(a), None, "it is gone")


def test_exit_between_create_and_start(rig):
    import os
    import signal
    a = rig.id("a")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.crash_point()
    os.kill(rig.init_pid(a), signal.SIGKILL)
    rig.wait_state(a, "stopped")
    check_equal(rig.events("exit", container=a), [], "it never ran: no exit")
    check("before it was started" in rig.wait_event("start-failed", a)["message"], "the event says")
    rig.ok("start", a)  # A fresh run.
    check_equal(rig.state_of(a), "running", "state")


def test_stop_of_a_created_one(rig):
    a = rig.id("a")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.crash_point()
    rig.ok("stop", "-t", "0.3", a)
    rig.wait_state(a, "stopped")
    rig.ok("rm", a)
