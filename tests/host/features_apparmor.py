"""AppArmor, where the kernel has it: profiles that are loaded for the test confine containers."""

import subprocess

import grpc

from bus import pb
from marks import with_apparmor
from rig import check, check_equal, until

# Everything is allowed but to write into one directory.
PROFILE = """
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  mount,
  pivot_root,
  ptrace,
  signal,
  unix,
  deny /forbidden/** w,
}}
"""


def load(rig, word):
    """Its name is the host's: no other rig has it."""
    name = f"{rig.cgroup}-{word}"
    text = PROFILE.format(name=name)
    subprocess.run(["apparmor_parser", "-r", "-K"], input=text, text=True, check=True)
    rig.ends.append(lambda: subprocess.run(["apparmor_parser", "-R"], input=text, text=True,
                                           check=True))
    return name


def prepare():
    """Writes to both directories, and tells under which profile."""
    return "mkdir -p /forbidden /allowed; echo x >/allowed/x && echo may; " \
           "echo x >/forbidden/x || echo may not; cat /proc/self/attr/current"


@with_apparmor
def test_a_container_and_an_exec_are_confined(rig):
    name, other = load(rig, "one"), load(rig, "two")
    a, free = rig.id("a"), rig.id("free")
    rig.run(a, "sh", "-c", f"{prepare()}; sleep 1000",
            options=("--security-opt", f"apparmor={name}"))
    rig.run(free, "sh", "-c", f"{prepare()}; sleep 1000")
    rig.crash_point()
    until(lambda: "(enforce)" in rig.ok("logs", a).out, "it has looked")
    check_equal(rig.ok("logs", a).out.splitlines(), ["may", "may not", f"{name} (enforce)"],
                "the container's profile")
    until(lambda: "unconfined" in rig.ok("logs", free).out, "one without is not confined")
    check("may not" not in rig.ok("logs", free).out, "and may write")
    inside = rig.ok("exec", a, "sh", "-c", prepare())
    check_equal(inside.lines(), ["may", "may not", f"{name} (enforce)"], "an exec's is the same")
    b = rig.bus()
    spec = pb.ProcessSpec(args=["cat", "/proc/self/attr/current"], apparmor_profile=other)
    b.call(b.processes.Exec, pb.ExecRequest(ref=pb.Ref(id=a), process="e", spec=spec))
    until(lambda: f"{other} (enforce)" in rig.ok("logs", a, "e").out, "an exec can have another")


@with_apparmor
def test_a_profile_that_is_not_loaded(rig):
    a = rig.id("a")
    done = rig.gantry("run", "--rm", "--security-opt", "apparmor=gantry-nowhere", "--rootfs",
                      rig.rootfs, "--", "true")
    check(done.code == 125 and "\"gantry-nowhere\"" in done.err, f"the profile is named: {done!r}")
    check("apparmor_parser" in done.err and done.err.count("\n") == 1, f"the cure: {done!r}")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    until(rig.answers, "gantryd answers")
    b = rig.bus()
    spec = pb.ProcessSpec(args=["true"], apparmor_profile="gantry-nowhere")
    try:
        b.call(b.processes.Exec, pb.ExecRequest(ref=pb.Ref(id=a), process="e", spec=spec))
        check(False, "should have been refused")
    except grpc.RpcError as e:
        check("gantry-nowhere" in e.details(), e.details())
