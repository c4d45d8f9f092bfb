"""Bad input: each gets an error that names the thing, the cause and the cure; nothing breaks."""

import os
import socket
import struct
import threading
import time

import grpc

import bus
from bus import pb
from rig import check, check_equal, scaled, until


def refused(rig, done, *words, codes=(1, 125)):
    check(done.code in codes, f"exit code of {done!r}")
    check(done.err.strip() and done.err.count("\n") <= 3, f"a few words: {done!r}")
    for word in words:
        check(word in done.err, f"{word!r} in: {done.err}")


def run_as(rig, name, *options):
    return rig.gantry("run", "-d", "--name", name, *options, "--rootfs", rig.rootfs, "--", "true")


def test_bad_ids(rig):
    for bad in ("a/b", "../x", "..", ".", "-x", "a b", "ä", "x" * 129, "a\nb", ""):
        refused(rig, rig.gantry("run", "-d", f"--name={bad}", "--rootfs", rig.rootfs, "--",
                                "true"))
    rig.crash_point()
    refused(rig, rig.gantry("-n", "../x", "ps"))
    refused(rig, rig.gantry("inspect", "../../etc/passwd"), "../../etc/passwd")
    b = rig.bus()
    for bad in ("../x", "", "a/b", "x" * 200, "a\0b"):
        try:
            b.call(b.containers.Create, pb.CreateRequest(
                ref=pb.Ref(id=bad), spec=pb.ContainerSpec(rootfs=rig.rootfs, args=["true"])))
            check(False, f"{bad!r} is refused")
        except grpc.RpcError as e:
            check_equal(e.code(), grpc.StatusCode.INVALID_ARGUMENT, f"status of {bad!r}")
    check_equal(rig.ok("ps", "-aq").out, "", "nothing is left")


def test_a_string_that_is_no_utf8(rig):
    rig.bus()
    inspect = rig.channel.unary_unary("/gantry.v1.Containers/Inspect",
                                      request_serializer=lambda raw: raw,
                                      response_deserializer=lambda raw: raw)
    rig.crash_point()
    try:
        bus.Stubs.call(inspect, b"\x0a\x04\x12\x02\xff\xfe")  # ref.id
        check(False, "it is refused")
    except grpc.RpcError as e:
        check_equal(e.code(), grpc.StatusCode.INVALID_ARGUMENT, "status")
    check("libprotobuf" not in rig.daemon_log(), "nobody but us writes to the log")


def test_bad_options(rig):
    rig.crash_point()
    for options, word in ((("-m", "lots"), "lots"), (("-m", "-5"), "-5"), (("--cpus", "x"), "x"),
                          (("-u", "root"), "root"), (("-e", "=x"), "="),
                          (("--network", "bridge"), "bridge"),
                          (("--log-opt", "max-size=1"), "1"),
                          (("--log-opt", "nonsense=1"), "nonsense"),
                          (("--stop-signal", "FOO"), "FOO"), (("-w", "relative"), "relative"),
                          (("--runtime", "/nowhere/runc"), "/nowhere/runc")):
        refused(rig, run_as(rig, rig.id("a"), *options), word)
        check_equal(rig.state_of(rig.id("a")), None, f"nothing is left of {options}")
    refused(rig, rig.gantry("nonsense"), "nonsense")
    refused(rig, rig.gantry("run"))
    refused(rig, rig.gantry("run", "--rootfs", rig.rootfs))
    refused(rig, rig.gantry("events", "--since", "nonsense"), "nonsense")


def test_what_is_not_there(rig):
    rig.crash_point()
    for command in (("start",), ("kill",), ("stop",), ("pause",), ("resume",), ("rm",),
                    ("inspect",), ("logs",), ("wait",), ("top",), ("stats",),
                    ("update", "-m", "64m")):
        done = rig.gantry(*command, "nobody")
        refused(rig, done, "nobody")


def test_errors_as_json(rig):
    import json
    rig.crash_point()
    done = rig.gantry("--json", "inspect", "nobody")
    error = json.loads(done.err)["error"]
    check_equal(error["code"], "not_found", "code")
    check("nobody" in error["message"], f"it is named: {error}")
    check("gantry ps" in error["message"] + error["cure"], f"the cure: {error}")


def test_nobody_listens(rig):
    done = rig.gantry("--socket", "/nowhere/gantry.sock", "ps")
    refused(rig, done, "/nowhere/gantry.sock", codes=(125,))
    rig.crash_point()
    done = rig.gantry("--socket", rig.rootfs, "ps")
    refused(rig, done, rig.rootfs, codes=(125,))


def raw(rig):
    s = socket.socket(socket.AF_UNIX)
    s.connect(rig.socket)
    s.settimeout(scaled(20))
    return s


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def read_to_end(s):
    got = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


def test_junk_on_the_socket(rig):
    for junk in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(65536), b"\0" * 100000,
                 PREFACE + b"\xff" * 1000):
        s = raw(rig)
        try:
            s.sendall(junk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has hung up already.
        read_to_end(s)  # It hangs up, or this times out.
        s.close()
    rig.crash_point()
    rig.ok("ps")


def test_half_a_frame_and_silence(rig):
    held = []
    for piece in (b"", PREFACE[:10], PREFACE, PREFACE + struct.pack(">I", 100)[1:] + b"\0\0"):
        s = raw(rig)
        s.sendall(piece)
        held.append(s)
    began = time.monotonic()
    rig.ok("ps")
    check(time.monotonic() - began < scaled(5), "others are served")
    rig.crash_point()
    for s in held:
        s.close()
    rig.ok("ps")


def headers_frame(stream, path):
    """A HEADERS frame with literal fields, no Huffman."""
    def field(name, value):
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    block = (field(b":method", b"POST") + field(b":scheme", b"http") + field(b":path", path)
             + field(b":authority", b"x") + field(b"content-type", b"application/grpc")
             + field(b"te", b"trailers"))
    return struct.pack(">I", len(block))[1:] + b"\1\4" + struct.pack(">I", stream) + block


def data_frame(stream, data, end=True):
    return (struct.pack(">I", len(data))[1:] + b"\0" + (b"\1" if end else b"\0")
            + struct.pack(">I", stream) + data)


def test_a_message_of_4_gib(rig):
    s = raw(rig)
    s.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0" + headers_frame(1, b"/gantry.v1.Containers/List")
              + data_frame(1, b"\0" + b"\xff\xff\xff\xff" + b"x" * 100, end=False))
    got = b""
    until_text = (b"grpc-status", b"resource_exhausted")
    s.settimeout(scaled(1))
    try:
        while not any(t in got for t in until_text) and len(got) < 100000:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
    except (TimeoutError, ConnectionResetError):
        pass
    check(len(got) > 20, "it answers at once, without waiting for the rest")
    s.close()
    # A frame whose length is beyond what we accept ends the connection.
    s = raw(rig)
    s.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0" + b"\xff\xff\xff\0\0\0\0\0\1")
    check(read_to_end(s), "it says why before it hangs up")
    s.close()
    rig.crash_point()
    rig.ok("ps")


def test_an_unknown_method(rig):
    rig.crash_point()
    rig.ok("ps")
    channel = rig.bus() and rig.channel
    for path in ("/gantry.v1.Containers/Nonsense", "/nowhere.Service/X"):
        call = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=scaled(20), wait_for_ready=True)
            check(False, "refused")
        except grpc.RpcError as e:
            check_equal(e.code(), grpc.StatusCode.UNIMPLEMENTED, f"status of {path}")
    call = channel.unary_unary("/gantry.v1.Containers/List", request_serializer=bytes,
                               response_deserializer=bytes)
    try:
        call(b"\xff\xff\xff", timeout=scaled(20))
        check(False, "bytes that are no message are refused")
    except grpc.RpcError as e:
        check_equal(e.code(), grpc.StatusCode.INVALID_ARGUMENT, "status of a broken message")


def test_a_client_that_never_reads(rig):
    """It asks for events and reads nothing, while a thousand are made."""
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap : USR1; echo ready; while :; do sleep 0.05; done")
    until(lambda: rig.ok("logs", a).out == "ready\n", "ready")
    s = raw(rig)
    body = pb.FollowRequest(follow=True, since=pb.Cursor()).SerializeToString()
    s.sendall(PREFACE + b"\0\0\0\4\0\0\0\0\0" + headers_frame(1, b"/gantry.v1.Events/Follow")
              + data_frame(1, b"\0" + struct.pack(">I", len(body)) + body))
    rig.crash_point()
    b = rig.bus()
    rig.ok("ps")

    def many(count):
        for _ in range(count):
            b.call(b.containers.Kill, pb.KillRequest(ref=pb.Ref(id=a), signal="USR1"))
    threads = [threading.Thread(target=many, args=(350,)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    slowest = 0
    for _ in range(5):
        began = time.monotonic()
        rig.ok("ps")
        slowest = max(slowest, time.monotonic() - began)
    check(slowest < scaled(2), f"others are served: {slowest}")
    check(len(rig.events("kill", container=a)) >= 1050, "every event is there")
    with open(f"/proc/{rig.alive_pid()}/status") as f:
        rss = int(f.read().split("VmRSS:")[1].split()[0])
    with open(f"/proc/{rig.alive_pid()}/maps") as f:  # AddressSanitizer keeps what was freed.
        most = (256 if "libasan" in f.read() else 64) << 10
    check(rss < most, f"its memory stays bounded: {rss} KiB")
    s.close()


def test_many_connections(rig):
    held = [raw(rig) for _ in range(200)]
    rig.ok("ps")
    rig.crash_point()
    for s in held:
        s.close()
    rig.ok("ps")
