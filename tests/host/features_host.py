"""What gantry needs of its host, and what it leaves there: processes, directories, runtimes."""

import json
import os
import subprocess

from marks import once, own_rig
from rig import Rig, check, check_equal, process_state, read_text, until


def children(pid):
    return {int(x) for task in os.listdir(f"/proc/{pid}/task")
            for x in read_text(f"/proc/{pid}/task/{task}/children").split()}


@once
@own_rig()
def test_no_process_per_container(rig):
    """The keeper has gantryd and the processes of containers as children, gantryd has none."""
    for i in range(4):
        rig.run(f"a{i}", "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", "a0", "--", "sleep", "1000")
    wanted = {p["pid"] for i in range(4) for p in rig.show(f"a{i}")["processes"]}
    check_equal(len(wanted), 5, "four inits and an exec")
    for _ in range(2):
        until(lambda: not children(rig.alive_pid()), "no runtime command is left")
        check_equal(children(rig.daemon.pid), wanted | {rig.alive_pid()}, "the keeper's children")
        rig.kill_daemon()
        until(rig.answers, "gantryd answers again")
    threads = os.listdir(f"/proc/{rig.alive_pid()}/task")
    names = {read_text(f"/proc/{rig.alive_pid()}/task/{t}/comm").strip() for t in threads}
    check(all(n == "gantryd" or n.startswith("iou-") for n in names), f"its threads: {names}")


def test_created_is_not_started(rig):
    a = rig.id("a")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "--", "echo", "it ran")
    rig.crash_point()
    pid = rig.init_pid(a)
    check(process_state(pid) is not None, "its process is there")
    check("echo" not in read_text(f"/proc/{pid}/cmdline"), "but not the user's program")
    check_equal((rig.state_of(a), rig.ok("logs", a).out), ("created", ""), "state and log")
    rig.ok("start", a)
    check_equal(rig.ok("wait", a).out, "0\n", "wait")
    check_equal(rig.ok("logs", a).out, "it ran\n", "its log")


def test_a_removed_container_leaves_nothing(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo hello; sleep 1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sleep", "1000")
    rig.crash_point()
    d = rig.show(a)
    group = os.path.dirname(rig.cgroup_file(a, "pids", "cgroup.procs"))
    runtime = os.path.join(rig.state, "runtime", "default." + a)
    there = [d["bundle"], d["log_dir"], group, runtime]
    check_equal([p for p in there if not os.path.isdir(p)], [], "what should be there")
    pids = [p["pid"] for p in d["processes"]]
    rig.ok("rm", "-f", a)
    check_equal([p for p in there if os.path.exists(p)], [], "what is left")
    check_equal([p for p in pids if process_state(p) is not None], [], "processes that are left")
    check_equal(rig.state_of(a), None, "ps")


def test_the_runtimes_state_is_apart(rig):
    """The runtime keeps its state in a directory of its own; gantry's lies elsewhere."""
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    d = rig.show(a)
    root = os.path.join(rig.state, "runtime")
    said = subprocess.run([d["runtime"], "--root", root, "state", "default." + a],
                          capture_output=True, check=True)
    state = json.loads(said.stdout)
    check_equal((state["status"], state["pid"]), ("running", d["pid"]), "the runtime's own word")
    check_equal(state["bundle"], d["bundle"], "it runs from gantry's bundle")
    check_equal(sorted(os.listdir(rig.root)), ["checkpoints", "journal", "logs"],
                "what gantry keeps")


WRAPPER = """#!/bin/sh
echo "$@" >> {log}
exec runc "$@"
"""


def test_a_runtime_for_one_container(rig):
    a, b, mine = rig.id("a"), rig.id("b"), rig.path("my-runtime")
    with open(mine, "w") as f:
        f.write(WRAPPER.format(log=mine + ".log"))
    os.chmod(mine, 0o755)
    rig.run(a, "sleep", "1000", options=("--runtime", mine))
    rig.run(b, "sleep", "1000")
    rig.crash_point()
    rig.ok("exec", a, "--", "true")
    check_equal(rig.show(a)["runtime"], mine, "the one's runtime")
    check(rig.show(b)["runtime"] != mine, "the other's")
    rig.ok("rm", "-f", a, b)
    said = read_text(mine + ".log").splitlines()
    for verb in (" run ", " exec ", " delete "):
        check(any(verb in x and "default." + a in x for x in said), f"{verb} of {a} in {said}")
    check(not any("default." + b in x for x in said), "nothing of the other")


@once
@own_rig(runs=False)
def test_without_systemd_and_without_an_environment(rig):
    """Nothing of a service manager is asked for: an empty environment will do."""
    keeper, *rest = rig.keeper_command()
    rig.start(["/usr/bin/env", "-i", keeper, *rest])
    check_equal(read_text(f"/proc/{rig.alive_pid()}/environ").count("NOTIFY_SOCKET"), 0, "none")
    rig.run("a", "sh", "-c", "exit 3")
    check_equal(rig.ok("wait", "a").out, "3\n", "wait")
    rig.kill_daemon()
    check_equal(rig.state_of("a"), "stopped", "state after a crash")


@once
@own_rig(runs=False)
def test_the_socket_is_where_it_was_asked_for(rig):
    rig.socket = os.path.join(rig.dir, "elsewhere.sock")
    rig.start([*rig.keeper_command(), "--socket", rig.socket])
    check(not os.path.exists(os.path.join(rig.state, "gantry.sock")), "not at its usual place")
    rig.run("a", "sleep", "1000")
    rig.kill_daemon()
    check_equal(rig.state_of("a"), "running", "the same socket after a crash")
    done = rig.ok("--socket", rig.socket, "ps", "-q")
    check_equal(done.out, "a\n", "--socket of the command line")


@once
@own_rig()
def test_two_supervisors_beside_each_other(rig):
    """Another --state is another gantryd: same names, and neither sees the other's."""
    other = Rig(rig.bin_dir)
    try:
        other.start()
        for r, code in ((rig, 3), (other, 4)):
            r.run("a", "sh", "-c", f"exit {code}")
        check_equal((rig.ok("wait", "a").out, other.ok("wait", "a").out), ("3\n", "4\n"), "wait")
        other.run("b", "sleep", "1000")
        check_equal(rig.state_of("b"), None, "the other's container")
        rig.kill_daemon()
        check_equal(other.state_of("b"), "running", "the other's container after a crash here")
        other.check_clean()
        other.check_end()
    finally:
        other.close()
