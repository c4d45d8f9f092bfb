"""Kill and stop: signals by name and number, grace, and who is to blame."""

from rig import check, check_equal

TRAPS = ("trap 'echo got hup' HUP; trap 'echo got usr1' USR1; trap 'exit 3' TERM; echo ready; "
         "while :; do sleep 0.05; done")


def ready(rig, name, text="ready\n"):
    from rig import until
    until(lambda: rig.ok("logs", name).out.endswith(text), f"{name} says {text!r}")


def test_signals_by_name_and_number(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", TRAPS)
    ready(rig, a)
    rig.crash_point()
    for sig, text in (("HUP", "got hup\n"), ("SIGUSR1", "got usr1\n"), ("1", "got hup\n")):
        rig.ok("kill", "-s", sig, a)
        ready(rig, a, text)
    rig.ok("kill", "-s", "15", a)
    check_equal(rig.ok("wait", a).out, "3\n", "wait")
    kills = [e["details"]["signal"] for e in rig.events("kill", container=a)]
    check_equal(kills, ["SIGHUP", "SIGUSR1", "SIGHUP", "SIGTERM"], "kill events")


def test_a_signal_that_is_none(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    for bad in ("FOO", "0", "99", "-1", ""):
        done = rig.gantry("kill", f"--signal={bad}", a)
        if bad:
            check(done.code in (1, 125), f"refused: {done!r}")
            check(bad in done.err, f"the signal is named: {done.err}")
            check_equal(rig.state_of(a), "running", "it lives")
    done = rig.gantry("stop", "-s", "FOO", a)
    check(done.code in (1, 125) and "FOO" in done.err, f"refused: {done!r}")


def test_kill_all(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 1000 & sleep 1000 & wait")
    rig.crash_point()
    check(len(rig.ok("--json", "top", a).objects()) >= 1, "top")
    rig.ok("kill", "--all", a)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    e = rig.events("kill", container=a)[0]
    check_equal((e["details"]["signal"], e["details"].get("all")), ("SIGKILL", "true"), "event")


def test_kill_all_of_a_gentle_signal(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap 'wait; echo init; exit 0' TERM; "
            "(trap 'echo child; exit 0' TERM; echo ready; while :; do sleep 0.05; done) & "
            "while :; do sleep 0.05; done")
    ready(rig, a)
    rig.crash_point()
    rig.ok("kill", "--all", "-s", "TERM", a)
    rig.ok("wait", a)
    check("init" in rig.ok("logs", a).out, "init heard it")
    check("child" in rig.ok("logs", a).out, "its child heard it")


def test_stop_with_grace(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", TRAPS)
    ready(rig, a)
    rig.crash_point()
    rig.ok("stop", a)
    e = rig.wait_event("exit", a)
    check_equal((e["exit_code"], e["signal"]), (3, 0), "its own end")
    kill = [x for x in rig.events("kill", container=a) if x["seq"] == e["cause"]]
    check(kill and kill[0]["details"]["signal"] == "SIGTERM", f"the cause of {e}")
    check_equal(rig.state_of(a), "stopped", "state")
    rig.ok("stop", a)  # Once more is no error.


def test_stop_of_one_that_ignores_it(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    ready(rig, a)
    child = rig.spawn("stop", "-t", "0.7", a)
    rig.wait_event("kill", a)
    rig.crash_point()
    child.communicate(timeout=30)
    check_equal(child.returncode, 0, "stop")
    e = rig.wait_event("exit", a)
    check_equal((e["exit_code"], e["signal"]), (None, 9), "exit")
    kills = [x["details"]["signal"] for x in rig.events("kill", container=a)]
    check_equal(kills, ["SIGTERM", "SIGKILL"], "kill events")


def test_stop_signal_of_the_container(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap 'exit 8' USR2; echo ready; while :; do sleep 0.05; done",
            options=("--stop-signal", "USR2"))
    ready(rig, a)
    rig.crash_point()
    rig.ok("stop", a)
    check_equal(rig.ok("wait", a).out, "8\n", "wait")


def test_stop_several_at_once(rig):
    names = [rig.id(x) for x in "abc"]
    for name in names:
        rig.run(name, "sh", "-c", TRAPS)
    for name in names:
        ready(rig, name)
    rig.crash_point()
    rig.ok("stop", *names)
    check_equal(rig.ok("wait", *names).out, "3\n3\n3\n", "wait")


def test_kill_of_what_has_ended(rig):
    a = rig.id("a")
    rig.run(a, "true")
    rig.ok("wait", a)
    rig.crash_point()
    done = rig.gantry("kill", a)
    check(done.code in (1, 125), f"refused: {done!r}")
    check("stopped already" in done.err, done.err)
    done = rig.gantry("kill", "-p", "nobody", a)
    check(done.code != 0 and done.err, f"refused: {done!r}")


def test_events_name_who_did_it(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    rig.ok("kill", a)
    rig.ok("wait", a)
    for kind in ("create", "start", "kill"):
        by = rig.events(kind, container=a)[0]["by"]
        check_equal((by["uid"], by["gid"]), (0, 0), f"by of {kind}")
        check(by["pid"] > 0, f"by of {kind}")
    check_equal(rig.events("exit", container=a)[0]["by"], None, "by of exit")
    instances = {e["instance"] for e in rig.events(container=a)}
    check_equal(len(instances), 1, "instances")
