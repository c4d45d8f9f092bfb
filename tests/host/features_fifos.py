"""Named FIFOs of clients as ends of a process's streams."""

import contextlib
import fcntl
import os
import select
import stat
import time

import grpc

from bus import pb
from rig import PATIENCE, check, check_equal, until


def make(rig, name, *args, fifos=None, start=True, **spec):
    b = rig.bus()
    spec = pb.ContainerSpec(rootfs=rig.rootfs, args=args, fifos=fifos, **spec)
    b.call(b.containers.Create, pb.CreateRequest(ref=pb.Ref(id=name), spec=spec, start=start,
                                                 request_id=name))


def read_some(fd, wanted):
    """Reads until `wanted` bytes are there."""
    out = b""
    deadline = time.monotonic() + PATIENCE
    while len(out) < wanted:
        check(time.monotonic() < deadline, f"only {len(out)} of {wanted} bytes came: {out[-100:]}")
        if select.select([fd], [], [], 0.05)[0]:
            with contextlib.suppress(BlockingIOError):
                out += os.read(fd, 65536)
    return out


def paths_of(rig):
    return {f"{s}_path": rig.path(s) for s in ("stdin", "stdout", "stderr")}


def refused(rig, name, fifos, code, **spec):
    b = rig.bus()
    spec = pb.ContainerSpec(rootfs=rig.rootfs, args=["cat"], with_stdin=True,
                            fifos=pb.Fifos(**fifos), **spec)
    try:
        b.call(b.containers.Create, pb.CreateRequest(ref=pb.Ref(id=name), spec=spec, start=True))
    except grpc.RpcError as e:
        check_equal(e.code(), code, e.details())
        check_equal(rig.state_of(name), None, "nothing is left")
        return e.details()
    raise AssertionError(f"should have been refused: {fifos}")


def test_three_fifos(rig):
    a = rig.id("a")
    paths = paths_of(rig)
    os.mkfifo(paths["stdout_path"], 0o600)
    make(rig, a, "sh", "-c", "while read x; do echo out $x; echo err $x >&2; done",
         with_stdin=True, fifos=pb.Fifos(**paths))
    for path in paths.values():
        check(stat.S_ISFIFO(os.stat(path).st_mode), f"{path} is a FIFO")
        check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its mode")
    out = os.open(paths["stdout_path"], os.O_RDONLY | os.O_NONBLOCK)
    err = os.open(paths["stderr_path"], os.O_RDONLY | os.O_NONBLOCK)
    for word in (b"one", b"two"):
        # A writer that comes and goes is no end of the input.
        into = os.open(paths["stdin_path"], os.O_WRONLY | os.O_NONBLOCK)
        os.write(into, word + b"\n")
        os.close(into)
        check_equal(read_some(out, 8), b"out " + word + b"\n", "stdout")
        check_equal(read_some(err, 8), b"err " + word + b"\n", "stderr")
        rig.crash_point()
        until(rig.answers, "gantryd answers")
    b = rig.bus()
    b.call(b.processes.CloseStdin, pb.CloseStdinRequest(ref=pb.Ref(id=a)))
    check_equal(rig.ok("wait", a).out, "0\n", "the end of the input is CloseStdin")
    check_equal(rig.ok("logs", a).out, "out one\nout two\n", "the log has it too")
    os.close(out)
    os.close(err)


def test_a_reader_that_comes_late(rig):
    a = rig.id("a")
    path = rig.path("out")
    size = 1 << 20
    make(rig, a, "sh", "-c", f"yes 0123456789abcde | head -c {size}; echo end >&2; sleep 1000",
         fifos=pb.Fifos(stdout_path=path))
    # Nobody reads: the FIFO fills and the process waits.
    until(lambda: os.path.exists(path), "the FIFO is there")
    check("end" not in rig.ok("logs", a).err, "it waits")
    rig.crash_point()
    until(rig.answers, "gantryd answers")
    out = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    gaps = [int(e["details"]["at_most_bytes"]) for e in rig.events("output-gap", container=a)]
    got = read_some(out, size - sum(gaps))
    until(lambda: "end" in rig.ok("logs", a).err, "it went on")
    check_equal(len(got), size - sum(gaps), f"bytes, with gaps {gaps}")
    if not gaps:
        check_equal(got, b"0123456789abcde\n" * (size // 16), "every byte once")
    check(rig.crash or not gaps, "nothing was lost")
    os.close(out)


def test_fifos_of_an_exec(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    path = rig.path("out")
    b = rig.bus()
    spec = pb.ProcessSpec(args=["sh", "-c", "echo words; sleep 0.2; exit 4"],
                          fifos=pb.Fifos(stdout_path=path))
    b.call(b.processes.Exec, pb.ExecRequest(ref=pb.Ref(id=a), process="e", spec=spec,
                                            request_id=a + "e"))
    rig.crash_point()
    out = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    check_equal(read_some(out, 6), b"words\n", "its output")
    check_equal(rig.ok("wait", "-p", "e", a).out, "4\n", "its exit")
    os.close(out)


def test_fifos_of_the_command_line(rig):
    a = rig.id("a")
    paths = {s: rig.path(s) for s in ("stdin", "stdout", "stderr")}
    rig.run(a, "sh", "-c", "read x; echo out $x; echo err $x >&2; sleep 1000",
            options=[w for s, p in paths.items() for w in (f"--{s}-fifo", p)])
    rig.crash_point()
    until(rig.answers, "gantryd answers")
    out = os.open(paths["stdout"], os.O_RDONLY | os.O_NONBLOCK)
    err = os.open(paths["stderr"], os.O_RDONLY | os.O_NONBLOCK)
    into = os.open(paths["stdin"], os.O_WRONLY | os.O_NONBLOCK)
    os.write(into, b"word\n")
    check_equal(read_some(out, 9), b"out word\n", "stdout")
    check_equal(read_some(err, 9), b"err word\n", "stderr")
    check_equal(rig.show(a)["spec"]["fifos"], paths, "inspect")
    for fd in (out, err, into):
        os.close(fd)
    done = rig.ok("exec", "--stdout-fifo", rig.path("exec"), a, "echo", "hello")
    check_equal(done.out, "hello\n", "beside the log, which the foreground shows")
    out = os.open(rig.path("exec"), os.O_RDONLY | os.O_NONBLOCK)
    os.close(out)
    for option, path, words in (("--stdout-fifo", "/etc/passwd", "no FIFO"),
                                ("--stdin-fifo", "", "empty")):
        done = rig.gantry("run", "-d", option, path, "--rootfs", rig.rootfs, "true")
        check(done.code == 125 and words in done.err, f"refused: {done!r}")


def test_a_terminal_with_fifos(rig):
    a = rig.id("a")
    paths = paths_of(rig)
    make(rig, a, "sh", "-c", "read x; echo got $x", terminal=True, with_stdin=True,
         fifos=pb.Fifos(stdin_path=paths["stdin_path"], stdout_path=paths["stdout_path"]))
    rig.crash_point()
    until(rig.answers, "gantryd answers")
    out = os.open(paths["stdout_path"], os.O_RDONLY | os.O_NONBLOCK)
    into = os.open(paths["stdin_path"], os.O_WRONLY | os.O_NONBLOCK)
    os.write(into, b"hello\n")
    check_equal(read_some(out, 18), b"hello\r\ngot hello\r\n", "the session")
    check_equal(rig.ok("wait", a).out, "0\n", "exit")
    os.close(into)
    os.close(out)


def test_paths_that_are_no_fifos(rig):
    a = rig.id("a")
    code = grpc.StatusCode
    real, link, file, other = (rig.path(x) for x in ("real", "link", "file", "other"))
    os.mkfifo(real)
    os.symlink(real, link)
    with open(file, "w"):
        pass
    os.mkfifo(other)
    os.chown(other, 12345, 12345)
    rig.crash_point()
    for path, wanted, words in ((link, code.INVALID_ARGUMENT, "symbolic link"),
                                (file, code.INVALID_ARGUMENT, "no FIFO"),
                                (rig.dir, code.INVALID_ARGUMENT, "no FIFO"),
                                (other, code.PERMISSION_DENIED, "somebody else"),
                                (rig.path("none") + "/x", code.NOT_FOUND, "directory"),
                                ("relative", code.INVALID_ARGUMENT, "fifos.stdout"),
                                (rig.dir + "/", code.INVALID_ARGUMENT, "directory")):
        said = refused(rig, a, {"stdout_path": path}, wanted)
        check(words in said and (path in said or path == "relative"), said)
    holder = os.open(real, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    said = refused(rig, a, {"stdout_path": real}, code.FAILED_PRECONDITION)
    check("locked" in said, said)
    os.close(holder)
    said = refused(rig, a, {"stdout_path": real, "stderr_path": real}, code.INVALID_ARGUMENT)
    check("of its own" in said, said)
    said = refused(rig, a, {"stderr_path": real}, code.INVALID_ARGUMENT, terminal=True)
    check("terminal" in said, said)
    make(rig, a, "true", fifos=pb.Fifos(stdout_path=real))
    check_equal(rig.ok("wait", a).out, "0\n", "a good one works")
