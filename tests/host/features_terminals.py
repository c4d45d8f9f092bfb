"""Terminals: made by the runtime, kept across the death of gantryd, resized, written to."""

import grpc

from bus import pb
from rig import check, check_equal, until


def size(width, height):
    return pb.TerminalSize(width=width, height=height)


def make(rig, name, *args, start=True, wh=None, stdin=True):
    b = rig.bus()
    spec = pb.ContainerSpec(rootfs=rig.rootfs, args=args, terminal=True, with_stdin=stdin)
    if wh:
        spec.terminal_size.CopyFrom(size(*wh))
    return b.call(b.containers.Create, pb.CreateRequest(ref=pb.Ref(id=name), spec=spec,
                                                        start=start, request_id=name))


def resize(rig, name, width, height, process=""):
    b = rig.bus()
    b.call(b.processes.Resize, pb.ResizeRequest(ref=pb.Ref(id=name), process=process,
                                                size=size(width, height)))


def type_in(rig, name, text, process=""):
    """Writes to the terminal behind what was written before."""
    b = rig.bus()
    at = rig.typed.get((name, process), 0) if hasattr(rig, "typed") else 0
    data = text.encode()
    while data:
        request = pb.WriteStdinRequest(ref=pb.Ref(id=name), process=process, offset=at, data=data)
        taken = b.call(b.processes.WriteStdin, request).offset - at
        at, data = at + taken, data[taken:]
    if not hasattr(rig, "typed"):
        rig.typed = {}
    rig.typed[(name, process)] = at


def log_of(rig, name, process=None):
    return rig.ok("logs", name, *([process] if process else [])).out


def wait_log(rig, name, text, process=None):
    until(lambda: text in log_of(rig, name, process), f"{name} writes {text!r}")


def refused(rig, method, request, code):
    try:
        rig.bus().call(method, request)
    except grpc.RpcError as e:
        check_equal(e.code(), code, f"code of {e.details()}")
        return e.details()
    raise AssertionError(f"should have been refused: {request}")


def test_a_terminal_is_one(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo err >&2; "
            "echo $TERM", options=("-t",))
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "0\n", "exit")
    done = rig.ok("logs", a)
    check_equal((done.out, done.err), ("/dev/pts/0\r\nall\r\nerr\r\nxterm\r\n", ""), "its output")
    p = rig.show(a)["processes"][0]
    check(p["terminal"], f"inspect: {p}")


def test_size_at_the_start(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "stty size; sleep 1000", wh=(100, 30))
    rig.crash_point()
    wait_log(rig, a, "30 100\r\n")
    b = rig.bus()
    spec = pb.ProcessSpec(args=["stty", "size"], terminal=True, terminal_size=size(50, 20))
    b.call(b.processes.Exec, pb.ExecRequest(ref=pb.Ref(id=a), process="e", spec=spec,
                                            request_id=a + "e"))
    check_equal(rig.ok("wait", "-p", "e", a).out, "0\n", "exec")
    check_equal(log_of(rig, a, "e"), "20 50\r\n", "size of the exec")


def test_resize_before_and_after_the_start(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "stty size; trap 'stty size' WINCH; while :; do sleep 0.05; done",
         start=False, wh=(80, 24))
    resize(rig, a, 90, 26)
    rig.crash_point()
    rig.ok("start", a)
    wait_log(rig, a, "26 90\r\n")
    resize(rig, a, 132, 43)
    wait_log(rig, a, "43 132\r\n")
    rig.crash_point()
    resize(rig, a, 65535, 65535)  # The largest; stty itself does not believe it.
    p = rig.show(a)["processes"][0]
    check_equal(p["terminal_size"], {"width": 65535, "height": 65535}, "inspect")
    resize(rig, a, 200, 60)
    wait_log(rig, a, "60 200\r\n")
    # A new run has the size that was set last.
    resize(rig, a, 77, 33)
    rig.ok("kill", a)
    rig.ok("wait", a)
    rig.ok("start", a)
    wait_log(rig, a, "33 77\r\n")


def test_bad_sizes(rig):
    a, b = rig.id("a"), rig.id("b")
    make(rig, a, "sleep", "1000")
    rig.run(b, "sleep", "1000")
    rig.crash_point()
    calls = rig.bus()
    for width, height in ((0, 0), (0, 24), (80, 0), (65536, 65536), (80, 65536)):
        said = refused(rig, calls.processes.Resize,
                       pb.ResizeRequest(ref=pb.Ref(id=a), size=size(width, height)),
                       grpc.StatusCode.INVALID_ARGUMENT)
        check(f"{width}x{height}" in said and "65535" in said, said)
    said = refused(rig, calls.processes.Resize,
                   pb.ResizeRequest(ref=pb.Ref(id=b), size=size(80, 24)),
                   grpc.StatusCode.FAILED_PRECONDITION)
    check("no terminal" in said, said)
    refused(rig, calls.processes.Resize,
            pb.ResizeRequest(ref=pb.Ref(id=a), process="none", size=size(80, 24)),
            grpc.StatusCode.NOT_FOUND)
    spec = pb.ContainerSpec(rootfs=rig.rootfs, args=["true"], terminal=True,
                            terminal_size=size(70000, 1))
    refused(rig, calls.containers.Create, pb.CreateRequest(ref=pb.Ref(id=rig.id("c")), spec=spec),
            grpc.StatusCode.INVALID_ARGUMENT)


def test_input_and_output_across_a_crash(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "while read x; do echo got $x; done")
    type_in(rig, a, "one\n")
    wait_log(rig, a, "got one\r\n")
    rig.crash_point()
    type_in(rig, a, "two\n")
    wait_log(rig, a, "got two\r\n")
    check("output-gap" not in [e["type"] for e in rig.events(container=a)], "nothing was lost")
    # The end of the input is a character.
    type_in(rig, a, "\x04")
    check_equal(rig.ok("wait", a).out, "0\n", "exit at Ctrl-D")
    check_equal(log_of(rig, a), "one\r\ngot one\r\ntwo\r\ngot two\r\n", "the whole session")


def test_ctrl_c_in_a_terminal(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c",
         "trap 'echo int; exit 7' INT; echo ready; while :; do sleep 0.05; done")
    wait_log(rig, a, "ready")
    rig.crash_point()
    type_in(rig, a, "\x03")
    check_equal(rig.ok("wait", a).out, "7\n", "the signal came through the terminal")


def test_much_output_through_a_terminal(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "seq 1 30000")
    rig.crash_point()
    rig.crash_point()
    check_equal(rig.ok("wait", a).out, "0\n", "exit")
    wanted = "".join(f"{i}\r\n" for i in range(1, 30001))
    got = log_of(rig, a)
    gaps = rig.events("output-gap", container=a)
    lost = sum(int(e["details"]["at_most_bytes"]) for e in gaps)
    check(len(wanted) - len(got) <= lost, f"lost {len(wanted) - len(got)}, told {lost}")
    if not gaps:
        check(got == wanted, "the bytes are what was written")


def test_exec_with_a_terminal(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "-i", "-t", "--id", "e", a, "--", "sh", "-c", "read x; echo got $x; tty")
    rig.crash_point()
    type_in(rig, a, "hello\n", "e")
    check_equal(rig.ok("wait", "-p", "e", a).out, "0\n", "exit")
    check_equal(log_of(rig, a, "e"), "hello\r\ngot hello\r\n/dev/pts/0\r\n", "its output")
    done = rig.gantry("exec", "-t", "-d", "--id", "no", a, "--", "/nowhere")
    check_equal(done.code, 127, f"exit code of {done!r}")


def test_stdin_of_a_terminal(rig):
    a, b = rig.id("a"), rig.id("b")
    make(rig, a, "sleep", "1000")
    make(rig, b, "sleep", "1000", stdin=False)
    rig.crash_point()
    calls = rig.bus()
    said = refused(rig, calls.processes.CloseStdin, pb.CloseStdinRequest(ref=pb.Ref(id=a)),
                   grpc.StatusCode.FAILED_PRECONDITION)
    check("Ctrl-D" in said, said)
    refused(rig, calls.processes.WriteStdin,
            pb.WriteStdinRequest(ref=pb.Ref(id=b), data=b"x"), grpc.StatusCode.FAILED_PRECONDITION)


def test_a_crash_while_it_is_made(rig):
    for i in range(3):
        a = rig.id(f"a{i}")
        child = rig.spawn("run", "-d", "-t", "--name", a, "--rootfs", rig.rootfs, "--", "sh", "-c",
                          "tty; exit 3")
        until(lambda a=a: rig.state_of(a), f"{a} is being made")
        rig.crash_point()
        out, err = child.communicate(timeout=30)
        check_equal((child.returncode, out.decode().strip()), (0, a), f"run: {err}")
        check_equal(rig.ok("wait", a).out, "3\n", "exit")
        check_equal(log_of(rig, a), "/dev/pts/0\r\n", "its output")
        types = [e["type"] for e in rig.events(container=a) if e["type"] in ("create", "start")]
        check_equal(types, ["create", "start"], "events")


def test_a_program_that_does_not_exist_in_a_terminal(rig):
    a = rig.id("a")
    done = rig.gantry("run", "-d", "-t", "--name", a, "--rootfs", rig.rootfs, "--", "/nowhere")
    rig.crash_point()
    check_equal(done.code, 127, f"exit code of {done!r}")
    check_equal(rig.state_of(a), None, "nothing is left")
