"""dockerd from Debian, beside a containerd of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import harness
from harness import NotMeasured, median, spread
from peers import Containerd, Peer, clock, growing, need, peer, run, until


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
                   "--storage-driver", "overlay2", "--log-driver", "json-file")
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

    def ask(self, method, path, what=None):
        """One call of the Engine API over a fresh connection; its status and body."""
        sent = b"" if what is None else json.dumps(what).encode()
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.address)
        s.sendall(f"{method} {path} HTTP/1.0\r\nHost: d\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
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
        before = harness.cpu_seconds(d.daemon.pid)
        began = clock()
        d.docker("run", "--network", "none", "--name", f"log-{block}", "-d", "gantry-bench",
                 "/bin/log_writer", str(size), str(block))
        d.docker("wait", f"log-{block}", patience=1200)
        wall = (clock() - began) / 1e9
        cpu = harness.cpu_seconds(d.daemon.pid) - before
        b.row("peers", f"dockerd json-file: {size >> 20} MiB, {name}", size / 1e6 / wall, "MB/s",
              f"CPU of dockerd {cpu / (size / 1e9):.1f} s/GB; with the container's start")


def dockerd_by_api(b, d):
    """One-shots and execs over the socket, without the start of a client."""
    def made(path, body):
        status, answer = d.ask("POST", path, body)
        if status not in (200, 201, 204):
            raise NotMeasured(f"dockerd: {path}: {status} {answer[-200:]!r}")
        return json.loads(answer)["Id"] if answer.strip() else None

    shots, execs = [], []
    what = {"Image": "gantry-bench", "Cmd": ["/bin/true"], "HostConfig": {"NetworkMode": "none"}}
    for _ in range(b.n(15, 3)):
        began = clock()
        name = made("/containers/create", what)
        made(f"/containers/{name}/start", None)
        d.ask("POST", f"/containers/{name}/wait")
        d.ask("DELETE", f"/containers/{name}")
        shots.append(clock() - began)
    host = made("/containers/create", dict(what, Cmd=["/bin/sleep", "100000"]))
    made(f"/containers/{host}/start", None)
    for _ in range(b.n(15, 3)):
        began = clock()
        name = made(f"/containers/{host}/exec", {"Cmd": ["/bin/true"], "AttachStdout": True})
        d.ask("POST", f"/exec/{name}/start", {"Detach": False})  # Its answer ends with its exit.
        execs.append(clock() - began)
    b.deed(harness.ONE_SHOT, "dockerd", shots)
    b.deed(harness.EXEC, "dockerd", execs)


def dockerd(b):
    with peer(b, Dockerd) as d:
        growing(b, "dockerd", lambda name: d.docker(
            "run", "-d", "--network", "none", "--name", name, "gantry-bench", "/bin/sleep",
            "100000"), lambda: [d.daemon.pid, d.containerd.daemon.pid, *d.containerd.shims()])
        dockerd_by_api(b, d)
        samples = []
        for _ in range(b.n(10, 3)):
            began = clock()
            d.docker("run", "--rm", "--network", "none", "gantry-bench", "/bin/true")
            samples.append(clock() - began)
        b.row("peers", "dockerd: docker run --rm /bin/true, with the client's start",
              median(samples) / 1e6, "ms")
        kills = dockerd_exit(d, b.n(20, 3))
        b.deed(harness.EXIT, "dockerd", kills)
        x = spread(kills)
        b.row("peers", "dockerd: SIGKILL of init to the die event of the API", x["median"], "ms",
              f"p90 {x['p90']:.1f}")
        dockerd_log(b, d)
