"""Runs of health checks: who hears of them, what is started, and what is ill without an end."""

import os

from features_health import wait_health
from rig import check, check_equal, until


def test_runs_are_a_topic_of_their_own(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("--health-cmd", "echo fine", "--health-interval", "100ms"))
    wait_health(rig, a, "healthy")
    rig.crash_point()
    words = ("--json", "events", "--since", "0", "--filter", f"container={a}", "--filter",
             "type=probe")
    runs = until(lambda: [x for x in [rig.ok(*words).objects()] if len(x) >= 3], "runs")[0]
    check_equal({e["type"] for e in runs}, {"probe"}, "types")
    check_equal(len({e["seq"] for e in runs}), len(runs), "each once")
    check_equal({e["details"]["output"].strip() for e in runs}, {"fine"}, "output")
    check(all(int(e["details"]["cpu_ns"]) > 0 for e in runs), f"their CPU time: {runs[0]}")
    check_equal(rig.events("probe", container=a), [], "nobody else hears of them")
    check_equal(len(rig.events("health", container=a)), 1, "the change")


def test_a_stopped_process_is_an_ill_one(rig):
    """All of it has SIGSTOP: it lives, its port takes connections, and it answers nothing."""
    a = rig.id("a")
    rig.run(a, "httpd", "-f", "-p", "8080", "-h", "/", options=(
        "--health-http", "8080/", "--health-status", "200-404", "--health-interval", "100ms",
        "--health-timeout", "300ms", "--health-retries", "2"))
    wait_health(rig, a, "healthy")
    rig.ok("kill", "-s", "STOP", a)
    rig.crash_point()
    wait_health(rig, a, "unhealthy")
    result = rig.show(a)["health_detail"]["probes"][0]["results"][-1]
    check_equal(result["result"], "timeout", "result")
    check_equal(rig.state_of(a), "running", "it")
    rig.ok("kill", "-s", "CONT", a)
    wait_health(rig, a, "healthy")


def test_a_command_of_words_needs_no_shell(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sleep", "1000", options=("--health-cmd", '["echo", "$HOME", "; exit 1"]',
                                         "--health-interval", "100ms"))
    rig.run(b, "sleep", "1000", options=("--health-cmd", "[ -d /tmp ]", "--health-interval",
                                         "100ms"))
    rig.crash_point()
    wait_health(rig, a, "healthy")
    wait_health(rig, b, "healthy")
    shown = rig.show(a)["health_detail"]["probes"][0]
    check_equal(shown["results"][0]["output"].strip(), "$HOME ; exit 1", "its words as they are")
    for words, cure in (("[]", "command"), ('["a", 1]', "words"), ('["a"', "list of words"),
                        ('["a" "b"]', "list of words"), ('[""]', "name a program")):
        done = rig.gantry("create", "--name", rig.id("c"), "--health-cmd", words, "--rootfs",
                          rig.rootfs, "--", "true")
        check(done.code == 125 and cure in done.err, f"{words}: {done!r}")
