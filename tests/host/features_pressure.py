"""Thresholds of pressure that the kernel watches: events, what inspect says, what a policy does."""

import os

from marks import once
from checks import Skipped
from rig import check, check_equal, until

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")

BUSY = "while :; do :; done & while :; do :; done"
STARVED = ("--cpus", "0.2", "--pressure", "cpu:some:100ms/2s")


def test_a_threshold_that_is_crossed(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", BUSY, options=(*STARVED, "--pressure", "memory.high"))
    rig.crash_point()
    crossed = lambda: [e["details"] for e in rig.events("pressure", container=a)]
    until(lambda: len(crossed()) > 1, "two crossings")
    check_equal({x["threshold"] for x in crossed()}, {"cpu:some:100ms/2s"}, "which")
    check(int(crossed()[-1]["total_us"]) > int(crossed()[0]["total_us"]) > 0, f"{crossed()}")
    cpu, high = rig.show(a)["pressure"]
    check_equal((cpu["threshold"], cpu["unsupported"]), ("cpu:some:100ms/2s", ""), "it is watched")
    check(cpu["crossed"] >= 2 and cpu["crossed_at"], f"counted: {cpu}")
    check_equal(high["threshold"], "memory.high", "the other")
    check_equal("memory.high" in high["unsupported"], not V2, f"why it is not watched: {high}")
    check_equal(rig.state_of(a), "running", "nothing else was done")


def test_memory_high(rig):
    if not V2:
        raise Skipped("memory.high is of cgroup v2; the test above shows that this is told")
    a = rig.id("a")
    rig.run(a, "sh", "-c", "while :; do head -c 32m /dev/zero | tail -c 32m >/dev/null; done",
            options=("--cgroup-conf", "memory.high=8388608", "--pressure", "memory.high"))
    rig.crash_point()
    until(lambda: rig.events("pressure", container=a), "it went over memory.high")
    check(int(rig.events("pressure", container=a)[0]["details"]["count"]) > 0, "how often")


def test_a_policy_on_pressure(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sh", "-c", BUSY, options=(*STARVED, "--pressure-policy", "restart",
                                          "--restart", "on-failure",
                                          "--restart-delay", "1h", "--stop-timeout", "100ms"))
    rig.run(b, "sh", "-c", BUSY, options=(*STARVED, "--pressure-policy", "stop", "--restart",
                                          "always", "--stop-timeout", "100ms"))
    rig.crash_point()
    rig.wait_state(a, "restarting")
    rig.wait_state(b, "stopped")
    check_equal(rig.show(a)["restart"]["reason"], "under pressure", "why it is restarted")
    told = rig.ok("why", a).out
    for words in ("cpu:some:100ms/2s was crossed", "evidence kept", "under pressure"):
        check(words in told, f"{words!r} in {told}")


@once
def test_bad_thresholds_are_refused(rig):
    for options, words in ((("--pressure", "memory:most:1s/2s"), "memory:some:150ms/2s"),
                           (("--pressure", "cpu:some:1s/20s"), "500ms to 10s"),
                           (("--pressure", "cpu:some:3s/2s"), "no longer than the window"),
                           (("--pressure-policy", "stop"), "threshold"),
                           (("--pressure", "memory.high", "--pressure-policy", "x"), "restart")):
        done = rig.gantry("create", "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
