"""What every figure needs: the driver, samples and their quantiles, /proc, the machine's facts."""

import contextlib
import datetime
import glob
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "host"))

import rig  # noqa: E402

MS = 1e6  # Nanoseconds.


class NotMeasured(Exception):
    """A figure that cannot be had here, with the reason."""


def quantile(samples, q):
    """The smallest sample that is not below a share q of all."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def median(samples):
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(samples_ns):
    """Median, p90 and p99 in milliseconds, and how many."""
    return {"median": median(samples_ns) / MS, "p90": quantile(samples_ns, 0.9) / MS,
            "p99": quantile(samples_ns, 0.99) / MS, "n": len(samples_ns)}


def shown(x, digits=3):
    return "–" if x is None else f"{x:.{digits}f}"


class Bench:
    """A build, its programs, and the rows that came out of this run."""

    def __init__(self, build, quick, tools=None):
        self.build = os.path.abspath(build)
        self.bin = os.path.join(self.build, "bin")
        self.tools = os.path.abspath(tools or os.path.join(self.build, "bench"))
        self.quick = quick
        self.rows = []
        self.raw = {}
        self.deeds = {}  # What everybody can do → who → samples in ns.
        self.memory = {}  # Who → count of idle containers → MiB.

    def n(self, full, quick):
        return quick if self.quick else full

    def driver(self, figure, **words):
        """One figure's samples. Words become --word value."""
        command = [os.path.join(self.tools, "bench_driver"), figure]
        for key, value in words.items():
            command += [f"--{key}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
        if done.returncode != 0:
            raise NotMeasured(f"the driver failed: {done.stderr.strip()[-400:]}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def supervisor(self, *extra):
        """gantryd under its keeper, with a root filesystem that has the log writer in it."""
        r = rig.Rig(self.bin, extra=extra)
        try:
            shutil.copy(os.path.join(self.tools, "bench_log_writer"),
                        os.path.join(r.rootfs, "bin", "log_writer"))
            r.start()
            yield r
            with contextlib.suppress(NotMeasured):
                self.driver("clear", socket=r.socket)
        finally:
            r.close()

    def row(self, figure, what, value, unit, beside="", target="", met=None, **raw):
        """One line of the table. `value` None: not measured, and `beside` says why."""
        self.rows.append({"figure": figure, "what": what, "value": value, "unit": unit,
                          "beside": beside, "target": target, "met": met})
        if raw:
            self.raw.setdefault(figure, {}).setdefault(what, {}).update(raw)
        mark = {True: "met", False: "MISSED", None: ""}[met]
        number = "not measured" if value is None else f"{value:.4g} {unit}"
        print(f"  {what:58} {number:>18}  {target:>14} {mark:6}  {beside}", flush=True)


    def deed(self, what, who, samples_ns):
        """One contender's samples of what all of them are asked to do."""
        self.deeds.setdefault(what, {})[who] = samples_ns


# What all contenders are asked to do; each as a client that is connected already, but for podman,
# which has no daemon: of it the start of its program is a part.
ONE_SHOT = "a container of /bin/true, from the request until it is gone"
EXEC = "a further process /bin/true, from the request to its exit"
EXIT = "SIGKILL of init to the exit at a client"
CONTENDERS = ("floor", "gantry", "embedded", "containerd", "dockerd", "podman")


# -- /proc ------------------------------------------------------------------------------------


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def field(path, name):
    for line in read(path).splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise NotMeasured(f"{path} has no {name}")


def smaps_kib(pid, name):
    """Exact, where VmRSS of status lags behind by the kernel's per-CPU counters."""
    return field(f"/proc/{pid}/smaps_rollup", name)


def tasks(pid, workers=False):
    """Its threads; or the workers that the kernel keeps for its ring (iou-wrk-*)."""
    out = []
    for path in glob.glob(f"/proc/{pid}/task/*"):
        with contextlib.suppress(OSError):
            if read(f"{path}/comm").startswith("iou-") == workers:
                out.append(path)
    return out


def threads(pid):
    return len(tasks(pid))


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wakeups(pid, workers=False):
    """Times that a thread of it gave up the CPU to wait, and was woken."""
    return sum(field(f"{path}/status", "voluntary_ctxt_switches") for path in tasks(pid, workers))


def cpu_seconds(pid):
    """CPU time of all its threads, also of those that are gone, by the scheduler's own nanoseconds:
    the clock that clock_getcpuclockid(3) gives of another process (its number: time/posix-timers.h
    of the kernel, CPUCLOCK_SCHED)."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e9


def remove_groups(parent):
    """The cgroups below /PARENT of every hierarchy, once they are empty."""
    for top in ["/sys/fs/cgroup", *glob.glob("/sys/fs/cgroup/*")]:
        for folder, _, _ in os.walk(os.path.join(top, parent), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def settled_pss(pids, quiet=0.5):
    """PSS once it has stopped moving."""
    last = None
    for _ in range(40):
        now = sum(smaps_kib(p, "Pss") for p in pids)
        if last is not None and abs(now - last) <= 8:
            return now
        last = now
        time.sleep(quiet)
    return last


def available_kib():
    return field("/proc/meminfo", "MemAvailable")


# -- the machine ------------------------------------------------------------------------------


def first_line(*command):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        out = subprocess.run(command, capture_output=True, text=True, timeout=20)
        text = (out.stdout or out.stderr).strip()
        return text.splitlines()[0] if text else "?"
    return "not installed"


def machine(build):
    model = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
             if line.startswith("model name")]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": platform.release(),
        "cpu": model[0] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": field("/proc/meminfo", "MemTotal") // 1024,
        "load_at_start": " ".join(read("/proc/loadavg").split()[:3]),
        "cgroup": "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else
                  ("hybrid" if os.path.isdir("/sys/fs/cgroup/unified") else "v1"),
        "build": os.path.relpath(build, SOURCE),
        "commit": first_line("git", "-C", SOURCE, "describe", "--always", "--dirty"),
        "runc": first_line("runc", "--version"),
        "containerd": first_line("containerd", "--version"),
        "dockerd": first_line("dockerd", "--version"),
        "podman": first_line("podman", "--version"),
    }
