"""The command line at a terminal: a real pty on our side, a real one in the container."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from rig import PATIENCE, check, check_equal, until


class Seat:
    """gantry with a terminal of its own, and somebody who sits at it."""

    def __init__(self, rig, *args, size=(24, 80)):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave  # Kept, so that its modes can be looked at.
        self.process = subprocess.Popen(
            [os.path.join(rig.bin_dir, "gantry"), *args], stdin=slave, stdout=slave, stderr=slave,
            env=rig.environment(), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        rig.children.append(self.process)
        rig.ends.append(self.close)
        self.seen = b""

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)

    def type(self, text):
        os.write(self.master, text.encode())

    def look(self, timeout=0.0):
        while select.select([self.master], [], [], timeout)[0]:
            self.seen += os.read(self.master, 65536)
            timeout = 0.0

    def see(self, text, what=None):
        deadline = time.monotonic() + PATIENCE
        wanted = text.encode()
        while wanted not in self.seen:
            check(time.monotonic() < deadline,
                  f"{what or text!r} did not come: {self.seen[-500:]!r}")
            self.look(0.05)
        at = self.seen.index(wanted) + len(wanted)
        out, self.seen = self.seen[:at], self.seen[at:]
        return out

    def end(self):
        def ended():
            self.look()
            return self.process.poll() is not None
        until(ended, f"gantry ends; it said {self.seen[-500:]!r}")
        self.look()
        return self.process.returncode

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def check_restored(self):
        check_equal(termios.tcgetattr(self.slave), self.before, "the terminal is as it was")


SHELL = ("sh", "-c", "PS1='# ' exec sh -i")


def test_run_in_a_terminal(rig):
    a = rig.id("a")
    seat = Seat(rig, "run", "-it", "--name", a, "--rootfs", rig.rootfs, "--", *SHELL,
                size=(31, 101))
    seat.see("# ")
    until(seat.raw, "our terminal is raw")
    seat.type("stty size; tty\r")
    seat.see("31 101\r\n")
    rig.crash_point()
    seat.type("echo still $((40 + 2))\r")
    seat.see("still 42\r\n")
    seat.type("exit 7\r")
    check_equal(seat.end(), 7, "exit code")
    seat.check_restored()


def test_exec_in_a_terminal(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    seat = Seat(rig, "exec", "-it", a, *SHELL)
    seat.see("# ")
    rig.crash_point()
    fcntl.ioctl(seat.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    seat.process.send_signal(signal.SIGWINCH)
    until(lambda: [p for p in rig.show(a)["processes"]
                   if p.get("terminal_size") == {"width": 120, "height": 50}], "the new size")
    seat.type("stty size\r")
    seat.see("50 120\r\n")
    seat.type("sh -c 'echo runs; exec sleep 1000'\r")
    seat.see("\r\nruns\r\n")
    seat.type("\x03")  # Ctrl-C is a key: it goes to the process, not to gantry.
    seat.see("# ")
    seat.type("exit\r")
    check_equal(seat.end(), 130, "exit code of a shell after ^C")
    seat.check_restored()


def test_detach_and_attach(rig):
    a = rig.id("a")
    seat = Seat(rig, "run", "-it", "--name", a, "--rootfs", rig.rootfs, "--", *SHELL)
    seat.see("# ")
    seat.type("x=kept\r")
    seat.see("# ")
    seat.type("\x10\x11")
    check_equal(seat.end(), 0, "exit code")
    seat.check_restored()
    check_equal(rig.state_of(a), "running", "it was left running")
    rig.crash_point()
    again = Seat(rig, "attach", "--detach-keys", "ctrl-x,x", a)
    until(again.raw, "attached")
    again.type("echo $x\r")
    again.see("kept\r\n")
    again.type("\x18\x18x")  # The first one is passed on, the second one begins the sequence.
    check_equal(again.end(), 0, "exit code")
    again.check_restored()
    replay = Seat(rig, "attach", "--replay", "--no-stdin", a)
    replay.see("x=kept")
    replay.see("echo $x")
    replay.see("kept")
    check(not replay.raw(), "who only looks keeps the terminal")
    rig.ok("kill", a)
    check_equal(replay.end(), 137, "exit code of the container")


def test_half_a_detach_sequence(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    seat = Seat(rig, "exec", "-it", a, "--", "sh", "-c",
                "stty raw -echo; echo ready; od -An -tx1 -N3")
    seat.see("ready")
    rig.crash_point()
    seat.type("\x10")  # Cut by time: it is passed on although nothing follows.
    time_out = time.monotonic() + 0.8
    while time.monotonic() < time_out:
        seat.look(0.05)
    seat.type("\x10a")  # Cut by another key.
    seat.see("10 10 61")
    check_equal(seat.end(), 0, "exit code")
    seat.check_restored()


def test_the_terminal_comes_back_on_every_way_out(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    for end in ("signal", "gone", "removed"):
        seat = Seat(rig, "exec", "-it", a, *SHELL)
        seat.see("# ")
        until(seat.raw, "raw")
        if end == "signal":
            rig.crash_point()
            for _ in range(3):  # The third one ends gantry, not the shell, which ignores them.
                seat.process.send_signal(signal.SIGTERM)
                seat.look(0.1)
            check_equal(seat.end(), 128 + 15, "exit code")
        elif end == "gone":
            os.kill(seat.process.pid, signal.SIGABRT)
            check_equal(seat.end(), -signal.SIGABRT, "its end")
        else:
            rig.ok("rm", "-f", a)
            check_equal(seat.end(), 137, "exit code")
        seat.check_restored()


def test_a_terminal_needs_one(rig):
    a = rig.id("a")
    done = rig.gantry("run", "-it", "--name", a, "--rootfs", rig.rootfs, "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check("not a terminal" in done.err, done.err)
    check_equal(rig.state_of(a), None, "nothing was made")
    rig.crash_point()
    done = rig.gantry("run", "-t", "--rm", "--rootfs", rig.rootfs, "--", "sh", "-c",
                      "test -t 1 && echo yes; exit 5")
    check_equal((done.code, done.out), (5, "yes\r\n"), "without input it needs none")
    done = rig.gantry("exec", "--detach-keys", "ctrl-P", "-it", a, "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check("ctrl-P" in done.err, done.err)


def test_a_program_that_cannot_start(rig):
    a = rig.id("a")
    seat = Seat(rig, "run", "-it", "--name", a, "--rootfs", rig.rootfs, "--", "/nowhere")
    rig.crash_point()
    check_equal(seat.end(), 127, "exit code")
    check(b"/nowhere" in seat.seen, f"{seat.seen!r}")
    seat.check_restored()
    check_equal(rig.state_of(a), None, "nothing is left")


def test_attach_without_a_terminal(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "while read x; do echo got $x; echo err $x >&2; done; exit 3",
            options=("-i",))
    child = rig.spawn("attach", a)
    other = rig.spawn("attach", "--no-stdin", "--replay", a)
    child.stdin.write(b"one\n")
    child.stdin.flush()
    until(lambda: "got one" in rig.ok("logs", a).out, "input reached it")
    rig.crash_point()
    child.stdin.write(b"two\n")
    child.stdin.flush()
    until(lambda: "got two" in rig.ok("logs", a).out, "input reached it again")
    b = rig.bus()
    from bus import pb
    b.call(b.processes.CloseStdin, pb.CloseStdinRequest(ref=pb.Ref(id=a)))
    out, err = child.communicate(timeout=30)
    check_equal(child.returncode, 3, f"exit code ({err})")
    check(out.endswith(b"got two\n") and err.endswith(b"err two\n"), f"{out} {err}")
    out, err = other.communicate(timeout=30)
    check_equal((other.returncode, out, err),
                (3, b"got one\ngot two\n", b"err one\nerr two\n"), "who only looked")


def test_much_output_at_a_terminal(rig):
    a = rig.id("a")
    seat = Seat(rig, "run", "-it", "--rm", "--name", a, "--rootfs", rig.rootfs, "--", "sh", "-c",
                "read x; seq 1 20000; echo done")
    until(seat.raw, "it runs")
    seat.type("\r")
    rig.crash_point()
    got = seat.see("done\r\n")
    check_equal(seat.end(), 0, "exit code")
    wanted = "".join(f"{i}\r\n" for i in range(1, 20001)).encode()
    check(wanted in got, f"every line came: {len(got)} bytes of {len(wanted)}")
