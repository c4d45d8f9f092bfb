"""podman from Debian, with a conmon for each container."""

import os
import signal
import subprocess
import time

import harness
from harness import median
from peers import Peer, clock, need, run


def podman_idle(p, base, limits, name):
    run(*base, "run", "-d", "--network", "none", *limits, "--name", name, "--rootfs", p.rootfs,
        "/bin/sleep", "100000")
    words = run(*base, "inspect", "--format", "{{.State.Pid}} {{.State.ConmonPid}}", name)
    return tuple(int(x) for x in words.split())


def podman_exit(p, base, limits, count):
    """From the SIGKILL of init to the end of a `podman wait` that waits already."""
    samples = []
    for i in range(count):
        init = podman_idle(p, base, limits, f"exit-{i}")[0]
        waiter = subprocess.Popen([*base, "wait", "--interval", "1ms", f"exit-{i}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        began = clock()
        os.kill(init, signal.SIGKILL)
        waiter.wait(60)
        samples.append(clock() - began)
        run(*base, "rm", "-f", "-t", "0", f"exit-{i}")
    return samples


def podman_figures(b, p, base, limits):
    samples, execs, conmons, names = [], [], [], []
    for i in range(b.n(10, 2)):
        began = clock()
        run(*base, "run", "--rm", "--network", "none", *limits, "--name", f"shot-{i}",
            "--rootfs", p.rootfs, "/bin/true")
        samples.append(clock() - began)
    b.row("peers", "podman run --rm /bin/true, with the client's start", median(samples) / 1e6,
          "ms")
    b.deed(harness.ONE_SHOT, "podman", samples)
    b.deed(harness.EXIT, "podman", podman_exit(p, base, limits, b.n(10, 2)))
    try:
        points = {0: 0.0}
        for count in b.n((5, 10, 20), (2,)):
            while len(names) < count:
                names.append(f"many-{len(names)}")
                conmons.append(podman_idle(p, base, limits, names[-1])[1])
            points[count] = harness.settled_pss(conmons) / 1024
        b.memory["podman"] = points
        b.row("peers", "podman: PSS of one conmon", harness.smaps_kib(conmons[0], "Pss"), "KiB")
        for _ in range(b.n(10, 2)):
            began = clock()
            run(*base, "exec", names[0], "/bin/true")
            execs.append(clock() - began)
        b.deed(harness.EXEC, "podman", execs)
    finally:
        for name in names:
            run(*base, "rm", "-f", "-t", "0", name)


def podman(b):
    need("podman", "conmon")
    p = Peer(b, "podman")
    try:
        base = ["podman", "--root", os.path.join(p.dir, "root"), "--runroot",
                os.path.join(p.dir, "run"), "--storage-driver", "vfs", "--cgroup-manager",
                "cgroupfs", "--runtime", "runc"]
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        podman_figures(b, p, base, limits)
    finally:
        p.close()
