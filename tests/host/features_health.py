"""Health: probes in the container, what they make of it, and what follows."""

import json
import os

from marks import once, own_rig
from rig import check, check_equal, until

QUICK = ("--health-interval", "200ms", "--health-timeout", "5s", "--health-retries", "2")


def health_of(rig, name):
    return rig.show(name)["health"]


def wait_health(rig, name, wanted):
    until(lambda: health_of(rig, name) == wanted, f"{name} is {wanted}")


def switch(rig, name, on):
    """The probe of these tests asks for a file in the (shared, read-write) rootfs."""
    path = os.path.join(rig.rootfs, "tmp", "ok-" + name)
    if on:
        open(path, "w").close()
    elif os.path.exists(path):
        os.unlink(path)


def run(rig, name, *options, command="sleep 1000"):
    rig.run(name, "sh", "-c", command,
            options=("--health-cmd", f"echo looked; test -e /tmp/ok-{name}", *QUICK, *options))


def test_healthy_and_unhealthy_are_seen_and_told(rig):
    a = rig.id("a")
    switch(rig, a, True)
    run(rig, a)
    wait_health(rig, a, "healthy")
    check("(healthy)" in rig.ok("ps", "--no-trunc").out, f"ps: {rig.ok('ps').out}")
    rig.crash_point()
    switch(rig, a, False)
    wait_health(rig, a, "unhealthy")
    changes = [(e["details"]["old"], e["details"]["new"], e["details"]["result"])
               for e in rig.events("health", container=a)]
    check_equal(changes, [("starting", "healthy", "passed"), ("healthy", "unhealthy", "failed")],
                "events")
    last = rig.events("health", container=a)[-1]["details"]
    check_equal((last["exit_code"], last["output"], last["failures"]), ("1", "looked\n", "2"),
                "the last result is told with it")
    switch(rig, a, True)
    wait_health(rig, a, "healthy")
    until(lambda: len(rig.show(a)["health_detail"]["probes"][0]["results"]) == 5, "the last five")
    check_equal(rig.events("exec-added", "exec-started", container=a), [], "no exec's events")
    shown = rig.ok("health", a).out
    check("looked" in shown and "took=0" not in shown, f"gantry health: {shown}")


def test_streaks_and_results_survive(rig):
    a = rig.id("a")
    switch(rig, a, False)
    rig.run(a, "sleep", "1000", options=("--health-cmd", "exit 3", "--health-interval", "100ms",
                                         "--health-retries", "1000"))
    until(lambda: rig.show(a)["health_detail"]["probes"][0]["failures"] >= 3, "three failures")
    before = rig.show(a)["health_detail"]["probes"][0]
    rig.kill_daemon()
    after = rig.show(a)["health_detail"]["probes"][0]
    check(after["failures"] >= before["failures"], f"the streak goes on: {before} {after}")
    check_equal(after["results"][0]["exit_code"], 3, "results")
    check_equal(health_of(rig, a), "starting", "status")


def test_a_probe_that_hangs_is_killed_with_its_tree(rig):
    a = rig.id("a")
    mark = f"sleep {rig.alive_pid() + 100000}"  # Other rigs run the same test.
    rig.run(a, "sh", "-c", "while :; do sleep 0.2; done",  # An init that reaps.
            options=("--health-cmd", f"echo before; {mark} & sleep 888", "--health-interval",
                     "100ms", "--health-timeout", "300ms", "--health-retries", "1"))
    rig.crash_point()
    wait_health(rig, a, "unhealthy")
    result = rig.show(a)["health_detail"]["probes"][0]["results"][0]
    check_equal(result["result"], "timeout", "result")
    check("longer than 300 ms" in result["output"] and "before" in result["output"],
          f"output: {result}")
    # The container lives on, and the next run is an hour away: its end cannot tidy up for gantry.
    rig.ok("update", "--health-interval", "1h", a)
    until(lambda: not any(mark in line or line.startswith("Z") and "sleep" in line
                          for line in os.popen("ps -eo stat,args").read().splitlines()),
          "nothing is left, and no zombie")
    check_equal(rig.state_of(a), "running", "it")


def test_unhealthy_is_restarted(rig):
    a = rig.id("a")
    switch(rig, a, False)
    run(rig, a, "--health-on-failure", "restart", "--stop-timeout", "100ms")
    rig.crash_point()
    until(lambda: len(rig.events("start", container=a)) >= 2, "it is started again")
    scheduled = rig.events("restart-scheduled", container=a)[0]
    check_equal(scheduled["details"]["reason"], "unhealthy", "why")
    switch(rig, a, True)
    wait_health(rig, a, "healthy")
    rig.ok("stop", a)
    check_equal(rig.state_of(a), "stopped", "a person's stop is kept")


def test_unhealthy_is_stopped(rig):
    a = rig.id("a")
    switch(rig, a, False)
    run(rig, a, "--health-on-failure", "stop", "--restart", "always", "--stop-timeout", "100ms")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    check_equal(len(rig.events("start", container=a)), 1, "and not started again")


def test_asked_on_demand(rig):
    a = rig.id("a")
    switch(rig, a, True)
    rig.run(a, "sleep", "1000", options=("--health-cmd", f"test -e /tmp/ok-{a}",
                                         "--health-interval", "1h", "--health-retries", "1"))
    rig.crash_point()
    check_equal(health_of(rig, a), "starting", "nobody has asked yet")
    done = rig.gantry("health", "run", a)
    check(done.code == 0 and done.out.startswith("healthy"), f"passed: {done!r}")
    switch(rig, a, False)
    done = rig.gantry("health", "run", a)
    check(done.code == 1 and done.out.startswith("unhealthy"), f"failed: {done!r}")
    rig.ok("pause", a)
    done = rig.gantry("health", "run", a)
    check(done.code != 0 and "paused" in done.err, f"paused: {done!r}")


def test_a_program_that_is_missing_and_output_that_is_no_text(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sleep", "1000", options=("--health-cmd", "/no/such/thing", "--health-retries", "1",
                                         "--health-interval", "100ms"))
    rig.run(b, "sleep", "1000", options=("--health-cmd", r"printf 'a\377b'; yes | head -c 9999999",
                                         "--health-interval", "100ms"))
    rig.crash_point()
    wait_health(rig, a, "unhealthy")
    check_equal(rig.show(a)["health_detail"]["probes"][0]["results"][0]["exit_code"], 127, "127")
    wait_health(rig, b, "healthy")
    output = rig.show(b)["health_detail"]["probes"][0]["results"][0]["output"]
    check(output.startswith("a\ufffdby\n"), f"text: {output[:40]!r}")
    check(len(output.encode()) <= 4096 and output.endswith("..."), f"clipped: {len(output)}")


@once
def test_bad_health_options_are_refused(rig):
    a = rig.id("a")
    for options, words in ((("--health-interval", "5s"), "--health-cmd"),
                           (("--no-healthcheck", "--health-cmd", "true"), "contradicts"),
                           (("--health-cmd", "true", "--health-interval", "0"), "interval"),
                           (("--health-cmd", "true", "--health-interval", "5 minutes"), "interval"),
                           (("--health-cmd", "true", "--health-timeout", "-1s"), "timeout"),
                           (("--health-cmd", "true", "--health-retries", "0"), "retries"),
                           (("--health-cmd", "true", "--health-profile", "docker"), "docker-2016"),
                           (("--health-cmd", "", "--health-retries", "1"), "command"),
                           (("--health-cmd", "x", "--health-on-failure", "reboot"), "restart"),
                           (("--rm", "--health-cmd", "x", "--health-on-failure", "restart"),
                            "--rm")):
        done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
    done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, "--no-healthcheck", "true")
    check_equal(done.code, 0, "no check")
    done = rig.gantry("health", a)
    check(done.code != 0 and "no health check" in done.err, f"none to show: {done!r}")


def test_why_follows_the_causes(rig):
    a = rig.id("a")
    switch(rig, a, False)
    run(rig, a, "--health-on-failure", "restart", "--stop-timeout", "100ms",
        "--restart", "always", "--restart-delay", "1h", "--restart-jitter", "0")
    rig.crash_point()
    rig.wait_state(a, "restarting")
    told = rig.ok("why", a).out
    for words in ("unhealthy: the probe failed 2 times, exit code 1, last output \"looked\"",
                  "was sent SIG", "ended: ", "restart scheduled in 60m00s",
                  "(attempt 1): unhealthy"):
        check(words in told, f"{words!r} is missing:\n{told}")
    chain = rig.ok("--json", "why", a).objects()
    kinds = [e["type"] for e in chain]
    check(kinds[0] == "health" and kinds[-2:] == ["exit", "restart-scheduled"], f"chain: {kinds}")
    check_equal([e["cause"] for e in chain[1:]], [e["seq"] for e in chain[:-1]], "links")
    switch(rig, a, True)
    rig.ok("start", a)
    rig.ok("rm", "-f", a)
    check("was started" in rig.ok("why", a).out or "delete" in rig.ok("why", a).out,
          "it is known after its removal, too")
    done = rig.gantry("why", rig.id("nobody"))
    check(done.code != 0 and "nothing is known" in done.err, f"unknown: {done!r}")


def test_the_ladder_and_its_evidence(rig):
    a = rig.id("a")
    switch(rig, a, True)
    run(rig, a, "--health-on-failure", "signal=USR1,restart:1,stop", "--stop-timeout", "100ms",
        command="trap 'echo reload' USR1; echo hello; printf unfinished; "
                "while :; do sleep 0.05; done")
    until(lambda: "hello" in rig.ok("logs", a).out, "its trap stands")
    switch(rig, a, False)
    rig.crash_point()
    rig.wait_state(a, "stopped")
    acts = [e["details"]["action"] for e in rig.events("health-action", container=a)]
    check_equal(acts, ["signal=USR1", "restart", "stop"], "steps")
    check("reload" in rig.ok("logs", a).out, "the signal came")
    check_equal(len(rig.events("start", container=a)), 2, "one restart")
    taken = rig.events("evidence", container=a)
    check_equal(len(taken), 2, "evidence before each end")
    numbers = [e["details"]["number"] for e in taken]
    check_equal([e["details"].get("evidence") for e in rig.events("health-action", container=a)],
                [None, *numbers], "each end names its own")
    text = rig.ok("health", "evidence", a, numbers[0]).out
    for words in ("hello", "unfinished", "sleep", "unhealthy", "memory"):
        check(words in text, f"{words!r} is missing in:\n{text}")
    whole = rig.ok("--json", "health", "evidence", a).objects()[0]["evidence"]
    check_equal(str(whole["kept"]["number"]), numbers[1], "the newest")
    check(whole["processes"] and whole["cgroup"], f"what is in it: {whole}")
    shown = rig.show(a)["health_detail"]
    check_equal([str(e["number"]) for e in shown["evidence"]], numbers, "inspect")
    told = rig.ok("why", a).out
    for words in ("evidence kept", "unhealthy, so: stop, step 3 of 3", "unhealthy, so: restart",
                  "restart scheduled"):
        check(words in told, f"{words!r} is missing:\n{told}")
    done = rig.gantry("health", "evidence", a, "999999")
    check(done.code != 0 and "999999" in done.err, f"none such: {done!r}")


def test_a_frozen_patient(rig):
    a = rig.id("a")
    switch(rig, a, False)
    run(rig, a, "--health-on-failure", "freeze")
    rig.crash_point()
    rig.wait_state(a, "paused")
    check_equal(rig.events("paused", container=a)[0].get("by"), None, "nobody asked")
    switch(rig, a, True)
    rig.ok("resume", a)
    wait_health(rig, a, "healthy")


def test_a_probe_is_changed_while_it_runs(rig):
    a = rig.id("a")
    switch(rig, a, False)
    rig.run(a, "sleep", "1000", options=("--health-cmd", f"test -e /tmp/ok-{a}",
                                         "--health-interval", "1h"))
    check_equal(health_of(rig, a), "starting", "an hour is long")
    rig.ok("update", "--health-interval", "100ms", "--health-retries", "2", a)
    rig.crash_point()
    wait_health(rig, a, "unhealthy")
    changed = rig.events("updated", container=a)[0]["details"]
    check("100000000" in changed["health"] and "3600000000000" in changed["health_before"],
          f"before and after: {changed}")
    rig.ok("update", "--health-cmd", "true", a)
    wait_health(rig, a, "healthy")
    rig.ok("update", "--no-healthcheck", a)
    check(not rig.show(a).get("health"), "switched off")
    done = rig.gantry("update", "--health-interval", "5s", a)
    check(done.code != 0, f"there is nothing to change: {done!r}")


def test_a_probe_that_takes_long_is_changed(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("--health-cmd", "sleep 2; false",
                                         "--health-interval", "50ms"))
    until(lambda: "sleep 2" in rig.ok("top", "--no-stream", a).out, "the probe runs")
    rig.ok("update", "--health-cmd", "true", "--health-interval", "100ms", a)
    rig.crash_point()
    wait_health(rig, a, "healthy")


def test_one_probe_of_several_is_changed(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("--health-readiness", "exec:true,period=1h",
                                         "--health-liveness", "exec:true,period=2h,failures=4"))
    probes = lambda: {p["role"]: p for p in rig.show(a)["spec"]["health"]["probes"]}
    live = probes()["liveness"]
    rig.ok("update", "--health-readiness", "period=100ms,failures=2", a)
    check_equal(probes()["liveness"], live, "the other one stays")
    rig.crash_point()
    wait_health(rig, a, "healthy")
    check_equal(probes()["readiness"]["args"], ["true"], "it asks the same")
    changed = rig.events("updated", container=a)[0]["details"]
    check("100000000" in changed["health"] and "100000000" not in changed["health_before"]
          and "liveness" in changed["health"], f"before and after: {changed}")
    rig.ok("update", "--health-startup", "file:/bin/busybox,period=100ms", a)
    check_equal(sorted(probes()), ["liveness", "readiness", "startup"], "one is added")
    rig.ok("update", "--health-liveness", "none", a)
    check_equal(sorted(probes()), ["readiness", "startup"], "one is taken away")
    for words, said in (("no liveness probe", ("--health-liveness", "none")),
                        ("is no change of a probe", ("--health-readiness", "period=1s,x=2")),
                        ("probe", ("--health-liveness", "period=1s"))):
        done = rig.gantry("update", *said, a)
        check(done.code != 0 and words in done.err, f"refused: {said} {done!r}")
    check_equal(sorted(probes()), ["readiness", "startup"], "nothing changed")


def test_why_of_a_dead_one_tells_all_its_attempts(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "exit 3", options=("--restart", "on-failure:2"))
    rig.crash_point()
    rig.wait_state(a, "dead")
    told = rig.ok("why", a).out
    check_equal(told.count("ended: "), 3, f"each end:\n{told}")
    for words in ("(attempt 1 of 2): exit code 3", "(attempt 2 of 2)", "was started, run 3",
                  "was given up: exit code 3, after 2 restarts in a row"):
        check(words in told, f"{words!r} is missing:\n{told}")


def test_a_hook_of_the_host(rig):
    a = rig.id("a")
    switch(rig, a, False)
    told = rig.path("told")
    hook = rig.path("hook")
    with open(hook, "w") as f:
        f.write(f"#!/bin/sh\nenv >>{told}\nexit 3\n")
    os.chmod(hook, 0o755)
    run(rig, a, "--health-on-failure", f"hook={hook},hook=/no/such/hook,stop", "--stop-timeout",
        "100ms")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    words = open(told).read().split("\n")
    evidence = rig.events("evidence", container=a)[0]["details"]["number"]
    for word in (f"GANTRY_CONTAINER={a}", "GANTRY_RUN=1", "GANTRY_REASON=unhealthy",
                 f"GANTRY_EVIDENCE={evidence}"):
        check(word in words, f"{word} is missing: {words}")
    check_equal(words.count(f"GANTRY_CONTAINER={a}"), 1, "it was run once")
    acts = [e["details"]["action"] for e in rig.events("health-action", container=a)]
    check_equal(acts, [f"hook={hook}", "hook=/no/such/hook", "stop"], "one that is missing, too")


@own_rig(runs=False)
def test_a_hook_is_told_of_the_socket_that_is_served(rig):
    a = rig.id("a")
    switch(rig, a, False)
    rig.socket = os.path.join(rig.dir, "other.sock")
    rig.extra += ["--socket", rig.socket]
    rig.start()
    told = rig.path("told")
    hook = rig.path("hook")
    with open(hook, "w") as f:
        f.write(f'#!/bin/sh\necho "$GANTRY_SOCKET" >{told}\n')
    os.chmod(hook, 0o755)
    run(rig, a, "--health-on-failure", f"hook={hook},stop", "--stop-timeout", "100ms")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    check_equal(open(told).read(), rig.socket + "\n", "GANTRY_SOCKET")


def test_evidence_of_much_is_bounded(rig):
    a = rig.id("a")
    switch(rig, a, False)
    run(rig, a, "--health-on-failure", "stop", "--stop-timeout", "100ms",
        command="head -c 2000000 /dev/urandom; for i in $(seq 100); do sleep 1000 & done; wait")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    until(lambda: rig.events("evidence", container=a), "evidence")
    kept = rig.events("evidence", container=a)[0]["details"]
    check(10_000 < int(kept["bytes"]) <= 65536, f"size: {kept}")
    check_equal(kept["cut"], "true", "some of it is left out, and that is said")
    whole = json.loads(rig.ok("--json", "health", "evidence", a).out)["evidence"]
    check_equal(len(whole["processes"]), 64, "processes")
    check(4000 < len(whole["log"].encode()) <= 28 << 10, f"log: {len(whole['log'])}")
