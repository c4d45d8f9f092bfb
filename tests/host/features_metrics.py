"""The metrics endpoint: valid texts, true counters, and clients that behave badly."""

import contextlib
import os
import re
import socket
import time

from marks import once, own_rig
from openmetrics import Metrics
from rig import check, check_equal, until


def connect(where):
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(30)
    s.connect(where)
    return s


def answer(s):
    """Status, headers and body of one reply."""
    text = b""
    while b"\r\n\r\n" not in text:
        part = s.recv(65536)
        if not part:
            raise ConnectionResetError(f"the connection ended within a head: {text!r}")
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:])}
    while len(body) < int(headers["content-length"]):
        part = s.recv(65536)
        check(part, "the connection ended within a body")
        body += part
    return int(lines[0].split()[1]), headers, body.decode()


def metrics_socket(rig):
    return os.path.join(rig.state, "metrics.sock")


def scrape(where, openmetrics=True):
    """Once more where a gantryd that was killed took the connection along."""
    def attempt():
        with contextlib.suppress(ConnectionError):
            return scrape_once(where, openmetrics)
    return until(attempt, "the metrics answer")


def scrape_once(where, openmetrics):
    with contextlib.closing(connect(where)) as s:
        accept = "application/openmetrics-text;version=1.0.0" if openmetrics else "text/plain"
        s.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        status, headers, body = answer(s)
    check_equal(status, 200, "status")
    check_equal("openmetrics" in headers["content-type"], openmetrics, "content type")
    return Metrics(body, openmetrics)


def test_both_formats_are_valid(rig):
    rig.run(rig.id("a"), "sleep", "1000")
    rig.crash_point()
    for openmetrics in (True, False):
        m = scrape(metrics_socket(rig), openmetrics)
        check_equal(m.value("gantry_build_info", version="0.1.0"), 1, "version")
        check(m.value("gantry_containers", state="running") >= 1, "containers")
        check(m.count("gantry_loop_turn_seconds") >= 1, "turns")
        check(m.value("gantry_open_fds") < m.value("gantry_max_fds"), "descriptors")


def test_it_counts_what_happens(rig):
    rig.crash_point()
    before = scrape(metrics_socket(rig))
    a = rig.id("a")
    rig.run(a, "sh", "-c", "printf 12345; printf 123 >&2; exit 3")
    rig.ok("wait", a)
    rig.run(rig.id("b"), "sleep", "1000")
    rig.ok("exec", rig.id("b"), "--", "true")
    rig.ok("kill", rig.id("b"))
    rig.ok("wait", rig.id("b"))
    rig.ok("start", a)
    rig.ok("wait", a)
    rig.gantry("run", "--name", rig.id("c"), "--rootfs", rig.rootfs, "--", "/no/such")
    after = scrape(metrics_socket(rig))

    def grown(name, **labels):
        return after.value(name, **labels) - before.value(name, **labels)
    check_equal(grown("gantry_exits", cause="error"), 2, "exits with an error")
    check_equal(grown("gantry_exits", cause="signal"), 1, "exits by a signal")
    check_equal(grown("gantry_exits", cause="success"), 1, "the exec's")
    check_equal(grown("gantry_starts"), 3, "starts")
    check_equal(grown("gantry_restarts"), 1, "restarts")
    check_equal(grown("gantry_execs"), 1, "execs")
    check_equal(grown("gantry_log_bytes", stream="stdout"), 10, "bytes of stdout")
    check_equal(grown("gantry_log_bytes", stream="stderr"), 6, "bytes of stderr")
    check_equal(after.count("gantry_exit_settle_seconds")
                - before.count("gantry_exit_settle_seconds"), 4, "settled exits")
    for step, times in (("create", 3), ("exec", 1)):
        check_equal(after.count("gantry_step_seconds", step=step)
                    - before.count("gantry_step_seconds", step=step), times, f"timed: {step}")
    check(grown("gantry_runtime_commands") >= 4, "commands of the runtime")
    check_equal(after.value("gantry_container_restarts", container=a), 1, "its restarts")
    check_equal(after.value("gantry_container_log_bytes", container=a, stream="stdout"), 5,
                "its bytes")


def test_an_oom_kill_is_counted(rig):
    rig.crash_point()
    before = scrape(metrics_socket(rig))
    a = rig.id("a")
    rig.run(a, "sh", "-c", "x=$(yes | head -c 100000000); echo $x", options=("-m", "16m"))
    rig.ok("wait", a)
    after = scrape(metrics_socket(rig))
    exits = [m.value("gantry_exits", cause="oom") for m in (before, after)]
    check_equal(exits[1] - exits[0], 1, "exits by it")
    check(after.value("gantry_container_oom_kills", container=a) >= 1, "its kills")


def test_health_and_restarts_by_cause(rig):
    before = scrape(metrics_socket(rig))
    fit, ill, failing = rig.id("fit"), rig.id("ill"), rig.id("failing")
    checks = ("--health-interval", "100ms", "--health-retries", "1")
    rig.run(fit, "sleep", "1000", options=("--health-cmd", "true", *checks))
    rig.run(ill, "sleep", "1000", options=("--health-cmd", "false", *checks))
    rig.run(failing, "sh", "-c", "exit 3",
            options=("--restart", "on-failure:2", "--restart-delay", "10ms"))
    rig.wait_event("dead", failing)
    rig.crash_point()

    def settled():
        m = scrape(metrics_socket(rig))
        seen = [m.value("gantry_container_health", container=c, health=h)
                for c, h in ((fit, "healthy"), (fit, "unhealthy"), (ill, "unhealthy"))]
        return seen == [1, 0, 1] and m
    after = until(settled, "both are known")
    check(after.value("gantry_containers_health", health="healthy") >= 1, "the sum")
    check("gantry_container_health" in after.samples and not any(
        x[1]["container"] == failing for x in after.samples["gantry_container_health"]),
        "none for who has no checks")
    check_equal(after.value("gantry_container_restarts", container=failing), 2, "its restarts")
    rig.ok("kill", ill)
    rig.ok("wait", ill)
    check(not any(x[1]["container"] == ill for x in
                  scrape(metrics_socket(rig)).samples["gantry_container_health"]),
          "none for who does not run")
    if not rig.crash:  # A counter begins anew with its gantryd.
        grown = [m.value("gantry_policy_restarts", cause="error") for m in (before, after)]
        check_equal(grown[1] - grown[0], 2, "restarts after an error")


@own_rig(extra=["--metrics-containers", "2"])
def test_the_number_of_series_is_bounded(rig):
    for name in ("a", "b", "c", "d"):
        rig.ok("create", "--name", name, "--rootfs", rig.rootfs, "--", "true")
    m = scrape(metrics_socket(rig))
    check_equal(m.value("gantry_container_metrics_left_out"), 2, "left out")
    names = {x[1]["container"] for x in m.samples["gantry_container_restarts"]}
    check_equal(names, {"a", "b"}, "the first two")


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


PORT = free_port()


@own_rig(extra=["--metrics-listen", f"127.0.0.1:{PORT}"])
def test_it_listens_on_loopback_when_asked(rig):
    rig.crash_point()
    check_equal(scrape(("127.0.0.1", PORT)).value("gantry_containers", state="running"), 0, "none")


@once
@own_rig(runs=False)
def test_other_addresses_are_refused(rig):
    for where in ("0.0.0.0:9100", "10.0.0.1:9100", "127.0.0.1", "127.0.0.1:99999", "localhost:1"):
        code, text = rig.try_start(rig.command() + ["--metrics-listen", where])
        check(code == 78 and where in text, f"{where}: {code} {text}")


def test_bad_requests_get_their_status(rig):
    cases = {
        b"GET /other HTTP/1.1\r\n\r\n": 404,
        b"GET /metrics/ HTTP/1.1\r\n\r\n": 404,
        b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n": 405,
        b"DELETE /metrics HTTP/1.1\r\n\r\n": 405,
        b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc": 413,
        b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n": 413,
        b"GET /metrics HTTP/2.0\r\n\r\n": 505,
        b"GET  HTTP/1.1\r\n\r\n": 400,
        b"GET metrics HTTP/1.1\r\n\r\n": 400,
        b"GET /metrics HTTP/1.1\r\nNo colon\r\n\r\n": 400,
        b"GET /metrics HTTP/1.1\r\nA: b\r\n folded\r\n\r\n": 400,
        b"GET /metrics\r\n\r\n": 400,
        b"\x16\x03\x01\x02\x00\x01\x00\n\n": 400,
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n": 431,
    }
    for request, wanted in cases.items():
        with contextlib.closing(connect(metrics_socket(rig))) as s:
            s.sendall(request)
            check_equal(answer(s)[0], wanted, f"{request[:60]!r}")
    with contextlib.closing(connect(metrics_socket(rig))) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200_000 + b"\r\n")  # 1 MiB.
        check_equal(answer(s)[0], 431, "a head of a MiB")
    scrape(metrics_socket(rig))


def test_one_connection_serves_many(rig):
    with contextlib.closing(connect(metrics_socket(rig))) as s:
        for _ in range(20):
            s.sendall(b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            Metrics(answer(s)[2], False)
        s.sendall(b"GET /metrics HTTP/1.1\r\n\r\nGET /other HTTP/1.1\r\n\r\n")  # Both at once.
        text = b""
        while not text.endswith(b"Not here: /metrics\n"):
            part = s.recv(65536)
            check(part, f"the connection ended before both replies: {text[-200:]!r}")
            text += part
        check_equal(re.findall(rb"HTTP/1.1 (\d+) ", text), [b"200", b"404"], "both replies")
        s.sendall(b"HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = b""
        while part := s.recv(65536):
            text += part
        check(text.startswith(b"HTTP/1.1 200") and text.endswith(b"\r\n\r\n"), "HEAD has no body")


@once
def test_slow_clients_hold_up_nobody(rig):
    rig.run(rig.id("a"), "sleep", "1000")
    slow = [connect(metrics_socket(rig)) for _ in range(12)]
    for i, s in enumerate(slow):
        # Half a request, or whole ones of which no reply is read.
        s.sendall(b"GET /metr" if i % 2 else b"GET /metrics HTTP/1.1\r\n\r\n" * 20)
    began = time.monotonic()
    scrape(metrics_socket(rig))
    rig.ok("ps")
    check(time.monotonic() - began < 5, "others are served")
    # The endpoint lets go of them by itself: the half requests with a word.
    for i, s in enumerate(slow):
        text = b""
        with contextlib.suppress(ConnectionResetError):
            while part := s.recv(65536):
                text += part
                if i % 2 == 0:
                    break
        if i % 2:
            check(text.startswith(b"HTTP/1.1 408"), f"told that it is late: {text[:40]!r}")
        s.close()


def test_too_many_are_turned_away(rig):
    many = [connect(metrics_socket(rig)) for _ in range(40)]
    for s in many:
        s.close()
    scrape(metrics_socket(rig))
