"""Peers from Debian, each with directories and sockets of its own, started and stopped here.

What cannot be had says why; nothing of gantry depends on a peer."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

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


def containerd(b):
    with peer(b, Containerd) as c:
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
        own = next((r["value"] for r in b.rows
                    if r["what"] == "Create with start and removal of /bin/true, until deleted"),
                   None)
        if own is not None:
            share = own / (wall["median"] - client["median"])
            b.row("one-shot", "times containerd's (ctr run --rm less ctr version)", share, "x",
                  "an estimate of its gRPC time: the client's start is taken off", "≤ 0.6",
                  share <= 0.6)
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


# -- dockerd ----------------------------------------------------------------------------------


class Dockerd(Peer):
    def __init__(self, b):
        need("dockerd", "docker", "containerd")
        super().__init__(b, "dockerd")
        self.address = os.path.join(self.dir, "docker.sock")
        self.containerd = Containerd(b)

    def start(self):
        self.containerd.start()
        self.spawn("dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false",
                   "--data-root", os.path.join(self.dir, "data"), "--exec-root",
                   os.path.join(self.dir, "exec"), "-H", f"unix://{self.address}", "-p",
                   os.path.join(self.dir, "pid"), "--containerd", self.containerd.address,
                   "--storage-driver", "vfs", "--log-driver", "json-file")
        until(lambda: self.daemon.poll() is not None or self.answers(), "dockerd answers", 60)
        if self.daemon.poll() is not None:
            raise NotMeasured(f"dockerd does not start: {self.words()}")
        tar = os.path.join(self.dir, "image.tar")
        run("tar", "-C", self.rootfs, "-cf", tar, ".")
        self.docker("import", tar, "gantry-bench")

    def answers(self):
        return subprocess.run(["docker", "-H", f"unix://{self.address}", "version"],
                              capture_output=True).returncode == 0

    def docker(self, *words, patience=600):
        return run("docker", "-H", f"unix://{self.address}", *words, patience=patience)

    def ask(self, method, path):
        """One call of the Engine API over a fresh connection; its status and body."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.address)
        s.sendall(f"{method} {path} HTTP/1.0\r\nHost: d\r\n\r\n".encode())
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        s.close()
        head, _, body = got.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def finish(self):
        with contextlib.suppress(Exception):
            for name in self.docker("ps", "-aq").split():
                self.docker("rm", "-f", name)

    def close(self):
        super().close()
        self.containerd.finish()
        self.containerd.close()


def dockerd_exit(d, count):
    """From the SIGKILL of init to the `die` event on an open /events stream."""
    pids = []
    for i in range(count):
        name = d.docker("run", "-d", "--network", "none", "--name", f"exit-{i}", "gantry-bench",
                        "/bin/sleep", "100000").strip()
        pids.append(json.loads(d.ask("GET", f"/containers/{name}/json")[1])["State"]["Pid"])
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.address)
    s.sendall(b'GET /events?filters={"event":["die"]} HTTP/1.0\r\nHost: d\r\n\r\n')
    time.sleep(0.5)
    samples = []
    for i, pid in enumerate(pids):
        time.sleep(0.05)
        began = clock()
        os.kill(pid, signal.SIGKILL)
        got = b""
        while f"exit-{i}".encode() not in got:
            got += s.recv(65536)
        samples.append(clock() - began)
    s.close()
    return samples


def dockerd_log(b, d):
    size = b.n(256 << 20, 32 << 20)
    for block, name in ((65500, "64 KiB blocks"), (100, "one write per line")):
        before = harness.cpu_ticks_seconds(d.daemon.pid)
        began = clock()
        d.docker("run", "--network", "none", "--name", f"log-{block}", "-d", "gantry-bench",
                 "/bin/log_writer", str(size), str(block))
        d.docker("wait", f"log-{block}", patience=1200)
        wall = (clock() - began) / 1e9
        cpu = harness.cpu_ticks_seconds(d.daemon.pid) - before
        b.row("peers", f"dockerd json-file: {size >> 20} MiB, {name}", size / 1e6 / wall, "MB/s",
              f"CPU of dockerd {cpu / (size / 1e9):.1f} s/GB; with the container's start")


def dockerd(b):
    with peer(b, Dockerd) as d:
        samples = []
        for _ in range(b.n(10, 3)):
            began = clock()
            d.docker("run", "--rm", "--network", "none", "gantry-bench", "/bin/true")
            samples.append(clock() - began)
        b.row("peers", "dockerd: docker run --rm /bin/true, with the client's start",
              median(samples) / 1e6, "ms", "storage driver vfs (copies the image each time)")
        x = spread(dockerd_exit(d, b.n(20, 3)))
        b.row("peers", "dockerd: SIGKILL of init to the die event of the API", x["median"], "ms",
              f"p90 {x['p90']:.1f}")
        dockerd_log(b, d)


# -- podman -----------------------------------------------------------------------------------


def podman(b):
    need("podman", "conmon")
    p = Peer(b, "podman")
    try:
        base = ["podman", "--root", os.path.join(p.dir, "root"), "--runroot",
                os.path.join(p.dir, "run"), "--storage-driver", "vfs", "--cgroup-manager",
                "cgroupfs", "--runtime", "runc"]
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        samples = []
        for i in range(b.n(10, 2)):
            began = clock()
            run(*base, "run", "--rm", "--network", "none", *limits, "--name", f"shot-{i}",
                "--rootfs", p.rootfs, "/bin/true")
            samples.append(clock() - began)
        b.row("peers", "podman run --rm /bin/true, with the client's start", median(samples) / 1e6,
              "ms")
        run(*base, "run", "-d", "--network", "none", *limits, "--name", "idle",
            "--rootfs", p.rootfs, "/bin/sleep", "100000")
        try:
            pid = int(run(*base, "inspect", "--format", "{{.State.ConmonPid}}", "idle"))
            b.row("peers", "podman: PSS of one conmon", harness.smaps_kib(pid, "Pss"), "KiB")
        finally:
            run(*base, "rm", "-f", "-t", "0", "idle")
    finally:
        p.close()


FIGURES = {"containerd": containerd, "dockerd": dockerd, "podman": podman}
