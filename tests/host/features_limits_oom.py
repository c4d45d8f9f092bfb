"""Limits, what happens at them, and the numbers that a container shows."""

import os
import signal
import time

from marks import once, own_rig
from rig import by_systemd, check, check_equal, process_state, read_text, stamp, until

V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def log_of_the_kernel():
    """Whether gantryd can know whom the kernel has killed."""
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        return "(kthreadd)" in read_text("/proc/2/stat")
    except OSError:
        return False


LOG = log_of_the_kernel()


def told_of(rig, name, victim):
    """Who was killed, as the event, inspect and why tell it; init's own end is known by the log."""
    if victim == "init" and not LOG:
        victim = "unknown"
    e = until(lambda: rig.events("oom", container=name), "an oom event")[-1]
    check_equal(e["details"]["victim"], victim, "who was killed")
    state = rig.show(name)["oom_state"]
    check_equal((state["victim"], state["level"], state["kills"]),
                (victim, e["details"]["level"], int(e["details"]["kills"])), "inspect")
    words = {"init": "its init was killed", "other": "another process than init was killed",
             "unknown": "who was killed is not known"}[victim]
    check(words in rig.ok("why", name).out, f"{words!r} in {rig.ok('why', name).out}")
    return victim


def test_oom_of_init(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 0.2; exec tail /dev/zero", options=("-m", "16m"))
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    e = rig.wait_event("exit", a)
    check_equal((e["exit_code"], e["signal"], e["oom"]), (None, 9, True), "exit event")
    # A scope of systemd is gone with its counters when nobody was there to read them.
    level = e["oom_level"] if by_systemd() and rig.crash else None
    check(level == "inferred" or e["oom_level"] == ("container" if V2 else "inferred"),
          f"oom level: {e}")
    until(lambda: rig.events("oom", container=a), "an oom event")
    check_equal(len(rig.events("oom", container=a)), 1, "oom events")
    check_equal(told_of(rig, a, "init"), e["oom_victim"], "the exit says the same")
    check_equal(e["cause"], rig.events("oom", container=a)[0]["seq"], "why it ended")


def test_oom_of_a_child(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 0.2; tail /dev/zero; echo child $?; sleep 1000",
            options=("-m", "16m"))
    rig.crash_point()
    until(lambda: "child 137" in rig.ok("logs", a).out, "the child is killed")
    until(lambda: rig.events("oom", container=a), "an oom event while init lives")
    check_equal(rig.state_of(a), "running", "init lives")
    check_equal(told_of(rig, a, "other"), "other", "a child was killed, and init not")
    rig.ok("stop", "-t", "0", a)
    e = rig.wait_event("exit", a)
    check_equal((e["oom"], e["oom_victim"]), (False, "other"), "what the exit says of the run")


def test_a_kill_beside_an_oom_is_none(rig):
    """A child is killed for want of memory, and then somebody else kills init."""
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 0.2; tail /dev/zero; echo child $?; sleep 1000",
            options=("-m", "16m"))
    rig.crash_point()
    until(lambda: rig.events("oom", container=a), "an oom event while init lives")
    os.kill(rig.init_pid(a), signal.SIGKILL)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    e = rig.wait_event("exit", a)
    check_equal((e["oom"], e["oom_victim"]), (not LOG, "other"), "the kernel's log knows better")


@once
@own_rig()
def test_an_oom_while_nobody_watches(rig):
    a, b = rig.id("a"), rig.id("b")
    gate = "until test -e /tmp/go-{}; do sleep 0.05; done; "
    rig.run(a, "sh", "-c", gate.format(a) + "exec tail /dev/zero", options=("-m", "16m"))
    rig.run(b, "sh", "-c", gate.format(b) + "tail /dev/zero; echo child $?; sleep 1000",
            options=("-m", "16m"))
    pids = [rig.init_pid(a), rig.init_pid(b)]
    killed = rig.cgroup_file(b, "memory", "memory.events" if V2 else "memory.oom_control")
    rig.stop_daemon()
    for name in (a, b):
        open(os.path.join(rig.rootfs, "tmp", "go-" + name), "w").close()
    until(lambda: process_state(pids[0]) in (None, "Z"), "init was killed")
    until(lambda: "oom_kill 1\n" in read_text(killed), "the child was killed")
    rig.start_again()
    told_of(rig, a, "init")
    told_of(rig, b, "other")
    check_equal(rig.wait_event("exit", a)["oom_victim"], "init" if LOG else "unknown", "the exit")
    rig.kill_daemon()
    check_equal([len(rig.events("oom", container=x)) for x in (a, b)], [1, 1], "told once")


def test_oom_of_an_exec(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-m", "16m"))
    rig.ok("exec", "-d", "--id", "greedy", a, "--", "sh", "-c", "sleep 0.2; exec tail /dev/zero")
    rig.crash_point()
    check_equal(rig.ok("wait", "-p", "greedy", a).out, "137\n", "wait")
    check_equal(rig.wait_event("exit", a, process="greedy")["oom"], True, "oom of the exec")
    check_equal(rig.state_of(a), "running", "init lives")


def test_a_kill_is_no_oom(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-m", "64m"))
    rig.crash_point()
    os.kill(rig.init_pid(a), signal.SIGKILL)
    check_equal(rig.ok("wait", a).out, "137\n", "wait")
    e = rig.wait_event("exit", a)
    check_equal((e["oom"], e["oom_level"]), (False, None), "oom")
    check_equal(rig.events("oom", container=a), [], "oom events")


def test_pids_limit(rig):
    a = rig.id("a")
    # The runtime's own threads count as well, until the program is there: 5 would be too few.
    rig.run(a, "sh", "-c", "for i in $(seq 40); do sleep 1000 & done; wait",
            options=("--pids-limit", "25"))
    rig.crash_point()
    until(lambda: "fork" in rig.ok("logs", a).err or rig.state_of(a) == "stopped",
          "it cannot fork")
    pids = rig.cgroup_file(a, "pids", "pids.max")
    if pids and rig.state_of(a) == "running":
        check_equal(read_text(pids), "25\n", "pids.max")
        check(rig.ok("--json", "stats", a).objects()[0]["pids"] <= 25, "pids in stats")


def test_limits_in_the_cgroup_and_their_update(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-m", "64m", "--cpus", "0.5", "--pids-limit", "50"))
    file = "memory.max" if V2 else "memory.limit_in_bytes"
    memory = rig.cgroup_file(a, "memory", file)
    check_equal(int(read_text(memory)), 64 << 20, file)
    rig.ok("update", "-m", "128m", "--pids-limit", "20", a)
    rig.crash_point()
    check_equal(int(read_text(memory)), 128 << 20, file + " after update")
    check_equal(int(read_text(rig.cgroup_file(a, "pids", "pids.max"))), 20, "pids.max")
    d = rig.show(a)["spec"]["resources"]
    check_equal((d["memory_bytes"], d["nano_cpus"], d["pids_limit"]), (128 << 20, 500000000, 20),
                "inspect")
    e = rig.wait_event("updated", a)
    check_equal(e["details"], {"memory_bytes": str(128 << 20), "pids_limit": "20"}, "event")
    # They hold for the next run as well.
    rig.ok("kill", a)
    rig.ok("wait", a)
    rig.ok("start", a)
    check_equal(int(read_text(rig.cgroup_file(a, "memory", file))), 128 << 20, "second run")


def test_update_of_every_other_limit(rig):
    """CPU shares, quota by CPUs, the CPUs and memory nodes, the soft memory limit."""
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-m", "64m"))
    rig.crash_point()
    rig.ok("update", "--cpus", "0.25", "--cpu-shares", "256", "--cpuset-cpus", "0",
           "--cpuset-mems", "0", "--memory-reservation", "32m", a)

    def holds(v1, v2):
        for controller, file, text in v1 if not V2 else [("", *x) for x in v2]:
            check_equal(read_text(rig.cgroup_file(a, controller, file)).strip(), text, file)
    holds([("cpu", "cpu.cfs_quota_us", "25000"), ("cpu", "cpu.cfs_period_us", "100000"),
           ("cpu", "cpu.shares", "256"), ("cpuset", "cpuset.cpus", "0"),
           ("cpuset", "cpuset.mems", "0"),
           ("memory", "memory.soft_limit_in_bytes", str(32 << 20)),
           ("memory", "memory.limit_in_bytes", str(64 << 20))],
          [("cpu.max", "25000 100000"), ("cpu.weight", "10"), ("cpuset.cpus", "0"),
           ("cpuset.mems", "0"), ("memory.low", str(32 << 20)), ("memory.max", str(64 << 20))])
    e = rig.wait_event("updated", a)
    check_equal(sorted(e["details"]), ["cpu_shares", "cpuset_cpus", "cpuset_mems",
                                       "memory_reservation_bytes", "nano_cpus"], "event")
    check_equal(e["pid"], rig.init_pid(a), "pid of the event")


def test_update_refuses_nonsense(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    for bad in (("-m", "lots"), ("-m", "1k"), ("--cpus", "-3"), ("--cpuset-cpus", "x")):
        done = rig.gantry("update", *bad, a)
        check(done.code in (1, 125), f"refused: {done!r}")
        check(done.err, "with words")
    check_equal(rig.state_of(a), "running", "it lives")
    check_equal(rig.events("updated", container=a), [], "no event")


def test_stats(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; "
            "sleep 1000", options=("-m", "64m",))
    rig.crash_point()
    until(lambda: rig.ok("logs", a).out == "done\n", "it has worked")
    before = time.time_ns()
    s = rig.ok("--json", "stats", a).objects()[0]
    check(stamp(before) <= s["read_at"] <= stamp(time.time_ns()), f"when they were read: {s}")
    check(s["cpu_usage_ns"] > 1000000, f"cpu: {s}")
    check(0 < s["memory_bytes"] < 64 << 20, f"memory: {s}")
    check_equal(s["memory_limit_bytes"], 64 << 20, "memory limit")
    check_equal(s["pids"], 1, "pids")
    raw = rig.ok("--json", "stats", "--raw", a).objects()[0]["raw"]
    check(any("memory" in name for name in raw) and any("pids" in name for name in raw),
          f"raw files: {sorted(raw)}")
    check(a in [x["id"] for x in rig.ok("--json", "stats").objects()], "stats of all")


def test_top(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sleep 1000 & sleep 2000 & wait")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sleep", "3000")
    rig.crash_point()
    rows = until(lambda: (lambda r: r if len(r) == 4 else None)(
        rig.ok("--json", "top", a).objects()), "four processes")
    text = [" ".join(r["command"]) if isinstance(r["command"], list) else r["command"]
            for r in rows]
    for wanted in ("sleep 1000", "sleep 2000", "sleep 3000"):
        check(any(wanted in t for t in text), f"{wanted} in {text}")
    check_equal(sorted(r["process"] for r in rows if r["process"]), ["e", "init"], "whose they are")


def test_oom_policies(rig):
    greedy = "sleep 0.3; tail /dev/zero; echo survived; sleep 1000"
    a, b, c = rig.id("a"), rig.id("b"), rig.id("c")
    rig.run(a, "sh", "-c", greedy, options=("-m", "16m", "--oom-policy", "kill_group"))
    rig.run(b, "sh", "-c",
            f"test -e /tmp/was-$0 && exec sleep 1000; touch /tmp/was-$0; {greedy}", b,
            options=("-m", "16m", "--oom-policy", "restart", "--stop-timeout", "100ms"))
    rig.run(c, "sh", "-c", greedy, options=("-m", "16m", "--oom-policy", "stop", "--restart",
                                            "always", "--stop-timeout", "100ms"))
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "137\n", "all of it is killed")
    check_equal(rig.wait_event("exit", a)["oom"], True, "for want of memory")
    until(lambda: len(rig.events("start", container=b)) == 2, "it is started again")
    check_equal(rig.show(b)["restart"]["reason"], "out of memory", "why")
    rig.wait_state(c, "stopped")
    check_equal(len(rig.events("start", container=c)), 1, "it stays stopped")
    e = rig.events("oom", container=a)[0]["details"]
    check_equal(e["limit_bytes"], str(16 << 20), "the limit")
    check(int(e["peak_bytes"]) > 8 << 20, f"the peak: {e}")
    check("out of memory" in rig.ok("why", b).out, rig.ok("why", b).out)


def test_a_nested_manager(rig):
    """A container that divides its own cgroup: processes moved, a controller handed on, a limit."""
    a = rig.id("a")
    top = "/sys/fs/cgroup" if V2 else "/sys/fs/cgroup/pids"
    hand_on = f"echo +pids >{top}/cgroup.subtree_control; " if V2 else ""
    rig.run(a, "sh", "-c", f"mkdir {top}/own {top}/inner; echo 1 >{top}/own/cgroup.procs; {hand_on}"
            f"echo 7 >{top}/inner/pids.max; sleep 1000 & echo $! >{top}/inner/cgroup.procs; "
            f"cat {top}/inner/pids.max {top}/inner/cgroup.procs | wc -l; wait",
            options=("--security-opt", "writable-cgroups"))
    rig.crash_point()
    until(lambda: rig.ok("logs", a).out == "2\n", "the inner one has a limit and a process")
    check_equal(rig.ok("exec", a, "--", "cat", f"{top}/inner/pids.max").out, "7\n", "an exec")
    check(rig.ok("--json", "stats", "--no-stream", a).objects()[0]["pids"] >= 2, "both are counted")
    rig.ok("pause", a)
    check_equal(rig.state_of(a), "paused", "all of it is frozen")
    rig.ok("resume", a)
    procs = rig.cgroup_file(a, "pids", "cgroup.procs")
    check(os.path.exists(os.path.join(os.path.dirname(procs), "inner")), "it is one's own")
    rig.ok("rm", "-f", a)
    check(not os.path.exists(os.path.dirname(procs)),
          "what the container made is removed as well")
