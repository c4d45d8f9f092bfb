#!/usr/bin/python3
"""The Debian packages on this machine, below an overlay that vanishes: installed, a program built
and run with the library, upgraded while a container runs, removed, purged.

  tests/packaging/deb_test.py BUILD

Nothing of the host is changed: the root filesystem is the lower layer of an overlay in a mount
namespace of our own, with /run and /tmp of its own. There is no systemd in there; what it does
with the package is shown by the VM lane (tests/vm/under_systemd.py).
"""

import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TREE, "tests", "host"))

from checks import Broken, check, check_equal, until  # noqa: E402

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
CGROUP = f"gantry-deb-{os.getpid()}"
# What dpkg and its helpers write for themselves.
THEIRS = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/systemd/deb-systemd-helper",
          "/etc/ld.so.cache", "/var/lib/gantry", "/etc/gantry")
FILES = ("/usr/bin/gantry", "/usr/bin/gantryd", "/usr/bin/gantry-keeper",
         "/usr/libexec/gantry/gantry-journal", "/usr/libexec/gantry/gantry-stop",
         "/usr/lib/systemd/system/gantry.service", "/usr/lib/systemd/system/gantry.socket",
         "/etc/gantry/gantryd.toml",
         "/usr/share/man/man1/gantry.1.gz", "/usr/share/man/man8/gantryd.8.gz",
         "/usr/share/bash-completion/completions/gantry")
DEV_FILES = ("/usr/include/gantry/gantry.hpp", "/usr/share/man/man3/libgantry.3.gz",
             "/usr/share/gantry/messages/gantry.proto")
WANTED = "/etc/systemd/system/multi-user.target.wants/gantry.service"


def run(*command, codes=(0,)):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300)
    check(done.returncode in codes, f"{' '.join(command)} -> {done.returncode}\n{done.stdout}")
    return done.stdout


def mount(kind, what, where, data=None):
    run("mount", "-t", kind, *(["-o", data] if data else []), what, where)


def enter_overlay(work):
    """The rest of this process sees the overlay as its root."""
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(CLONE_NEWNS) == 0, "a mount namespace")
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0, "it is private")
    mount("tmpfs", "tmpfs", work)
    for name in ("upper", "work", "root"):
        os.mkdir(os.path.join(work, name))
    root = os.path.join(work, "root")
    mount("overlay", "overlay", root,
          f"lowerdir=/,upperdir={work}/upper,workdir={work}/work")
    for name in ("proc", "sys", "dev"):
        run("mount", "--rbind", f"/{name}", f"{root}/{name}")
    for name in ("run", "tmp"):
        mount("tmpfs", "tmpfs", f"{root}/{name}")
    os.mkdir(f"{root}/run/upper")
    run("mount", "--bind", f"{work}/upper", f"{root}/run/upper")
    os.chroot(root)
    os.chdir("/")


def build_packages(build, to):
    for version in ("0.1.0-1", "0.1.0-2"):
        subprocess.run([os.path.join(TREE, "scripts/build-deb"), build, to], check=True,
                       stdout=subprocess.DEVNULL, env=dict(os.environ, GANTRY_DEB_VERSION=version))
    names = sorted(glob.glob(f"{to}/gantry_*.deb")) + [f"{to}/gantry-dev_0.1.0-1_{arch()}.deb"]
    return [open(path, "rb").read() for path in names]


def arch():
    return run("dpkg", "--print-architecture").strip()


def start_gantryd():
    child = subprocess.Popen(["/usr/bin/gantryd", "--keeper-apart", "--config",
                              "/etc/gantry/gantryd.toml"], stdin=subprocess.DEVNULL)
    until(lambda: subprocess.run(["gantry", "ps"], capture_output=True).returncode == 0,
          "gantryd answers")
    return child


def pid_of(name):
    import json
    return json.loads(run("gantry", "--json", "inspect", name))["pid"]


def install(path):
    run("dpkg", "-i", path)
    for file in FILES:
        check(os.path.isfile(file), f"{file} is there")
    check(os.path.islink(WANTED), "the service is enabled")
    if shutil.which("systemd-analyze"):
        said = run("systemd-analyze", "verify", "/usr/lib/systemd/system/gantry.service",
                   codes=(0, 1))
        check("gantry.service" not in said, f"systemd has nothing to say of the unit: {said}")
    check("0.1.0" in run("gantryd", "--version"), "it runs")
    with open("/etc/gantry/gantryd.toml", "a") as f:
        f.write(f'cgroup-parent = "{CGROUP}"\n')


def use_the_library(path, rootfs, example):
    """What a program's author does: installs gantry-dev, builds, runs."""
    run("dpkg", "-i", path)  # Its dependencies are those of the build: they are here.
    for file in DEV_FILES:
        check(os.path.isfile(file), f"{file} is there")
    os.mkdir("/tmp/example")
    with open("/tmp/example/embed.cpp", "w") as f:
        f.write(example)
    with open("/tmp/example/CMakeLists.txt", "w") as f:
        f.write("cmake_minimum_required(VERSION 3.25)\nproject(example LANGUAGES CXX)\n"
                "find_package(gantry 0.1 REQUIRED)\nadd_executable(by-cmake embed.cpp)\n"
                "target_link_libraries(by-cmake PRIVATE gantry::gantry)\n")
    run("cmake", "-S", "/tmp/example", "-B", "/tmp/example/build", "-G", "Ninja")
    run("cmake", "--build", "/tmp/example/build")
    flags = run("pkg-config", "--cflags", "--libs", "gantry").split()
    run("g++", "-std=c++20", "/tmp/example/embed.cpp", "-o", "/tmp/example/by-pkg-config", *flags)
    for number, program in enumerate(("build/by-cmake", "by-pkg-config")):
        os.mkdir(f"/run/embed-{number}")
        said = run(f"/tmp/example/{program}", f"/run/embed-{number}", rootfs, CGROUP).splitlines()
        for line in ("out: hello, gantry", "exit: 3", "event: exit greeter"):
            check_equal(said.count(line), 1, f"{line!r} of {program}: {said}")
    run("dpkg", "--purge", "gantry-dev")
    for file in DEV_FILES + ("/usr/include/gantry",):
        check(not os.path.exists(file), f"{file} after the removal")


def use_and_upgrade(path, rootfs):
    first = start_gantryd()
    run("gantry", "run", "-d", "--name", "a", "--rootfs", rootfs, "--", "sh", "-c",
        "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    pid = pid_of("a")
    run("dpkg", "-i", path)
    with open("/etc/gantry/gantryd.toml") as f:
        check(CGROUP in f.read(), "the configuration is the administrator's")
    first.send_signal(signal.SIGTERM)
    check_equal(first.wait(timeout=30), 0, "the old gantryd ends")
    second = start_gantryd()
    check_equal(pid_of("a"), pid, "the new one has the same container")
    return second, pid


def remove_and_purge(gantryd, pid):
    run("dpkg", "--remove", "gantry")
    check_equal(gantryd.wait(timeout=30), 0, "gantryd ends with its package")
    check(not os.path.exists(f"/proc/{pid}"), "and so does its container")
    check(not glob.glob("/run/gantry/keeper.sock"), "and its keeper")
    for file in FILES:
        check(os.path.exists(file) == file.startswith("/etc"), f"{file} after the removal")
    check(os.path.isdir("/var/lib/gantry/journal"), "the journal stays until the purge")
    run("dpkg", "--purge", "gantry")
    for path in ("/var/lib/gantry", "/etc/gantry", "/run/gantry", WANTED):
        check(not os.path.lexists(path), f"{path} after the purge")
    left = run("find", "/run/upper", "-mindepth", "1", "!", "-type", "d", "!", "-type", "c")
    left = [x.removeprefix("/run/upper") for x in left.splitlines()]
    check_equal([x for x in left if not x.startswith(THEIRS)], [], "what is left")


def inside(packages, rootfs, example):
    paths = []
    for number, content in enumerate(packages):
        paths.append(f"/tmp/{number}.deb")
        with open(paths[-1], "wb") as f:
            f.write(content)
    install(paths[0])
    use_the_library(paths[2], rootfs, example)
    gantryd, pid = use_and_upgrade(paths[1], rootfs)
    remove_and_purge(gantryd, pid)


def clear_cgroups():
    for path in sorted(glob.glob(f"/sys/fs/cgroup/**/{CGROUP}/**/", recursive=True), reverse=True):
        try:
            with open(os.path.join(path, "cgroup.procs")) as f:
                for pid in f.read().split():
                    os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.05)
    for path in sorted(glob.glob(f"/sys/fs/cgroup/**/{CGROUP}/**/", recursive=True), reverse=True):
        try:
            os.rmdir(path)
        except OSError:
            pass


def main():
    if os.geteuid() != 0:
        print("skipped: the Debian package: not run as root\n0 passed, 0 failed, 0 skipped")
        return 0
    work = tempfile.mkdtemp(prefix="gantry-deb-")
    try:
        packages = build_packages(sys.argv[1], os.path.join(work, "deb"))
        from rig import make_rootfs
        with open(os.path.join(TREE, "examples/embed.cpp")) as f:
            example = f.read()
        overlay = os.path.join(work, "overlay")
        os.mkdir(overlay)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                enter_overlay(overlay)
                inside(packages, make_rootfs("/tmp/rootfs"), example)
                code = 0
            except (Broken, subprocess.SubprocessError) as e:
                print(f"FAILED: {e}", flush=True)
            finally:
                os._exit(code)
        passed = os.waitpid(child, 0)[1] == 0
    finally:
        clear_cgroups()
        shutil.rmtree(work, ignore_errors=True)
    print(f"{int(passed)} passed, {int(not passed)} failed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
