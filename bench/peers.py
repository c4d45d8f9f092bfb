"""Peers from Debian, each with directories and sockets of its own, started and stopped here.

What cannot be had says why; nothing of gantry depends on a peer."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

import containerd_api
import harness
from harness import NotMeasured, median, spread


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise NotMeasured(f"{program} is not installed")


def clock():
    return time.monotonic_ns()


def run(*command, patience=120, env=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience,
                          env=env)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace")[-300:]
        raise NotMeasured(f"{' '.join(command)[:160]}: {words}")
    return done.stdout.decode(errors="replace")


def until(probe, what, patience=30.0):
    deadline = time.monotonic() + patience
    while not probe():
        if time.monotonic() > deadline:
            raise NotMeasured(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(0.005)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Peer:
    """A directory, a root filesystem, a daemon."""

    def __init__(self, b, name):
        self.b = b
        self.dir = tempfile.mkdtemp(prefix=f"gantry-bench-{name}-", dir="/run")
        self.rootfs = harness.rig.make_rootfs(os.path.join(self.dir, "rootfs"))
        shutil.copy(os.path.join(b.tools, "bench_log_writer"),
                    os.path.join(self.rootfs, "bin", "log_writer"))
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.daemon = None

    def spawn(self, *command):
        self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                       stderr=self.log, start_new_session=True)

    def words(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()[-300:]

    def close(self):
        if self.daemon is not None:
            stop(self.daemon)
        self.log.close()
        for line in sorted(harness.read("/proc/self/mounts").splitlines(), reverse=True):
            if self.dir in line:
                subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


@contextlib.contextmanager
def peer(b, kind):
    p = kind(b)
    try:
        p.start()
        yield p
    finally:
        p.finish()
        p.close()


# -- containerd -------------------------------------------------------------------------------


class Containerd(Peer):
    def __init__(self, b):
        need("containerd", "ctr", "containerd-shim-runc-v2")
        super().__init__(b, "ctrd")
        self.address = os.path.join(self.dir, "containerd.sock")
        self.config = os.path.join(self.dir, "config.toml")
        with open(self.config, "w") as f:
            f.write(f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.dir}/state"\n'
                    'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                    f'[grpc]\naddress = "{self.address}"\n')
        self.made = []

    def start(self):
        self.spawn("containerd", "--config", self.config)
        until(lambda: os.path.exists(self.address) and self.answers(), "containerd answers")

    def answers(self):
        return subprocess.run(["ctr", "-a", self.address, "version"],
                              capture_output=True).returncode == 0

    def ctr(self, *words):
        return run("ctr", "-a", self.address, *words)

    def idle(self, name):
        self.ctr("run", "-d", "--rootfs", self.rootfs, name, "/bin/sleep", "100000")
        self.made.append(name)
        for line in self.ctr("tasks", "ls").splitlines():
            if line.split()[:1] == [name]:
                return int(line.split()[1])
        raise NotMeasured(f"ctr does not list {name}")

    def shims(self):
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = harness.read(f"/proc/{pid}/cmdline")
                if "containerd-shim" in words and self.address in words:
                    out.append(int(pid))
        return out

    def finish(self):
        for name in self.made:
            subprocess.run(["ctr", "-a", self.address, "tasks", "kill", "-s", "KILL", name],
                           capture_output=True)
            for _ in range(50):
                if subprocess.run(["ctr", "-a", self.address, "tasks", "rm", name],
                                  capture_output=True).returncode == 0:
                    break
                time.sleep(0.05)
            subprocess.run(["ctr", "-a", self.address, "containers", "rm", name],
                           capture_output=True)
        for pid in self.shims():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)


def containerd_exit(c, count):
    """From the SIGKILL of init to `ctr events` having printed the exit."""
    follower = subprocess.Popen(["ctr", "-a", c.address, "events"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
    try:
        pids = [c.idle(f"exit-{i}") for i in range(count)]
        samples = []
        for i, pid in enumerate(pids):
            time.sleep(0.02)
            began = clock()
            os.kill(pid, signal.SIGKILL)
            for line in follower.stdout:
                if "/tasks/exit" in line and f'"exit-{i}"' in line:
                    break
            samples.append(clock() - began)
        return samples
    finally:
        stop(follower)


def containerd_by_grpc(b, c):
    """The same deeds as gantry's, by a client that stays connected."""
    api = containerd_api.Api(c.address, c.dir)
    follower = api.exits()
    seen = iter(follower)

    def exit_of(name):
        while api.exited(next(seen)) != name:
            pass
        return clock()

    shots, execs, kills = [], [], []
    for i in range(b.n(30, 4)):
        began = clock()
        api.create(f"grpc-{i}", c.rootfs, "/bin/true")
        api.start(f"grpc-{i}")
        api.wait(f"grpc-{i}")
        api.delete(f"grpc-{i}")
        shots.append(clock() - began)
    api.create("grpc-host", c.rootfs, "/bin/sleep", "100000")
    api.start("grpc-host")
    c.made.append("grpc-host")
    for i in range(b.n(30, 4)):
        began = clock()
        api.exec("grpc-host", f"e{i}", "/bin/true")
        execs.append(clock() - began)
        api.call("tasks.v1.Tasks", "DeleteProcess",
                 api.pb.TaskRequest(container_id="grpc-host", exec_id=f"e{i}"))
    for i in range(b.n(30, 4)):
        pid = api.create(f"victim-{i}", c.rootfs, "/bin/sleep", "100000")
        api.start(f"victim-{i}")
        time.sleep(0.02)
        began = clock()
        os.kill(pid, signal.SIGKILL)
        kills.append(exit_of(f"victim-{i}") - began)
        api.delete(f"victim-{i}")
    follower.cancel()
    api.close()
    for what, samples in ((harness.ONE_SHOT, shots), (harness.EXEC, execs), (harness.EXIT, kills)):
        b.deed(what, "containerd", samples)
        x = spread(samples)
        b.row("peers", f"containerd by gRPC: {what}", x["median"], "ms",
              f"p90 {x['p90']:.1f}, p99 {x['p99']:.1f}")


def growing(b, who, make, pids):
    """PSS of a daemon and its helpers while idle containers are made."""
    points, made = {0: harness.settled_pss(pids()) / 1024}, 0
    for count in b.n((5, 10, 20), (2,)):
        for i in range(made, count):
            make(f"many-{i}")
        made = count
        points[count] = harness.settled_pss(pids()) / 1024
    b.memory[who] = points
    b.row("peers", f"{who}: PSS with {made} idle containers, helpers included", points[made],
          "MiB", f"{points[0]:.1f} empty")


def containerd(b):
    with peer(b, Containerd) as c:
        growing(b, "containerd", c.idle, lambda: [c.daemon.pid, *c.shims()])
        containerd_by_grpc(b, c)
        samples = []
        for i in range(b.n(20, 4)):
            began = clock()
            c.ctr("run", "--rm", "--rootfs", c.rootfs, f"shot-{i}", "/bin/true")
            samples.append(clock() - began)
        bare_client = []
        for _ in range(b.n(20, 4)):
            began = clock()
            c.ctr("version")
            bare_client.append(clock() - began)
        wall, client = spread(samples), spread(bare_client)
        b.row("peers", "containerd: ctr run --rm /bin/true, with the client's start",
              wall["median"], "ms", f"`ctr version` alone: {client['median']:.1f} ms",
              raw=samples)
        ours = b.deeds.get(harness.ONE_SHOT, {}).get("gantry")
        if ours:
            share = median(ours) / median(b.deeds[harness.ONE_SHOT]["containerd"])
            b.row("one-shot", "times containerd's (by gRPC, both connected)", share, "x", "",
                  "≤ 0.6", share <= 0.6)
        x = spread(containerd_exit(c, b.n(20, 3)))
        b.row("peers", "containerd: SIGKILL of init to the line of ctr events", x["median"], "ms",
              f"p90 {x['p90']:.1f}")
        count = len(c.shims())
        pss = sum(harness.smaps_kib(p, "Pss") for p in c.shims()) / max(count, 1)
        b.row("peers", "containerd: PSS of one shim (an ended container's counts too)", pss, "KiB",
              f"{count} shims")
        restarts = []
        for _ in range(b.n(7, 2)):
            began = clock()
            c.daemon.kill()
            c.daemon.wait()
            c.spawn("containerd", "--config", c.config)
            until(lambda: subprocess.run(["ctr", "-a", c.address, "tasks", "ls"],
                                         capture_output=True).returncode == 0, "containerd lists")
            restarts.append(clock() - began)
        x = spread(restarts)
        b.row("peers", f"containerd: kill -9, start, to ctr tasks ls of {len(c.made)}",
              x["median"], "ms", "with the client's start")
