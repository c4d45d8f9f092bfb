"""Who may do what on the bus, who asked for what, and many containers at once."""

import os
import stat
import subprocess

from bus import pb
from marks import once, own_rig
from rig import check, check_equal, until

NOBODY = 65534


def as_user(rig, gid, *args, groups=()):
    """The command line as nobody with these groups."""
    more = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    done = subprocess.run(
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(gid), *more,
         os.path.join(rig.bin_dir, "gantry"), "--socket", rig.socket, *args],
        capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@own_rig(extra=["--read-gid", "45001", "--operate-gid", "45002,45003"])
def test_roles(rig):
    os.chmod(rig.dir, 0o711)
    rig.run("a", "sleep", "1000")
    rig.crash_point()
    rig.ok("ps")
    for gid, groups in ((45001, ()), (NOBODY, (7, 45001))):
        code, text = as_user(rig, gid, "ps", groups=groups)
        check(code == 0 and "a" in text, f"who may read reads: {code} {text}")
        code, text = as_user(rig, gid, "kill", "a", groups=groups)
        check(code != 0 and "may look, and not operate" in text and "--operate-gid" in text,
              f"and no more: {code} {text}")
    rig.run("b", "echo", "words")
    code, text = as_user(rig, 45001, "attach", "--no-stdin", "--replay", "b")
    check_equal((code, text), (0, "words\n"), "who may read may look on")
    code, text = as_user(rig, 45001, "attach", "b")
    check(code != 0 and "with input" in text, f"but not type: {code} {text}")
    code, text = as_user(rig, NOBODY, "ps")
    check(code != 0 and "has no role" in text and "--read-gid" in text, f"nobody: {code} {text}")
    code, text = as_user(rig, NOBODY, "pause", "a", groups=(45003,))
    check_equal(code, 0, f"who may operate operates: {text}")
    event = rig.wait_event("paused", "a")
    check_equal((event["by"]["uid"], event["by"]["gid"]), (NOBODY, NOBODY), "and is named")
    check(event["by"]["pid"] > 0, str(event))
    rig.ok("resume", "a")


@once
@own_rig()
def test_no_roles_but_root(rig):
    check_equal(stat.S_IMODE(os.stat(rig.socket).st_mode), 0o660, "mode of the socket")
    check_equal(stat.S_IMODE(os.stat(rig.state).st_mode), 0o700, "mode of the state")
    os.chmod(rig.dir, 0o711)
    os.chmod(rig.state, 0o711)
    os.chmod(rig.socket, 0o666)  # Even who can connect has no role.
    code, text = as_user(rig, NOBODY, "ps")
    check(code != 0 and "has no role" in text, f"{code} {text}")


def test_who_asked(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    rig.ok("pause", a)
    rig.crash_point()
    rig.ok("resume", a)
    rig.ok("exec", "-d", a, "--", "sleep", "1000")
    rig.ok("update", "--memory", "64m", a)
    rig.ok("kill", "--signal", "USR2", a)
    rig.ok("stop", "-t", "0", a)
    rig.ok("start", a)
    rig.ok("rm", "-f", a)
    asked = {"create", "start", "paused", "resumed", "exec-added", "exec-started", "updated",
             "kill", "delete"}
    seen = set()
    for e in rig.events(container=a):
        if e["type"] in asked:
            check(e.get("by") and e["by"]["uid"] == 0 and e["by"]["pid"] > 0, f"nobody: {e}")
            seen.add(e["type"])
    check_equal(seen, asked, "all of them happened")


@once
def test_stats_of_all_in_one_call(rig):
    names = sorted(rig.id(f"s{n}") for n in range(20))
    for name in names:
        rig.run(name, "sleep", "1000")
    rig.ok("run", "-d", "-n", "other", "--name", rig.id("o"), "--rootfs", rig.rootfs, "--",
           "sleep", "1000")
    b = rig.bus()

    def asked(ns):
        reply = b.containers.Stats(pb.StatsRequest(ref=pb.Ref(namespace=ns)), timeout=30)
        return sorted(s.id for s in reply.stats if s.id.startswith(rig.id("")) and s.pids)
    check_equal(asked(""), names, "one namespace")
    check_equal(asked("other"), [rig.id("o")], "the other")
    check_equal(asked("*"), sorted([*names, rig.id("o")]), "all")


@once
def test_a_slow_step_is_named(rig):
    a = rig.id("a")
    slow = rig.path("slow-runc")
    with open(slow, "w") as f:
        f.write("#!/bin/sh\ncase \" $* \" in *\" run \"*|*\" create \"*) sleep 7;; esac\n"
                "exec /usr/sbin/runc \"$@\"\n")
    os.chmod(slow, 0o755)
    child = rig.spawn("run", "-d", "--runtime", slow, "--name", a, "--rootfs", rig.rootfs, "--",
                      "sleep", "1000")

    def stuck():
        for c in rig.ok("--json", "ps", "-a").objects():
            if c["id"] == a and c.get("stuck"):
                return c["stuck"]
        return None
    check(until(stuck, "it is said").startswith("stuck in creating for "), stuck())
    check_equal(child.wait(timeout=60), 0, "it came to its end")
    check_equal(stuck(), None, "and nothing is stuck any more")
