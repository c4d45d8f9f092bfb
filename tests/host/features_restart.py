"""Restart policies: what is started again, when, and what is not."""

import os
import signal

from marks import once, own_rig
from rig import check, check_equal, until

# Each run writes a line into a file of the rootfs, and fails.
FAILS = "echo run; exit 3"
# The number of the run, from 0, in $n. Its id is the word behind the script.
COUNTED = "touch /tmp/n-$0; n=$(wc -l </tmp/n-$0); echo x >>/tmp/n-$0; "


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
                           (("--restart", "always", "--restart-delay", "0"), "above 0"),
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


def test_the_log_goes_on_over_restarts_by_the_policy(rig):
    for name, kind in (("j", ("--log-driver", "json-file")), ("r", ("--log-driver", "raw")),
                       ("z", ("--log-opt", "compress=true"))):
        a = rig.id(name)
        words = "echo begin $n; echo bad $n >&2; echo last words $n; exit 3"
        rig.run(a, "sh", "-c", COUNTED + words, a,
                options=("--restart", "on-failure:3", *kind))
        rig.crash_point()
        rig.wait_state(a, "dead")
        out = rig.ok("logs", a)
        check_equal(out.out, "".join(f"begin {i}\nlast words {i}\n" for i in range(4)), "all runs")
        check_equal(out.err.count("bad"), 4, "stderr, too")
        ends = rig.events("exit", container=a)
        check_equal([e["stdout_bytes"] for e in ends], [21] * 4, "an exit counts its run's bytes")
        rig.ok("start", a)
        until(lambda: len(rig.events("start", container=a)) >= 5, "a person starts it")
        rig.wait_state(a, "dead")
        check("last words 3\n" not in rig.ok("logs", a).out, "that began a new log")


def test_a_follower_goes_on_over_restarts(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", COUNTED + "echo run $n; exit 3", a,
            options=("--restart", "on-failure:3", "--restart-delay", "300ms", "--restart-factor",
                     "1", "--restart-jitter", "0"))
    child = rig.spawn("logs", "-f", a)
    rig.crash_point()
    out, err = child.communicate(timeout=30)
    check_equal((out, child.returncode), (b"run 0\nrun 1\nrun 2\nrun 3\n", 0),
                f"until it is given up ({err})")
    b = rig.id("b")
    rig.run(b, "sh", "-c", "echo once", options=("--restart", "on-failure"))
    check_equal(rig.ok("logs", "-f", b).out, "once\n", "a success is its end")


def test_the_log_of_one_file_keeps_the_run_before(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", COUNTED + "echo run $n; exit 3", a,
            options=("--restart", "on-failure:4", "--log-opt", "max-file=1"))
    rig.crash_point()
    rig.wait_state(a, "dead")
    check_equal(rig.ok("logs", a).out, "run 3\nrun 4\n", "the last two")


def test_a_run_that_takes_too_long(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done",
            options=("--max-run-time", "700ms", "--restart", "on-failure:1", "--restart-delay",
                     "100ms"))
    rig.crash_point()
    rig.wait_state(a, "dead")
    check_equal(starts(rig, a), 2, "it was a failure")
    check_equal(rig.show(a)["restart"]["reason"],
                "it ran as long as it may, after 1 restarts in a row", "why")
    kills = rig.events("kill", container=a)
    check_equal({e["details"]["reason"] for e in kills}, {"max-run-time"}, "and who it was")
    check_equal(rig.ok("logs", a).out, "asked\nasked\n", "it was asked first")
    told = rig.ok("why", a).out
    check("evidence kept" in told, f"why: {told}")
    kept = rig.ok("--json", "health", "evidence", a).objects()[0]["evidence"]
    check_equal(kept["log"], "asked\n", "the newest was taken before the second end")


@once
def test_bad_limits_of_a_run_are_refused(rig):
    for options, words in ((("--max-run-time", "-1s"), "max-run-time"),
                           (("--max-run-time", "5 minutes"), "max-run-time"),
                           (("--oom-policy", "explode"), "kill_group"),
                           (("--restart", "always", "--restart-rule", "overtime:now"), "stay")):
        done = rig.gantry("create", "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")


def test_a_policy_is_changed_while_it_runs(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "while :; do sleep 0.05; done")
    rig.ok("update", "--restart", "on-failure:2", "--restart-delay", "1h", a)
    rig.crash_point()
    changed = rig.events("updated", container=a)[0]["details"]
    check("on-failure" in changed["restart"] and "restart_before" in changed, f"event: {changed}")
    os.kill(rig.init_pid(a), signal.SIGKILL)
    rig.wait_state(a, "restarting")
    rig.ok("stop", a)
    rig.ok("update", "--restart", "always", a)
    rig.kill_daemon()
    check_equal(rig.state_of(a), "stopped", "a person's stop is not undone by a new policy")
    done = rig.gantry("update", "--restart", "sometimes", a)
    check(done.code != 0 and "on-failure" in done.err, f"nonsense: {done!r}")


def test_who_is_joined_with_a_run_hears_its_end(rig):
    a, b = rig.id("a"), rig.id("b")
    done = rig.gantry("run", "--name", a, "--restart", "on-failure:2", "--rootfs", rig.rootfs, "--",
                      "sh", "-c", COUNTED + "echo run $n; exit 3", a)
    check_equal((done.out, done.code), ("run 0\n", 3), "in the foreground it is one run")
    rig.run(b, "sh", "-c", COUNTED + "echo run $n; sleep 0.7; echo end $n; exit 3", b,
            options=("--restart", "on-failure:1"))
    child = rig.spawn("attach", "--no-stdin", "--replay", b)
    rig.crash_point()
    out, err = child.communicate(timeout=30)
    check_equal((out, child.returncode), (b"run 0\nend 0\n", 3), f"attached ({err})")
    rig.wait_state(b, "dead")
    check_equal(rig.ok("logs", b).out, "run 0\nend 0\nrun 1\nend 1\n", "the log has both")
