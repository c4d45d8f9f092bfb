"""Restart policies: what is started again, when, and what is not."""

import os
import signal

from marks import once, own_rig
from rig import check, check_equal, until

# Each run writes a line into a file of the rootfs, and fails.
FAILS = "echo run; exit 3"


def starts(rig, name):
    return len(rig.events("start", container=name))


def test_on_failure_is_started_again_and_then_given_up(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", FAILS, options=("--restart", "on-failure:3"))
    rig.crash_point()
    rig.wait_state(a, "dead")
    check_equal(starts(rig, a), 4, "the first and three more")
    scheduled = [e["details"] for e in rig.events("restart-scheduled", container=a)]
    check_equal([(d["attempt"], d["of"], d["reason"]) for d in scheduled],
                [("1", "3", "exit code 3"), ("2", "3", "exit code 3"), ("3", "3", "exit code 3")],
                "what was scheduled")
    ends = rig.events("exit", container=a)
    check_equal([e["run"] for e in ends], [1, 2, 3, 4], "one exit a run")
    check_equal(rig.events("restart-scheduled", container=a)[0]["cause"], ends[0]["seq"], "cause")
    shown = rig.show(a)
    check_equal(shown["restart"]["reason"], "exit code 3, after 3 restarts in a row", "inspect")
    check("exit code 3, after 3" in rig.ok("ps", "-a", "--no-trunc").out, "ps says why")
    rig.ok("rm", a)


def test_always_also_after_a_success_until_it_is_stopped(rig):
    a = rig.id("a")
    rig.run(a, "true", options=("--restart", "always", "--restart-factor", "1"))
    rig.crash_point()
    until(lambda: starts(rig, a) >= 3, "it is started again and again")
    rig.ok("stop", a)
    check_equal(rig.state_of(a), "stopped", "state")
    n = starts(rig, a)
    rig.kill_daemon()
    check_equal((rig.state_of(a), starts(rig, a)), ("stopped", n), "and so it stays")
    rig.ok("start", a)
    until(lambda: starts(rig, a) >= n + 2, "by a person it begins anew")


def test_a_long_delay_is_seen_and_cut_short(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", FAILS, options=("--restart", "on-failure", "--restart-delay", "1h",
                                           "--restart-jitter", "0"))
    rig.wait_state(a, "restarting")
    rig.crash_point()
    check_equal(rig.state_of(a), "restarting", "it waits on")
    check("Restarting (3) in" in rig.ok("ps", "--no-trunc").out, f"ps: {rig.ok('ps').out}")
    restart = rig.show(a)["restart"]
    check_equal((restart["attempt"], restart["total"]), (1, 1), "inspect")
    check(restart["next_at"] > rig.events("exit", container=a)[0]["time"], f"later: {restart}")
    for args in (("rm", a), ("exec", a, "true"), ("kill", a), ("pause", a)):
        done = rig.gantry(*args)
        check(done.code != 0 and "it waits for its restart" in done.err, f"refused: {done!r}")
    rig.ok("start", a)
    until(lambda: starts(rig, a) == 2, "a person need not wait")
    rig.wait_state(a, "restarting")
    rig.ok("stop", a)
    check_equal(rig.state_of(a), "stopped", "stopped while it waited")
    check_equal(len(rig.events("restart-cancelled", container=a)), 1, "and that was told")
    rig.ok("rm", a)


def test_a_kill_is_final_and_another_death_is_not(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sleep", "1000", options=("--restart", "unless-stopped"))
    rig.run(b, "sleep", "1000", options=("--restart", "unless-stopped"))
    rig.crash_point()
    rig.ok("kill", a)
    rig.ok("wait", a)

    os.kill(rig.init_pid(b), signal.SIGKILL)  # Not by gantry.
    until(lambda: starts(rig, b) == 2, "b is started again")
    rig.wait_state(b, "running")
    check_equal((rig.state_of(a), starts(rig, a)), ("stopped", 1), "a is not")
    check_equal(rig.show(b)["restart"]["reason"], "SIGKILL", "why b was")


def test_rules_and_a_dead_one_that_is_cleared(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "exit 42",
            options=("--restart", "always", "--restart-rule", "exit=40-49:dead"))
    rig.crash_point()
    rig.wait_state(a, "dead")
    check_equal(starts(rig, a), 1, "no restart")
    check_equal(rig.events("dead", container=a)[0]["details"]["reason"],
                "exit code 42: a rule gives it up", "event")
    rig.ok("stop", a)
    check_equal(rig.state_of(a), "stopped", "an operator clears it")
    rig.ok("start", a)
    rig.wait_state(a, "dead")


@once
def test_bad_policies_are_refused_when_they_are_made(rig):
    a = rig.id("a")
    for options, words in ((("--restart", "sometimes"), "on-failure"),
                           (("--restart", "on-failure:0"), "--restart"),
                           (("--restart", "on-failure:-1"), "restart"),
                           (("--restart", "always:3"), "on-failure"),
                           (("--restart", ""), "on-failure"),
                           (("--rm", "--restart", "always"), "--rm"),
                           (("--restart", "always", "--restart-delay", "0"), "100ms"),
                           (("--restart", "always", "--restart-delay", "-5s"), "restart-delay"),
                           (("--restart", "always", "--restart-delay", "5 minutes"), "delay"),
                           (("--restart", "always", "--restart-factor", "0.5"), "factor"),
                           (("--restart", "always", "--restart-jitter", "2"), "jitter"),
                           (("--restart", "always", "--restart-attempts", "5"), "window"),
                           (("--restart-delay", "5s"), "--restart"),
                           (("--restart", "always", "--restart-rule", "exit=300:dead"), "255"),
                           (("--restart", "always", "--restart-rule", "oom"), "oom")):
        done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
    check_equal(rig.events("create", container=a), [], "nothing was made")


@once
@own_rig(extra=["--on-stop", "stop"])
def test_the_next_gantryd_starts_what_the_last_one_stopped(rig):

    rig.run("a", "sleep", "1000", options=("--restart", "always", "--stop-timeout", "100ms"))
    rig.run("b", "sleep", "1000", options=("--restart", "always", "--stop-timeout", "100ms"))
    rig.ok("stop", "b")
    os.kill(rig.alive_pid(), signal.SIGTERM)
    check_equal(rig.daemon.wait(timeout=30), 0, f"exit code; {rig.daemon_log()[-500:]}")
    rig.start()
    rig.wait_state("a", "running")
    check_equal(rig.state_of("b"), "stopped", "a person's stop is kept")
    check_equal(starts(rig, "b"), 1, "b")
