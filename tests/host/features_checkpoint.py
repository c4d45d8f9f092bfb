"""Checkpoints by CRIU through runc. Where CRIU cannot work (`criu check` says so, as on kernels
that it does not know) the same tests ask for its error: clear, and nothing is harmed."""

import functools
import os
import shutil
import subprocess

from marks import once, own_rig
from rig import check, check_equal, until

MODULES = ("nf_tables nfnetlink unix_diag tcp_diag inet_diag udp_diag af_packet_diag netlink_diag "
           "raw_diag veth tun xt_mark nft_compat ip_tables iptable_filter ip6_tables "
           "xt_conntrack").split()
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


@functools.cache
def criu_works():
    if shutil.which("criu") is None:
        return False
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-a", *MODULES], capture_output=True, check=False)
    return subprocess.run(["criu", "check"], capture_output=True, check=False).returncode == 0


def numbers(rig, name):
    return [int(x) for x in rig.ok("logs", name).lines()]


def counting(rig, name, options=()):
    rig.run(name, "sh", "-c", COUNT, options=["--runtime", "runc", *options])
    until(lambda: len(numbers(rig, name)) > 3, "it counts")


def refused(rig, name, answer):
    """A checkpoint that CRIU could not take: its words, and a container that goes on."""
    check(answer.code != 0 and "checkpoint by runc failed" in answer.err, repr(answer))
    check_equal(rig.state_of(name), "running", "it goes on")
    before = len(numbers(rig, name))
    until(lambda: len(numbers(rig, name)) > before, "and counts on")
    event = rig.wait_event("checkpoint-failed", name)
    check(event["message"], str(event))
    check_equal(rig.ok("--json", "checkpoint", "ls", name).objects(), [], "nothing is kept")


def test_checkpoint_and_start_from_it(rig):
    a = rig.id("a")
    counting(rig, a)
    child = rig.spawn("checkpoint", "create", a, "one")
    rig.crash_point()
    out, err = child.communicate(timeout=300)
    if not criu_works():
        check(child.returncode != 0 and b"failed" in err, f"{out} {err}")
        return refused(rig, a, rig.gantry("checkpoint", "create", a, "two"))
    check_equal((child.returncode, out), (0, b"one\n"), f"taken: {err}")
    end = rig.wait_event("exit", a)
    check_equal((end["signal"], end.get("checkpoint")), (9, "one"), "the end")
    rig.wait_state(a, "stopped")
    listed = rig.ok("--json", "checkpoint", "ls", a).objects()
    check_equal([(c["name"], c["left_running"]) for c in listed], [("one", False)], "listed")
    last = numbers(rig, a)[-1]
    starter = rig.spawn("start", "--checkpoint", "one", a)
    rig.crash_point()
    out, err = starter.communicate(timeout=300)
    check_equal(starter.returncode, 0, f"started: {err}")
    until(lambda: numbers(rig, a)[-1] > last + 5, "it counts on")
    own = rig.show(a)["cgroup"]
    with open(f"/proc/{rig.init_pid(a)}/cgroup") as f:
        where = f.read().splitlines()
    check(any(line.endswith(":" + own) for line in where), f"in its own cgroup: {where}")
    seen = numbers(rig, a)
    check_equal(seen, list(range(1, seen[-1] + 1)), "no number is lost or doubled")
    started = rig.events("start", container=a)
    check_equal([e["run"] for e in started], [1, 2], "a run of its own")
    check_equal(started[1]["details"]["checkpoint"], "one", "from the checkpoint")


def test_checkpoint_leaves_it_running(rig):
    a = rig.id("a")
    counting(rig, a)
    answer = rig.gantry("checkpoint", "create", "--leave-running", a, "one", patience=300)
    if not criu_works():
        return refused(rig, a, answer)
    check_equal(answer.code, 0, repr(answer))
    rig.crash_point()
    check_equal(rig.state_of(a), "running", "state")
    again = rig.gantry("checkpoint", "create", "--leave-running", a, "one")
    check(again.code != 0 and "has a checkpoint \"one\" already" in again.err, repr(again))
    rig.ok("checkpoint", "create", "--leave-running", a, "two", patience=300)
    path = rig.ok("--json", "checkpoint", "ls", a).objects()[0]["dir"]
    check(os.path.isdir(path), f"images in {path}")
    rig.ok("checkpoint", "rm", a, "one")
    check(not os.path.exists(path), "its images are gone")
    rig.ok("rm", "-f", a)
    check(not os.path.exists(os.path.dirname(path)), "the rest goes with the container")


def test_checkpoint_into_a_directory(rig):
    a, c = rig.id("a"), rig.id("c")
    counting(rig, a)
    images = rig.path("images")
    answer = rig.gantry("checkpoint", "create", "--dir", images, a, patience=300)
    if not criu_works():
        refused(rig, a, answer)
        check(not os.path.exists(images), "nothing is left")
        return
    check_equal(answer.code, 0, repr(answer))
    last = numbers(rig, a)[-1]
    rig.ok("rm", a)
    check(os.path.isdir(images), "they stay")
    rig.crash_point()
    rig.ok("run", "-d", "--runtime", "runc", "--name", c, "--checkpoint-dir", images, "--rootfs",
           rig.rootfs, "--", "sh", "-c", COUNT, patience=300)
    until(lambda: numbers(rig, c) and numbers(rig, c)[0] == last + 1, "another one goes on")
    with open(f"/proc/{rig.init_pid(c)}/cgroup") as f:
        check(rig.show(c)["cgroup"] in f.read(), "it lies in its own cgroup, not in the other's")
    rig.ok("checkpoint", "create", c, "again", patience=300)


@once
def test_checkpoint_without_criu(rig):
    a = rig.id("a")
    bare = rig.path("bare-runc")
    with open(bare, "w") as f:
        f.write("#!/bin/sh\ncase \" $* \" in *\" checkpoint \"*) PATH=/nowhere;; esac\n"
                "export PATH\nexec /usr/sbin/runc \"$@\"\n")
    os.chmod(bare, 0o755)
    rig.run(a, "sleep", "1000", options=["--runtime", bare])
    answer = rig.gantry("checkpoint", "create", a, "one")
    check(answer.code != 0 and "apt-get install criu" in answer.err, repr(answer))
    check_equal(rig.state_of(a), "running", "it goes on")
    check_equal(rig.wait_event("checkpoint-failed", a)["details"]["code"], "unsupported", "code")


@once
@own_rig()
def test_checkpoints_that_cannot_be(rig):
    rig.run("a", "sleep", "1000")
    rig.ok("run", "-d", "--rm", "--name", "b", "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.ok("create", "--name", "c", "--rootfs", rig.rootfs, "--", "true")
    for words, said in ((("create", "c"), "created, not started"),
                        (("create", "b"), "is removed at its end"),
                        (("create", "a", "../x"), "cannot be a checkpoint's name"),
                        (("create", "--dir", "x", "a"), "cannot be a directory of images"),
                        (("create", "--dir", "/tmp/../x", "a"), "cannot be a directory of images"),
                        (("create", "--dir", "/tmp", "a"), "exists already"),
                        (("rm", "a", "none"), "has no checkpoint \"none\""),
                        (("ls", "nobody"), "no such container"),
                        (("burn", "a"), "no use of gantry checkpoint")):
        answer = rig.gantry("checkpoint", *words)
        check(answer.code != 0 and said in answer.err, repr(answer))
    for words, said in ((("--checkpoint", "x", "c"), "only a stopped one goes on"),
                        (("--checkpoint", "x", "a"), "is running already")):
        answer = rig.gantry("start", *words)
        check(answer.code != 0 and said in answer.err, repr(answer))
    rig.ok("kill", "a")
    rig.wait_state("a", "stopped")
    answer = rig.gantry("start", "--checkpoint", "x", "a")
    check(answer.code != 0 and "has no checkpoint" in answer.err, repr(answer))
    rig.ok("start", "a")
    rig.ok("exec", "-d", "a", "--", "sleep", "1000")
    answer = rig.gantry("checkpoint", "create", "a")
    check(answer.code != 0 and "1 living execs" in answer.err, repr(answer))
