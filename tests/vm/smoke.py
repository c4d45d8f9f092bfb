"""A walk through the whole of gantry on cgroup v2. The steps stand on each other."""

import glob
import os
import re

from rig import check, check_equal, until


def run_and_wait(rig):
    rig.run("one", "sh", "-c", "echo to stdout; echo to stderr >&2; exit 7")
    check_equal(rig.ok("wait", "one").out, "7\n", "wait")
    logs = rig.ok("logs", "one")
    check_equal((logs.out, logs.err), ("to stdout\n", "to stderr\n"), "logs")
    rig.ok("rm", "one")


def run_in_the_foreground(rig):
    done = rig.gantry("run", "--rm", "--rootfs", rig.rootfs, "--", "sh", "-c", "echo out; exit 3")
    check_equal((done.code, done.out), (3, "out\n"), f"{done!r}")


def a_command_that_is_missing(rig):
    done = rig.gantry("run", "--name", "none", "--rootfs", rig.rootfs, "--", "/nowhere")
    check_equal(done.code, 127, f"{done!r}")
    check("nowhere" in done.err, f"the command is named: {done.err}")
    done = rig.gantry("run", "--name", "none", "--rootfs", rig.rootfs, "--", "/etc")
    check_equal(done.code, 126, f"{done!r}")
    check_equal(rig.state_of("none"), None, "nothing is left")


def its_cgroup_is_v2(rig):
    rig.run("web", "sleep", "1000", options=("-m", "64m", "--pids-limit", "50", "--cpus", "0.5"))
    group = "/sys/fs/cgroup" + rig.show("web")["cgroup"]
    check(os.path.isfile(f"{group}/cgroup.kill"), f"{group} is a group of v2")
    for file, wanted in (("memory.max", str(64 << 20)), ("pids.max", "50"),
                         ("cpu.max", "50000 100000")):
        with open(f"{group}/{file}") as f:
            check_equal(f.read().strip(), wanted, file)


def exec_and_its_exit_code(rig):
    done = rig.gantry("exec", "-e", "A=b", "web", "--", "sh", "-c", "echo $A; echo e >&2; exit 5")
    check_equal((done.code, done.out, done.err), (5, "b\n", "e\n"), f"{done!r}")
    done = rig.gantry("exec", "web", "--", "/nowhere")
    check_equal(done.code, 127, f"{done!r}")
    done = rig.gantry("exec", "web", "--", "/etc")
    check_equal(done.code, 126, f"{done!r}")


def stats_update_and_top(rig):
    stats = rig.ok("--json", "stats", "web").objects()[0]
    check(stats["cpu_usage_ns"] > 0 and stats["memory_bytes"] > 0, f"stats: {stats}")
    rig.ok("update", "-m", "96m", "web")
    group = "/sys/fs/cgroup" + rig.show("web")["cgroup"]
    with open(f"{group}/memory.max") as f:
        check_equal(f.read().strip(), str(96 << 20), "memory.max after the update")
    check(len(rig.ok("--json", "top", "web").objects()) == 1, "top")


def pause_and_resume(rig):
    rig.ok("pause", "web")
    check_equal(rig.state_of("web"), "paused", "state")
    group = "/sys/fs/cgroup" + rig.show("web")["cgroup"]
    with open(f"{group}/cgroup.events") as f:
        check("frozen 1" in f.read(), "its group is frozen")
    check(rig.gantry("exec", "web", "--", "true").code == 125, "exec is refused")
    rig.ok("resume", "web")
    check_equal(rig.state_of("web"), "running", "state")
    rig.ok("exec", "web", "--", "true")


def a_frozen_one_dies_by_kill(rig):
    group = "/sys/fs/cgroup" + rig.show("web")["cgroup"]
    rig.ok("pause", "web")
    rig.ok("kill", "web")  # On v2 a frozen process dies at once.
    check_equal(rig.ok("wait", "web").out, "137\n", "wait")
    rig.ok("rm", "web")
    check(not os.path.exists(group), f"{group} is gone")


def an_oom_of_its_own_limit(rig):
    hog = "x=0123456789abcdef; while :; do x=$x$x; done"
    rig.run("hog", "sh", "-c", hog, options=("-m", "16m",))
    check_equal(rig.ok("wait", "hog").out, "137\n", "wait")
    e = rig.wait_event("exit", "hog")
    check_equal((e["signal"], e["oom"]), (9, True), f"exit: {e}")
    oom = rig.wait_event("oom", "hog")
    check_equal(oom["details"].get("level"), "container", f"the level is known on v2: {oom}")
    rig.ok("rm", "hog")


def an_oom_of_an_exec(rig):
    rig.run("host", "sleep", "1000", options=("-m", "16m",))
    done = rig.gantry("exec", "--id", "hog", "host", "--", "sh", "-c",
                      "x=0123456789abcdef; while :; do x=$x$x; done")
    check_equal(done.code, 137, f"{done!r}")
    e = rig.wait_event("exit", "host", process="hog")
    check(e["oom"], f"exit of the exec: {e}")
    check_equal(rig.state_of("host"), "running", "init lives")
    rig.ok("rm", "-f", "host")


def kill_of_gantryd_under_a_writer(rig):
    rig.run("count", "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; exit 4")
    for _ in range(3):
        rig.kill_daemon()
        until(rig.answers, "gantryd is back")
    check_equal(rig.ok("wait", "count").out, "4\n", "wait")
    numbers = rig.ok("logs", "count").out.split()
    check_equal(numbers, [str(i) for i in range(3000)], "every number, once, in order")
    check_equal(len(rig.events("exit", container="count")), 1, "exits")


def an_exit_while_gantryd_is_down(rig):
    rig.run("short", "sh", "-c", "sleep 0.3; echo last words; exit 6")
    rig.run("long", "sleep", "1000")
    rig.kill_daemon()
    until(rig.answers, "gantryd is back")
    check_equal(rig.ok("wait", "short").out, "6\n", "wait")
    check_equal(rig.ok("logs", "short").out, "last words\n", "logs")
    check_equal(rig.state_of("long"), "running", "the other one")


def stop_with_grace(rig):
    rig.run("polite", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: rig.ok("logs", "polite").out == "ready\n", "ready")
    rig.ok("stop", "-t", "60", "polite")
    check_equal(rig.ok("wait", "polite").out, "9\n", "it ended by itself")
    rig.ok("stop", "-t", "0.5", "long")
    check_equal(rig.ok("wait", "long").out, "137\n", "sleep as pid 1 has no TERM handler")


def every_process_of_the_group_dies(rig):
    rig.run("family", "sh", "-c", "for i in 1 2 3 4 5; do sleep 1000 & done; wait")
    until(lambda: len(rig.ok("--json", "top", "family").objects()) == 6, "six processes")
    rig.ok("rm", "-f", "family")
    left = [p for p in glob.glob("/proc/[0-9]*/cgroup") if "family" in text_of(p)]
    check_equal(left, [], "processes of it")


def text_of(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def nothing_is_left(rig):
    rig.check_clean()
    rig.check_end()
    check_equal(re.findall(r"a check failed.*", rig.daemon_log()), [], "gantryd's log")


STEPS = (run_and_wait, run_in_the_foreground, a_command_that_is_missing, its_cgroup_is_v2,
         exec_and_its_exit_code, stats_update_and_top, pause_and_resume,
         a_frozen_one_dies_by_kill, an_oom_of_its_own_limit, an_oom_of_an_exec,
         kill_of_gantryd_under_a_writer, an_exit_while_gantryd_is_down, stop_with_grace,
         every_process_of_the_group_dies, nothing_is_left)
