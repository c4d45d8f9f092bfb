"""Health: programs of the host that are run for what is unhealthy, and their end."""

import os
import time

from marks import once, own_rig
from rig import check, check_equal, until

SHORT = own_rig(extra=("--hook-timeout", "1.5"))


def start(rig, name, work):
    """An ill container, whose hook does this work; what the hook has told about itself."""
    told, hook = rig.path(name + ".told"), rig.path(name + ".hook")
    with open(hook, "w") as f:
        f.write(f"#!/bin/sh\n{work.format(told=told)}\n")
    os.chmod(hook, 0o755)
    rig.run(name, "sleep", "1000",
            options=("--health-cmd", "false", "--health-interval", "100ms", "--health-retries",
                     "1", "--health-on-failure", f"hook={hook}"))
    return told


def numbers(told):
    return [int(x) for x in open(told).read().split()] if os.path.exists(told) else []


def wait_numbers(told, count):
    until(lambda: len(numbers(told)) == count, "the hook runs")
    return numbers(told)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def hook_groups(rig):
    """Directories of hooks in the unified hierarchy, wherever that is."""
    return [d for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer")
            for d, _, _ in os.walk(top, topdown=True) if f"/{rig.cgroup}/" in d and "/_hook-" in d]


def end_of(rig, name):
    until(lambda: rig.events("hook", container=name), "the end of the hook is told")
    ends = rig.events("hook", container=name)
    check_equal(len(ends), 1, f"once: {ends}")
    action = rig.events("health-action", container=name)[0]
    check_equal(ends[0]["cause"], action["seq"], "its cause is the step")
    return ends[0]["details"]


# A child, one in a session of its own, and one whose parent has gone.
TREE = "sleep 1000 & a=$!; setsid sleep 1000 & b=$!; " \
       "c=$(sh -c 'setsid sleep 1000 >/dev/null & echo $!'); "


@SHORT
def test_a_hook_that_hangs_is_ended_with_its_tree(rig):
    a = rig.id("a")
    told = start(rig, a, TREE + "echo $$ $a $b $c >{told}; wait")
    pids = wait_numbers(told, 4)
    began = time.monotonic()
    rig.crash_point()
    check(all(lives(p) for p in pids), f"it runs on: {pids}")
    until(lambda: not any(lives(p) for p in pids), "all of it has gone")
    check(time.monotonic() - began < 6, "in its time")
    end = end_of(rig, a)
    check_equal((end["result"], end["signal"]), ("timeout", "9"), "how")
    until(lambda: not hook_groups(rig), "its cgroup has gone")
    check_equal(rig.state_of(a), "running", "the container")


@SHORT
def test_what_a_hook_leaves_behind_has_the_rest_of_its_time(rig):
    a = rig.id("a")
    told = start(rig, a, TREE + "echo $a $b $c >{told}; exit 3")
    pids = wait_numbers(told, 3)
    end = end_of(rig, a)
    check_equal((end["result"], end["exit_code"]), ("exited", "3"), "how")
    rig.crash_point()
    check(all(lives(p) for p in pids), f"what it started runs on: {pids}")
    until(lambda: not any(lives(p) for p in pids), "all of it has gone")
    until(lambda: not hook_groups(rig), "its cgroup has gone")


def test_a_hook_goes_on_while_gantryd_is_away(rig):
    a = rig.id("a")
    go = rig.path("go")
    told = start(rig, a, f"echo $$ >{{told}}; until [ -e {go} ]; do sleep 0.02; done; exit 7")
    wait_numbers(told, 1)
    rig.show(a)  # The turn in which it was begun is over.
    rig.crash_point()
    open(go, "w").close()
    end = end_of(rig, a)
    check_equal((end["hook"].endswith(".hook"), end["result"], end["exit_code"]),
                (True, "exited", "7"), "how")
    until(lambda: not hook_groups(rig), "its cgroup has gone")


@SHORT
def test_a_hook_outlives_its_container_by_its_time_at_most(rig):
    a = rig.id("a")
    told = start(rig, a, "echo $$ >{told}; exec sleep 1000")
    pid, = wait_numbers(told, 1)
    rig.ok("rm", "-f", a)
    rig.crash_point()
    check(lives(pid), "it runs on")
    until(lambda: not lives(pid), "and has gone")
    until(lambda: not hook_groups(rig), "its cgroup has gone")


@SHORT
@once
def test_a_hook_runs_on_while_gantryd_is_stopped_in_order(rig):
    a = rig.id("a")
    told = start(rig, a, TREE + "echo $$ $a $b $c >{told}; wait")
    pids = wait_numbers(told, 4)
    rig.stop_daemon()
    check(all(lives(p) for p in pids), "it runs on")
    rig.start_again()
    until(lambda: not any(lives(p) for p in pids), "all of it has gone")
    check_equal(end_of(rig, a)["result"], "timeout", "how")
    until(lambda: not hook_groups(rig), "its cgroup has gone")
