"""Users by name, as the container's own files have them."""

import os
import shutil

import grpc

from bus import pb
from rig import check, check_equal, until

PASSWD = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbroken\n"
GROUP = "root:x:0:\nweb:x:34:\nstaff:x:50:web\nvideo:x:44:web,root\n"
SHOW = ("sh", "-c", "id -u; id -g; id -G")


def root_with_users(rig):
    """The rig's root filesystem (its files are links' targets of the same disk) with users."""
    root = rig.path("root")
    shutil.copytree(rig.rootfs, root, symlinks=True)
    for name, text in (("passwd", PASSWD), ("group", GROUP)):
        with open(os.path.join(root, "etc", name), "w") as f:
            f.write(text)
    rig.ends.append(lambda: shutil.rmtree(root))
    return root


def start(rig, name, root, *command, options=()):
    return rig.gantry("run", "-d", "--name", name, *options, "--rootfs", root, "--", *command)


def test_run_and_exec_as_a_user_by_name(rig):
    a, root = rig.id("a"), root_with_users(rig)
    check_equal(start(rig, a, root, *SHOW, options=("-u", "web")).code, 0, "run")
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(rig.ok("logs", a).out, "33\n34\n34 44 50\n", "web")
    check_equal(rig.show(a)["spec"]["user"], "web", "what was asked for")
    b = rig.id("b")
    start(rig, b, root, "sleep", "1000")
    rig.crash_point()
    for user, wanted in (("web", "33\n34\n34 44 50\n"), ("web:staff", "33\n50\n50\n"),
                         ("33", "33\n34\n34 44 50\n"), ("7", "7\n0\n0\n"), ("7:8", "7\n8\n8\n"),
                         ("7:video", "7\n44\n44\n")):
        check_equal(rig.ok("exec", "-u", user, b, *SHOW).out, wanted, user)


def test_further_groups_by_name_and_number(rig):
    a, root = rig.id("a"), root_with_users(rig)
    options = ("-u", "7:8", "--group-add", "video", "--group-add", "9", "--group-add", "staff")
    check_equal(start(rig, a, root, *SHOW, options=options).code, 0, "run")
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(rig.ok("logs", a).out, "7\n8\n8 9 44 50\n", "run")
    asked = rig.show(a)["spec"]["isolation"]
    check_equal((asked["groups"], asked["group_names"]), ([9], ["video", "staff"]), "asked for")
    b = rig.id("b")
    start(rig, b, root, "sleep", "1000", options=("--group-add", "web"))
    rig.crash_point()
    check_equal(rig.ok("exec", b, *SHOW).out, "0\n0\n0 34\n", "an exec has the container's")
    check_equal(rig.ok("exec", "--group-add", "staff", "--group-add", "6", b, *SHOW).out,
                "0\n0\n0 6 34 50\n", "and its own")
    check_equal(rig.ok("exec", "-u", "web", "--group-add", "root", b, *SHOW).out,
                "33\n34\n34 0 44 50\n", "with those of its user")
    for name, words in (("none", 'no group "none" in the container\'s /etc/group'),
                        ("we b", "not valid"), ("4294967295", "--group-add")):
        for done in (start(rig, rig.id("no"), root, "true", options=("--group-add", name)),
                     rig.gantry("exec", "--group-add", name, b, "true")):
            check(done.code == 125 and words in done.err, f"{name}: {done!r}")
            check_equal(done.err.count("\n"), 1, "one line")
        check_equal(rig.state_of(rig.id("no")), None, "nothing is left")


def test_a_new_run_looks_again(rig):
    a, root = rig.id("a"), root_with_users(rig)
    start(rig, a, root, *SHOW, options=("-u", "web", "--group-add", "7"))
    rig.ok("wait", a)
    check_equal(rig.ok("logs", a).out, "33\n34\n34 7 44 50\n", "the first run")
    with open(os.path.join(root, "etc/passwd"), "w") as f:
        f.write("web:x:35:36::/:\n")
    rig.ok("start", a)
    rig.crash_point()
    until(lambda: len(rig.events("exit", container=a)) == 2, "the second exit")
    said = rig.ok("logs", a).out
    check(said.endswith("35\n36\n36 7 44 50\n"), f"the second run: {said}")


def test_users_that_are_not_there(rig):
    a, root = rig.id("a"), root_with_users(rig)
    start(rig, a, root, "sleep", "1000")
    rig.crash_point()
    for user, words in (("nobody", "no user"), ("web:none", "no group"), ("broken", "no user"),
                        ("we b", "not valid"), ("-1", "not valid"), ("web:", "not valid")):
        for done in (start(rig, rig.id("no"), root, "true", options=("-u", user)),
                     rig.gantry("exec", "-u", user, a, "true")):
            check(done.code == 125 and words in done.err, f"{user}: {done!r}")
            check_equal(done.err.count("\n"), 1, "one line")
        check_equal(rig.state_of(rig.id("no")), None, "nothing is left")


def test_an_exec_with_a_profile_where_there_is_no_apparmor(rig):
    if os.path.exists("/sys/module/apparmor"):
        return  # There the runtime knows whether it is loaded.
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    until(rig.answers, "gantryd answers")
    b = rig.bus()
    spec = pb.ProcessSpec(args=["true"], apparmor_profile="web")
    try:
        b.call(b.processes.Exec, pb.ExecRequest(ref=pb.Ref(id=a), process="e", spec=spec))
        check(False, "should have been refused")
    except grpc.RpcError as e:
        check("no AppArmor" in e.details(), e.details())
    check_equal(rig.ok("exec", a, "echo", "x").out, "x\n", "and nothing is harmed")


def test_users_of_a_root_without_files(rig):
    done = rig.gantry("run", "--rm", "-u", "web", "--rootfs", rig.rootfs, "--", "true")
    check(done.code == 125 and "/etc/passwd" in done.err, f"refused: {done!r}")
    outside = rig.path("root")
    shutil.copytree(rig.rootfs, outside, symlinks=True)
    os.symlink("/etc/passwd", os.path.join(outside, "etc/passwd"))
    done = rig.gantry("run", "--rm", "-u", "root", "--rootfs", outside, "--", "true")
    check(done.code == 125 and "/etc/passwd" in done.err, f"the host's is not it: {done!r}")
    shutil.rmtree(outside)
