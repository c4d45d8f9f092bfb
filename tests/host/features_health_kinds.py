"""Health: probes that need no process, against real servers. The containers have no network but
their own loopback, and most have no program that could ask."""

import calendar
import contextlib
import ctypes
import os
import socket
import time

from marks import once, own_rig
from rig import check, check_equal, scaled, until

QUICK = ("--health-interval", "150ms", "--health-timeout", "5s", "--health-retries", "1")
PYTHON = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")


def wait_health(rig, name, wanted):
    until(lambda: rig.show(name)["health"] == wanted, f"{name} is {wanted}")


def last_result(rig, name):
    results = rig.show(name)["health_detail"]["probes"][0].get("results", [])
    return results[-1] if results else None


def seconds(text):
    """A time as gantry prints it, since 1970."""
    whole = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    return whole + float("0" + text[19:-1])


def inside(rig, name):
    """A path of the test's own in the (shared) rootfs: as the container has it, and as we have."""
    path = "/tmp/" + name
    return path, rig.rootfs + path


def script(rig, name, text):
    path, ours = inside(rig, name)
    with open(ours, "w") as f:
        f.write("#!/bin/sh\n" + text + "\n")
    os.chmod(ours, 0o755)
    return path


def web(rig, name, *options):
    """busybox httpd on the container's loopback; what it serves."""
    root, ours = inside(rig, "web-" + name)
    os.makedirs(ours, exist_ok=True)
    with open(os.path.join(ours, "ok"), "w") as f:
        f.write("x" * 100000)
    rig.run(name, "httpd", "-f", "-p", "127.0.0.1:8080", "-h", root, options=(*QUICK, *options))
    return os.path.join(ours, "ok")


def test_http_on_the_loopback_of_a_container(rig):
    a = rig.id("a")
    page = web(rig, a, "--health-http", "8080/ok", "--health-header", "X-From: a probe")
    wait_health(rig, a, "healthy")
    rig.crash_point()
    os.unlink(page)
    wait_health(rig, a, "unhealthy")
    result = last_result(rig, a)
    check_equal(result["output"], "HTTP/1.1 404 Not Found (asked for 200 to 399)", "the answer")
    check(result["exit_code"] is None, f"no program ended: {result}")
    check(result["ended_at"] > result["began_at"], f"it took some time: {result}")
    with open(page, "w") as f:
        f.write("again")
    wait_health(rig, a, "healthy")
    check_equal(last_result(rig, a)["output"], "HTTP/1.1 200 OK", "the answer")
    check_equal(rig.events("exec-added", "exec-started", container=a), [], "no process was needed")
    done = rig.gantry("health", "run", a)
    check(done.code == 0 and "HTTP/1.1 200 OK" in done.out, f"on demand: {done!r}")
    check_equal(len([e for e in rig.events("health", container=a)]), 3, "changes")


def test_http_status_is_chosen(rig):
    a = rig.id("a")
    web(rig, a, "--health-http", "127.0.0.1:8080/nothing", "--health-status", "404")
    rig.crash_point()
    wait_health(rig, a, "healthy")


def test_another_kind_of_probe_takes_its_place(rig):
    a = rig.id("a")
    web(rig, a, "--health-http", "8080/nothing")
    wait_health(rig, a, "unhealthy")
    rig.ok("update", "--health-tcp", "8080", a)
    rig.crash_point()
    wait_health(rig, a, "healthy")
    check_equal(last_result(rig, a)["output"], "connected to 127.0.0.1:8080", "what is asked")
    rig.ok("update", "--health-cmd", "exit 3", a)
    wait_health(rig, a, "unhealthy")
    check_equal(last_result(rig, a)["exit_code"], 3, "a command")
    rig.ok("update", "--no-healthcheck", a)
    until(lambda: not rig.show(a)["health"], "no check")


def test_http_servers_that_misbehave(rig):
    servers = {
        # A byte a second: no status within the time.
        "drip": ("while printf H; do sleep 1; done", "timeout", "longer than 700 ms"),
        "long": ("head -c 1048576 /dev/zero | tr '\\0' a", "failed", "more than 65536 bytes"),
        "open": ("printf 'HTTP/1.0 200 OK\\r\\n\\r\\n'; exec sleep 1000", "passed", "200 OK"),
        "mute": ("exec sleep 1000", "timeout", "waiting for an answer of 127.0.0.1:8080"),
        # It reads the request first: what is unread at its end would make a reset of it.
        "gone": ("while read x && [ ${#x} -gt 1 ]; do :; done", "failed", "closed the connection"),
        "text": ("echo hello", "failed", "no answer of HTTP/1"),
        "bulk": ("printf 'HTTP/1.1 204 No Content\\r\\n'; yes X: y", "passed", "204 No Content"),
    }
    for name, (work, _, _) in servers.items():
        a = rig.id(name)
        rig.run(a, "nc", "-ll", "-p", "8080", "-e", script(rig, a, work),
                options=("--health-http", "8080/", "--health-interval", "400ms",
                         "--health-timeout", "700ms", "--health-retries", "1"))
    rig.crash_point()
    for name, (_, label, words) in servers.items():
        def told(name=name, label=label, words=words):
            r = last_result(rig, rig.id(name))
            return r and r["result"] == label and words in r["output"]
        until(told, f"{name}: {label}, {words}")
        rig.ok("rm", "-f", rig.id(name))


def test_tcp_takes_connections_or_not(rig):
    a, b = rig.id("a"), rig.id("b")
    web(rig, a, "--health-tcp", "8080")
    rig.run(b, "sleep", "1000", options=(*QUICK, "--health-tcp", "[::1]:6379"))
    rig.crash_point()
    wait_health(rig, a, "healthy")
    wait_health(rig, b, "unhealthy")
    check("connect to [::1]:6379: " in last_result(rig, b)["output"], f"{last_result(rig, b)}")
    until(lambda: len(rig.show(a)["health_detail"]["probes"][0]["results"]) == 5, "the last five")
    results = rig.show(a)["health_detail"]["probes"][0]["results"]
    pauses = [seconds(x["began_at"]) - seconds(y["ended_at"])
              for x, y in zip(results[1:], results)]
    check(all(p > 0.14 for p in pauses), f"the interval of 150 ms is kept: {pauses}")
    rig.ok("pause", a)  # Nobody is asked while it is kept still.
    done = rig.gantry("health", "run", a)
    check(done.code != 0 and "paused" in done.err, f"paused: {done!r}")
    rig.ok("resume", a)
    done = rig.gantry("health", "run", a)
    check_equal((done.code, "connected to 127.0.0.1:8080" in done.out), (0, True), repr(done))


GRPC_SERVER = """
import sys, time, grpc
from concurrent import futures
STATES = {b"": b"\\x08\\x01", b"\\x0a\\x04down": b"\\x08\\x02"}
def check(request, context):
    if request not in STATES:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return STATES[request]
handler = grpc.unary_unary_rpc_method_handler(check)
server = grpc.server(futures.ThreadPoolExecutor(2))
if sys.argv[1] == "health":
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": handler}),))
server.add_insecure_port("127.0.0.1:9000")
server.start()
time.sleep(1000)
"""


def test_the_health_service_of_grpc(rig):
    path, ours = inside(rig, rig.id("server.py"))
    with open(ours, "w") as f:
        f.write(GRPC_SERVER)
    asked = {"up": ("9000", "health", "healthy", "SERVING"),
             "down": ("9000/down", "health", "unhealthy", "NOT_SERVING"),
             "odd": ("9000/odd", "health", "unhealthy", "does not know the service \"odd\""),
             "none": ("9000", "nothing", "unhealthy", "no health service")}
    for name, (question, kind, _, _) in asked.items():
        rig.run(rig.id(name), "/usr/bin/python3", path, kind,
                options=(*PYTHON, "--health-grpc", question, "--health-interval", "200ms",
                         "--health-timeout", "5s", "--health-retries", "1"))
    rig.crash_point()
    for name, (_, _, health, words) in asked.items():
        until(lambda a=rig.id(name), w=words: w in (last_result(rig, a) or {}).get("output", ""),
              f"{name}: {words}")
        wait_health(rig, rig.id(name), health)
    web(rig, rig.id("http"), "--health-grpc", "8080")
    wait_health(rig, rig.id("http"), "unhealthy")
    check("no HTTP/2" in last_result(rig, rig.id("http"))["output"], "a server of HTTP/1")


def test_a_unix_socket_beneath_the_root(rig):
    a = rig.id("a")
    path, ours = inside(rig, a + ".sock")
    link, our_link = inside(rig, a + ".link")
    os.symlink(path, our_link)  # Absolute: it means the container's root, not the host's.
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    here = os.open(os.path.dirname(ours), os.O_PATH)
    server.bind(f"/proc/self/fd/{here}/{a}.sock")
    server.listen(50)
    rig.run(a, "sleep", "1000", options=(*QUICK, "--health-unix", link))
    rig.crash_point()
    wait_health(rig, a, "healthy")
    check_equal(last_result(rig, a)["output"], f"connected to {link}", "output")
    server.close()
    wait_health(rig, a, "unhealthy")
    check("Connection refused" in last_result(rig, a)["output"], f"{last_result(rig, a)}")
    os.unlink(ours)
    until(lambda: "No such file" in last_result(rig, a)["output"], "it is told that it is gone")
    os.close(here)


def test_a_file_beneath_the_root(rig):
    a, b, c = rig.id("a"), rig.id("b"), rig.id("c")
    path, ours = inside(rig, "alive-" + a)
    open(ours, "w").close()
    rig.run(a, "sleep", "1000", options=(*QUICK, "--health-file", path))
    rig.run(b, "sleep", "1000", options=(*QUICK, "--health-file", path, "--health-younger", "1h"))
    # Of the host there is one.
    rig.run(c, "sleep", "1000", options=(*QUICK, "--health-file", "/tmp/../../etc/passwd"))
    rig.crash_point()
    wait_health(rig, a, "healthy")
    wait_health(rig, b, "healthy")
    wait_health(rig, c, "unhealthy")
    check("No such file" in last_result(rig, c)["output"], f"{last_result(rig, c)}")
    os.utime(ours, (time.time() - 7200,) * 2)
    wait_health(rig, b, "unhealthy")
    old = last_result(rig, b)["output"]
    check("ms ago, longer than 3600000 ms" in old, old)
    check_equal(rig.show(a)["health"], "healthy", "it exists")
    os.unlink(ours)
    wait_health(rig, a, "unhealthy")


@contextlib.contextmanager
def hung_mount(path):
    """A file system whose server never answers."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.makedirs(path, exist_ok=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        check_equal(libc.mount(b"hung", path.encode(), b"fuse", 0, data), 0, "mount")
        yield
    finally:
        os.close(fd)
        libc.umount2(path.encode(), 2)


def test_a_file_on_a_hung_mount(rig):
    check(os.path.exists("/dev/fuse"), "this test needs /dev/fuse")
    a, b = rig.id("a"), rig.id("b")
    hung, ours = inside(rig, "hung-" + a)
    path, alive = inside(rig, "alive-" + b)
    open(alive, "w").close()
    with hung_mount(ours):
        for name, asked in ((a, hung + "/x"), (b, path)):
            rig.run(name, "sleep", "1000",
                    options=("--health-file", asked, "--health-interval", "100ms",
                             "--health-timeout", "300ms", "--health-retries", "1"))
        wait_health(rig, a, "unhealthy")
        rig.crash_point()
        until(lambda: "still hangs" in last_result(rig, a)["output"], "no second one is sent there")
        check_equal(last_result(rig, a)["result"], "timeout", "result")
        wait_health(rig, b, "healthy")  # One worker is held, and no more.
        seen = last_result(rig, b)["ended_at"]
        until(lambda: last_result(rig, b)["ended_at"] > seen, "others are asked as before")
    until(lambda: last_result(rig, a)["result"] == "failed", "it comes to an end with its server")


@own_rig()
@once
def test_gantryd_ends_in_order_while_a_probe_hangs(rig):
    a = rig.id("a")
    hung, ours = inside(rig, "hung-" + a)
    with hung_mount(ours):
        rig.run(a, "sleep", "1000",
                options=("--health-file", hung + "/x", "--health-interval", "100ms",
                         "--health-timeout", "200ms", "--health-retries", "1"))
        wait_health(rig, a, "unhealthy")
        rig.stop_daemon()
        rig.start_again()
        check_equal(rig.state_of(a), "running", "it is adopted")
        check_equal(rig.show(a)["health"], "unhealthy", "with what was known of it")
    rig.ok("rm", "-f", a)


def test_the_probes_of_kubernetes(rig):
    a = rig.id("a")
    path, ours = inside(rig, "ready-" + a)
    web_root, our_root = inside(rig, "web-" + a)
    os.makedirs(our_root)
    rig.run(a, "httpd", "-f", "-p", "127.0.0.1:8080", "-h", web_root,
            options=("--health-startup", "tcp://:8080,period=100ms,failures=100",
                     "--health-readiness", f"file:{path},period=100ms,failures=1",
                     "--health-liveness", "exec:true,period=100ms,timeout=5s"))
    until(lambda: rig.show(a)["health_detail"]["probes"][1].get("results"), "readiness is asked")
    rig.crash_point()
    check_equal(rig.show(a)["health_detail"].get("ready", False), False, "ready")
    check_equal(rig.show(a)["health_detail"]["profile"], "kubernetes", "profile")
    open(ours, "w").close()
    until(lambda: rig.show(a)["health_detail"].get("ready"), "ready")
    wait_health(rig, a, "healthy")
    os.unlink(ours)
    until(lambda: not rig.show(a)["health_detail"].get("ready"), "not ready")
    check_equal(rig.show(a)["health"], "healthy", "and that is no illness")


def test_a_probe_is_gone_with_its_container(rig):
    """One that waits for an answer keeps nothing from ending."""
    a = rig.id("a")
    path, ours = inside(rig, "asked-" + a)
    rig.run(a, "nc", "-ll", "-p", "8080", "-e", script(rig, a, f"touch {path}; exec sleep 1000"),
            options=("--health-http", "8080/", "--health-interval", "100ms"))
    until(lambda: os.path.exists(ours), "somebody asks")
    rig.crash_point()
    began = time.monotonic()
    rig.ok("rm", "-f", a)
    check(time.monotonic() - began < scaled(5), "its timeout of 30 s is nobody's")


def test_a_failure_for_want_of_cpu_is_told_apart(rig):
    """Its limit leaves a busy container no time for the probe; whether that counts is said."""
    a, b = rig.id("a"), rig.id("b")
    for name, more in ((a, ()), (b, ("--health-ignore-throttled",))):
        rig.run(name, "sh", "-c", "while :; do :; done & while :; do :; done",
                options=("--cpus", "0.1", "--health-cmd", "i=0; while [ $i -lt 200000 ]; do "
                         "i=$((i+1)); done", "--health-interval", "100ms", "--health-timeout",
                         "500ms", "--health-retries", "3", *more))
    rig.crash_point()

    def throttled(name):
        results = rig.show(name)["health_detail"]["probes"][0]["results"]
        return [r["result"] for r in results].count("throttled")
    wait_health(rig, a, "unhealthy")
    until(lambda: throttled(a) > 0, "its label")
    until(lambda: throttled(b) >= 4, "as often as it counts for the other one")
    check_equal(rig.show(b)["health"], "starting", "it does not count")


@once
def test_bad_probes_are_refused(rig):
    a = rig.id("a")
    for options, words in (
            (("--health-tcp", "70000"), "--health-tcp"),
            (("--health-http", "0/"), "--health-http"),
            (("--health-http", "x/"), "IP address"),
            (("--health-http", "/x"), "names no port"),
            (("--health-http", "host:80/"), "IP address"),
            (("--health-tcp", "80/x"), "only connects"),
            (("--health-http", "80/a b"), "path"),
            (("--health-unix", "run/x"), "absolute"),
            (("--health-file", ""), "absolute"),
            (("--health-tcp", "80", "--health-cmd", "true"), "contradicts --health-cmd"),
            (("--health-tcp", "80", "--health-http", "80"), "contradicts"),
            (("--health-tcp", "80", "--health-header", "A: b"), "headers"),
            (("--health-http", "80", "--health-header", "A b"), "NAME: VALUE"),
            (("--health-http", "80", "--health-header", "A: b\r\nX: y"), "header"),
            (("--health-http", "80", "--health-status", "99"), "--health-status"),
            (("--health-http", "80", "--health-status", "300-200"), "--health-status"),
            (("--health-tcp", "80", "--health-younger", "1s"), "younger"),
            (("--health-file", "/x", "--health-younger", "5 minutes"), "--health-younger"),
            (("--health-tcp", "80", "--health-interval", "0"), "--health-interval"),
            (("--health-liveness", "icmp://:80"), "no probe"),
            (("--health-liveness", "tcp://:80", "--health-interval", "1s"), "period="),
            (("--health-liveness", "tcp://:80", "--health-tcp", "80"), "contradicts"),
            (("--health-liveness", "tcp://:80", "--health-profile", "docker-2016"), "kubernetes"),
            (("--health-liveness", "tcp://:80,successes=2"), "successes"),
            (("--no-healthcheck", "--health-tcp", "80"), "contradicts")):
        done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")


@own_rig(extra=("--max-exec-probes", "1", "--probe-jitter", "0.5"))
def test_exec_probes_take_turns_and_begin_apart(rig):
    path, ours = inside(rig, rig.id("turns"))
    names = [rig.id(x) for x in "abc"]
    for name in names:
        rig.run(name, "sleep", "1000",
                options=("--health-cmd", f"echo begin >> {path}; sleep 0.1; echo end >> {path}",
                         "--health-interval", "50ms"))
    rig.crash_point()
    for name in names:
        wait_health(rig, name, "healthy")
    until(lambda: open(ours).read().count("end") > 12, "many have run")
    words = open(ours).read().split()
    begun_twice = [i for i in range(1, len(words)) if words[i - 1] == words[i] == "begin"]
    # What an earlier life began is nobody's turn in this one.
    check(len(begun_twice) <= (1 if rig.crash else 0), f"one at a time: {words}")
    first = []
    for name in (rig.id("d"), rig.id("e")):
        rig.run(name, "sleep", "1000", options=("--health-cmd", "true", "--health-interval", "1h"))
        at = rig.show(name)["health_detail"]["probes"][0]["next_at"]
        first.append(seconds(at) - time.time())
    check(all(3500 <= x <= 5400 for x in first), f"put off by half at most: {first}")
    check(abs(first[0] - first[1]) > 100, f"not all by the same: {first}")
