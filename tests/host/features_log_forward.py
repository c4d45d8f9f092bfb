"""Logs that are forwarded to journald or syslog: nothing is lost, and a sink keeps nobody back."""

import os
import socket
import threading

from rig import check, check_equal, until


class Sink:
    """A daemon's datagram socket that keeps what comes."""

    def __init__(self, rig, name):
        self.path = rig.path(name)
        self.got = []
        self.lock = threading.Lock()
        self.socket = None
        rig.ends.append(self.close)

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(self.path)
        threading.Thread(target=self.take, args=(self.socket,), daemon=True).start()

    def take(self, s):
        while True:
            try:
                data = s.recv(1 << 20)
            except OSError:
                return
            if not data:
                return
            with self.lock:
                self.got.append(data)

    def close(self):
        if self.socket:
            s, self.socket = self.socket, None
            s.shutdown(socket.SHUT_RDWR)
            s.close()
            os.unlink(self.path)

    def all(self):
        with self.lock:
            return list(self.got)


def fields_of(data):
    """A datagram of journald's native protocol."""
    found = {}
    while data:
        line, data = data.split(b"\n", 1)
        if b"=" in line:
            key, value = line.split(b"=", 1)
        else:
            key, size = line, int.from_bytes(data[:8], "little")
            value, data = data[8:8 + size], data[8 + size + 1:]
        found[key.decode()] = value
    return found


def test_journald(rig):
    a = rig.id("a")
    sink = Sink(rig, "journal.sock")
    sink.open()
    rig.run(a, "sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.005; "
            "done; echo oops >&2; printf end",
            options=("--log-opt", f"forward=journald:{sink.path}"))
    rig.crash_point()
    rig.ok("wait", a)
    until(lambda: any(b"MESSAGE=end\n" in d for d in sink.all()), "the last words")
    seen = {}
    for data in sink.all():
        f = fields_of(data)
        seen.setdefault(int(f["GANTRY_LOG_SEQ"]), f)
    rows = [seen[k] for k in sorted(seen)]
    out = [f["MESSAGE"] for f in rows if f["CONTAINER_STREAM"] == b"stdout"]
    check_equal(out, [b"line %d" % i for i in range(1, 301)] + [b"end"], "every line, in order")
    oops = next(f for f in rows if f["CONTAINER_STREAM"] == b"stderr")
    check_equal((oops["MESSAGE"], oops["PRIORITY"], oops["CONTAINER_NAME"]),
                (b"oops", b"3", a.encode()), "stderr")
    check_equal(rows[-1].get("CONTAINER_PARTIAL_MESSAGE"), b"true", "no newline")


def test_a_sink_that_is_away(rig):
    a = rig.id("a")
    sink = Sink(rig, "log.sock")
    rig.run(a, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done",
            options=("--log-opt", f"forward=syslog:{sink.path}"))
    rig.ok("wait", a)  # It waits for nobody.
    rig.crash_point()
    check_equal(len(rig.ok("logs", a).lines()), 20000, "the log is whole")
    sink.open()
    until(lambda: any(d.endswith(b"line 20000") for d in sink.all()), "the last line")
    texts = [d.split(b": ", 1)[1] for d in sink.all()]
    check_equal(sorted(set(texts)), sorted(b"line %d" % i for i in range(1, 20001)), "every line")
    check(sink.all()[0].startswith(b"<30>") and a.encode() in sink.all()[0], sink.all()[0])


def test_bad_targets(rig):
    rig.crash_point()
    for bad in ("paper", "syslog:relative", "journald:/" + "x" * 200):
        done = rig.gantry("run", "-d", "--name", rig.id("a"), "--log-opt", f"forward={bad}",
                          "--rootfs", rig.rootfs, "--", "true")
        check(done.code in (1, 125) and "log.forward" in done.err, f"refused: {done!r}")
