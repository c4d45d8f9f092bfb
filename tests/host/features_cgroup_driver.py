"""Who makes the cgroups: systemd, where it runs, and what is said where it does not."""

import os
import signal
import subprocess

from marks import once, own_rig, with_systemd
from checks import Skipped
from rig import check, check_equal, read_text, until

POLITE = "trap 'exit 3' TERM; while :; do sleep 0.1; done"


def plain(rig):
    """The command without a word about cgroups."""
    words = rig.command()
    at = words.index("--cgroup-parent")
    return [x for x in words[:at] + words[at + 2:] if x not in ("--cgroup-driver", "systemd")]


@once
@own_rig(runs=False)
def test_names_that_are_no_slice_are_refused(rig):
    for name, word in (("gantry/a", "gantry/a"), ("a--b.slice", "a--b.slice"),
                       ("x" * 57 + ".slice", "56 characters")):
        code, text = rig.try_start([*plain(rig), "--cgroup-driver", "systemd",
                                    "--cgroup-parent", name])
        check_equal(code, 78, f"exit code of {name}: {text}")
        check(word in text, f"{word} is named: {text}")
    code, text = rig.try_start([*plain(rig), "--cgroup-driver", "docker"])
    check_equal(code, 64, f"exit code of an unknown driver: {text}")
    config = rig.path("config.toml")
    with open(config, "w") as f:
        f.write('cgroup-driver = "docker"\n')
    code, text = rig.try_start([*plain(rig), "--config", config])
    check_equal(code, 78, f"exit code of an unknown driver in a file: {text}")
    check("use cgroupfs or systemd" in text, f"the cure is named: {text}")


@once
@own_rig(runs=False)
def test_without_systemd_its_driver_is_refused(rig):
    if os.path.exists("/run/systemd/system"):
        raise Skipped("systemd is here")
    code, text = rig.try_start([*plain(rig), "--cgroup-driver", "systemd"])
    check_equal(code, 69, f"exit code: {text}")
    check("there is no /run/systemd/system" in text, f"the cause: {text}")
    check("--cgroup-driver cgroupfs" in text, f"the cure: {text}")


def unit_of(rig, name):
    """The scope's name and its directory, as gantry tells."""
    path = rig.show(name)["cgroup"]
    scope = next(part for part in path.split("/") if part.endswith(".scope"))
    return scope, "/sys/fs/cgroup" + path


def property_of(unit, name):
    return subprocess.run(["systemctl", "show", "--value", "-p", name, unit], check=True,
                          capture_output=True, text=True).stdout.strip()


@with_systemd
def test_a_container_lives_in_a_scope(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", POLITE, options=("-m", "64m"))
    scope, directory = unit_of(rig, a)
    rig.crash_point()
    check_equal(scope, f"{rig.cgroup}-default.{a}.scope", "its name")
    check_equal(property_of(scope, "Slice"), rig.cgroup + ".slice", "its slice")
    check_equal(property_of(scope, "ActiveState"), "active", "its state")
    check_equal(property_of(scope, "TasksMax"), "infinity", "tasks that nobody has limited")
    with open(f"/proc/{rig.init_pid(a)}/cgroup") as f:
        check_equal("/sys/fs/cgroup" + f.read().strip()[3:], directory, "where init is")
    check_equal(read_text(f"{directory}/memory.max").strip(), str(64 << 20), "memory.max")
    rig.ok("update", a, "-m", "48m")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    check_equal(read_text(f"{directory}/memory.max").strip(), str(48 << 20), "after a reload")
    rig.ok("exec", a, "true")
    check(rig.ok("--json", "stats", a).objects()[0]["pids"] >= 1, "its statistics")
    rig.ok("stop", a)
    until(lambda: property_of(scope, "ActiveState") == "inactive", "the scope ends with it")
    rig.ok("start", a)
    check_equal(unit_of(rig, a), (scope, directory), "the same scope in its second run")
    check_equal(property_of(scope, "ActiveState"), "active", "its state then")


@with_systemd
def test_a_restart_makes_the_same_scope_again(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", POLITE, options=("--restart", "always", "--restart-delay", "100ms"))
    _, directory = unit_of(rig, a)
    for n in range(3):
        pid = rig.init_pid(a)
        if n == 1:
            rig.crash_point()
        os.kill(pid, signal.SIGKILL)
        until(lambda last=pid: rig.show(a).get("pid", 0) not in (0, last), "it runs again")
        with open(f"/proc/{rig.init_pid(a)}/cgroup") as f:
            check_equal("/sys/fs/cgroup" + f.read().strip()[3:], directory, "where init is")


@with_systemd
def test_a_slice_of_its_own(rig):
    a = rig.id("a")
    own = f"{rig.cgroup}-own.slice"
    rig.run(a, "sh", "-c", POLITE, options=("--cgroup-parent", own))
    rig.crash_point()
    scope, _ = unit_of(rig, a)
    check_equal(property_of(scope, "Slice"), own, "its slice")
    refused = rig.gantry("create", "--name", rig.id("b"), "--cgroup-parent", "tenants/a",
                         "--rootfs", rig.rootfs, "--", "true")
    check(refused.code != 0 and "tenants/a" in refused.err and ".slice" in refused.err,
          f"a path is no slice: {refused!r}")
    rig.ok("rm", "-f", a)
    subprocess.run(["systemctl", "stop", own], check=True)


@with_systemd
@once
@own_rig()
def test_another_driver_finds_them(rig):
    """Made by one driver, looked after by a gantryd with the other; and back."""
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "sh", "-c", POLITE)
    scope, directory = unit_of(rig, a)
    slice_options = rig.driver
    for driver in ([], slice_options):
        rig.stop_daemon()
        rig.driver = driver
        rig.start_again()
        check_equal(unit_of(rig, a)[1], directory, "where it is")
        check(rig.ok("--json", "stats", a).objects()[0]["memory_bytes"] > 0,
              "its statistics")
        rig.ok("exec", a, "true")
        rig.ok("stop", a)
        rig.ok("start", a)
        check_equal(unit_of(rig, a), (scope, directory), "its next run")
        if not driver:
            rig.run(b, "sh", "-c", POLITE)
        check_equal(rig.show(b)["cgroup"], f"/{rig.cgroup}/default/{b}", "the other's place")
        check(rig.ok("--json", "stats", b).objects()[0]["memory_bytes"] > 0,
              "the other's statistics")
    rig.ok("rm", "-f", a, b)
    until(lambda: not os.path.exists(f"/sys/fs/cgroup/{rig.cgroup}/default"),
          "the other's directories are gone")
