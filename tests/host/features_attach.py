"""Attach by the bus: several clients at a process's streams, from its first byte or from now,
across the death of gantryd, with slow ones among them."""

import os
import queue
import threading

import grpc

from bus import pb
from rig import check, check_equal, scaled, until


class Client:
    """One attached client, which comes back after a lost connection as a good one does."""

    def __init__(self, rig, name, process="", again=True, **how):
        self.rig, self.again = rig, again
        self.open = pb.AttachOpen(ref=pb.Ref(id=name), process=process, **how)
        self.say = queue.Queue()
        self.out = {1: b"", 2: b""}
        self.gaps, self.opened, self.exit, self.ended = [], [], None, None
        self.offset, self.input_end = 0, None
        self.paused = threading.Event()
        self.paused.set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def requests(self):
        yield pb.AttachRequest(open=self.open)
        say = self.say
        while True:
            item = say.get()
            if item is None:
                return
            yield item

    def run(self):
        while True:
            self.say = queue.Queue()
            try:
                for reply in self.rig.bus().processes.Attach(self.requests(), timeout=scaled(60),
                                                             wait_for_ready=True):
                    self.paused.wait()
                    self.take(reply)
                self.ended = "ok"
                return
            except grpc.RpcError as e:
                if e.code() != grpc.StatusCode.UNAVAILABLE or not self.again:
                    self.ended = e
                    return
            finally:
                self.say.put(None)

    def take(self, reply):
        what = reply.WhichOneof("what")
        if what == "opened":
            self.opened.append(reply.opened)
            self.offset = reply.opened.stdin_offset
            self.open.cursor = reply.opened.cursor
            self.open.instance = reply.opened.instance
        elif what == "output":
            self.out[reply.output.stream] += reply.output.data
            self.open.cursor = reply.output.cursor
        elif what == "gap":
            self.gaps.append(reply.gap)
        elif what == "stdin_offset":
            self.offset = reply.stdin_offset
        elif what == "input_end":
            self.input_end = reply.input_end
        elif what == "exit":
            self.exit = reply.exit

    def type(self, data, offset=None):
        one = pb.AttachInput(data=data)
        if offset is not None:
            one.offset = offset
        self.say.put(pb.AttachRequest(input=one))

    def resize(self, width, height):
        self.say.put(pb.AttachRequest(size=pb.TerminalSize(width=width, height=height)))

    def close(self):
        self.say.put(None)

    def wait_opened(self, times=1):
        until(lambda: len(self.opened) >= times or self.ended, "attached")
        check(len(self.opened) >= times, f"attach ended: {self.ended}")

    def wait_out(self, text, stream=1):
        until(lambda: text in self.out[stream] or self.ended, f"output {text!r}")
        check(text in self.out[stream], f"{self.out} {self.ended}")

    def wait_end(self):
        until(lambda: self.ended, "the end of the stream")
        check_equal(self.ended, "ok", "how it ended")


def make(rig, name, *args, **spec):
    b = rig.bus()
    b.call(b.containers.Create,
           pb.CreateRequest(ref=pb.Ref(id=name), start=True, request_id=name,
                            spec=pb.ContainerSpec(rootfs=rig.rootfs, args=args, **spec)))


def test_output_from_the_first_byte(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "echo one; echo err >&2; printf half; read x; echo got $x; exit 4",
         with_stdin=True)
    until(lambda: rig.ok("logs", a).out.startswith("one"), "it has written")
    c = Client(rig, a, replay=True, input=True)
    c.wait_out(b"half")
    rig.crash_point()
    if rig.crash:
        c.wait_opened(2)
    c.type(b"hello\n")
    c.wait_end()
    check_equal(c.out, {1: b"one\nhalfgot hello\n", 2: b"err\n"}, "all of its output, once")
    check_equal((c.exit.exit_code, c.gaps), (4, []), "its exit")
    check_equal(c.offset, 6, "input that was taken")


def test_several_clients(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "echo early; while read x; do echo got $x; done", with_stdin=True)
    until(lambda: "early" in rig.ok("logs", a).out, "it has written")
    clients = [Client(rig, a, replay=i % 2 == 0, input=i < 2) for i in range(4)]
    for c in clients:
        c.wait_opened()
    rig.crash_point()
    for c in clients:
        c.wait_opened(2 if rig.crash else 1)
    clients[0].type(b"zero\n")
    for c in clients:
        c.wait_out(b"got zero\n")
    clients[1].type(b"one\n")
    for c in clients:
        c.wait_out(b"got one\n")
    b = rig.bus()
    b.call(b.processes.CloseStdin, pb.CloseStdinRequest(ref=pb.Ref(id=a)))
    for i, c in enumerate(clients):
        c.wait_end()
        early = b"early\n" if i % 2 == 0 else b""
        check_equal(c.out[1], early + b"got zero\ngot one\n", f"output of client {i}")
        check_equal(c.exit.exit_code, 0, "exit")


def test_a_client_that_only_reads(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "read x; echo got $x", with_stdin=True)
    c = Client(rig, a)
    c.wait_opened()
    c.type(b"x\n")
    until(lambda: c.ended, "it is refused")
    check_equal(c.ended.code(), grpc.StatusCode.PERMISSION_DENIED, c.ended.details())
    rig.crash_point()
    check_equal(rig.state_of(a), "running", "nothing was written")


def test_half_close_ends_stdin_on_request(rig):
    a, b = rig.id("a"), rig.id("b")
    for name in (a, b):
        make(rig, name, "cat", with_stdin=True)
    c, d = Client(rig, a, input=True, close_stdin=True), Client(rig, b, input=True)
    for x in (c, d):
        x.wait_opened()
        x.type(b"words\n")
        x.wait_out(b"words\n")
    rig.crash_point()
    for x in (c, d):
        x.wait_opened(2 if rig.crash else 1)
        x.close()
    c.wait_end()
    check_equal(c.exit.exit_code, 0, "cat came to the end of its input")
    check_equal(rig.state_of(b), "running", "this one did not ask for it")
    rig.ok("kill", b)
    d.wait_end()
    check_equal(d.exit.signal, 9, "exit")


def test_replay_and_live_without_a_gap(rig):
    """Clients come at every moment of a writer that does not stop, and one that dies often."""
    a = rig.id("a")
    lines = 200000
    make(rig, a, "seq", "1", str(lines), log=pb.LogOptions(max_file_bytes=64 << 20))
    wanted = "".join(f"{i}\n" for i in range(1, lines + 1)).encode()
    clients = [Client(rig, a, replay=True)]
    for _ in range(4):
        clients.append(Client(rig, a, replay=True))
        clients[-1].wait_opened()
        rig.crash_point()
    rig.ok("wait", a)
    late = Client(rig, a, replay=True)
    for c in [*clients, late]:
        c.wait_end()
        check_equal(len(c.out[1]), len(wanted), "bytes")
        check(c.out[1] == wanted, "every byte, once, in its order")
        check_equal(c.gaps, [], "gaps")


def test_replay_of_every_log_format(rig):
    for form in ("json-file", "cri", "raw"):
        a = rig.id(form)
        make(rig, a, "sh", "-c", "echo one; echo err >&2; printf half; read x; seq 1 5000; exit 4",
             with_stdin=True, log=pb.LogOptions(format=form))
        until(lambda a=a: rig.ok("logs", a).out.startswith("one"), "it has written")
        c = Client(rig, a, replay=True, input=True)
        c.wait_out(b"half")
        rig.crash_point()
        c.wait_opened(2 if rig.crash else 1)
        c.type(b"\n")
        late = Client(rig, a, replay=True)
        wanted = b"one\nhalf" + "".join(f"{i}\n" for i in range(1, 5001)).encode()
        for x in (c, late):
            x.wait_end()
            check_equal(x.out, {1: wanted, 2: b"err\n"}, f"output with a log as {form}")
            check_equal((x.exit.exit_code, x.gaps), (4, []), "its exit")


def test_cursors_go_on_in_the_middle(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "echo one; printf two; read x; echo three; printf four; read x",
         with_stdin=True)
    c = Client(rig, a, replay=True, again=False)
    c.wait_out(b"two")
    cursor = c.open.cursor
    d = Client(rig, a, input=True, cursor=cursor)
    d.wait_opened()
    check_equal(d.out[1], b"", "nothing comes twice")
    rig.crash_point()
    d.wait_opened(2 if rig.crash else 1)
    d.type(b"\n")
    d.wait_out(b"four")
    check_equal(d.out[1], b"three\nfour", "what came behind")
    bad = Client(rig, a, cursor="1:2:x")
    until(lambda: bad.ended, "it is refused")
    check_equal(bad.ended.code(), grpc.StatusCode.INVALID_ARGUMENT, bad.ended.details())


def test_terminal_attached(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "printf '$ '; while read x; do eval $x; printf '$ '; done",
         terminal=True, with_stdin=True)
    c = Client(rig, a, replay=True, input=True)
    c.wait_out(b"$ ")  # A prompt has no newline.
    c.resize(101, 31)
    rig.crash_point()
    c.wait_opened(2 if rig.crash else 1)
    check(c.opened[-1].terminal, "it is told of the terminal")
    c.resize(101, 31)
    c.type(b"stty size\n")
    c.wait_out(b"31 101\r\n$ ")
    c.type(b"exit 9\n")
    c.wait_end()
    check_equal(c.out[1], b"$ stty size\r\n31 101\r\n$ exit 9\r\n", "the session")
    check_equal(c.exit.exit_code, 9, "exit")


def test_a_bad_size_ends_the_call(rig):
    a, b = rig.id("a"), rig.id("b")
    make(rig, a, "sleep", "1000", terminal=True, with_stdin=True)
    make(rig, b, "sleep", "1000")
    rig.crash_point()
    for name, size, code in ((a, (0, 0), grpc.StatusCode.INVALID_ARGUMENT),
                             (a, (65536, 65536), grpc.StatusCode.INVALID_ARGUMENT),
                             (b, (80, 24), grpc.StatusCode.FAILED_PRECONDITION)):
        c = Client(rig, name, input=True)
        c.wait_opened()
        c.resize(*size)
        until(lambda c=c: c.ended, "it is refused")
        check_equal(c.ended.code(), code, c.ended.details())


def test_input_is_taken_at_most_once(rig):
    a = rig.id("a")
    make(rig, a, "cat", with_stdin=True)
    c = Client(rig, a, replay=True, input=True, close_stdin=True)
    c.wait_opened()
    data = os.urandom(200000)
    at = 0
    while at < len(data):
        c.type(data[at:at + 50000], offset=at)
        want = min(at + 50000, len(data))
        opened = len(c.opened)
        if at == 50000:
            rig.crash_point()
        until(lambda: c.offset >= want or len(c.opened) > opened, "it is taken")
        at = c.offset  # After a crash: the place that the supervisor names.
    c.close()
    c.wait_end()
    check_equal(len(c.out[1]), len(data), "bytes that came back")
    check(c.out[1] == data, "every byte once")


def test_attach_to_what_ended(rig):
    a = rig.id("a")
    make(rig, a, "sh", "-c", "echo words; exit 3")
    rig.ok("wait", a)
    rig.crash_point()
    c = Client(rig, a, replay=True)
    c.wait_end()
    check_equal((c.out[1], c.exit.exit_code), (b"words\n", 3), "its log and its exit")
    c = Client(rig, a)
    c.wait_end()
    check_equal((c.out[1], c.exit.exit_code), (b"", 3), "only its exit")
    for wrong in (pb.Ref(id=rig.id("none")), pb.Ref(id="../x")):
        c = Client(rig, wrong.id)
        until(lambda c=c: c.ended, "it is refused")
        check(c.ended.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT),
              c.ended.details())


def test_input_of_one_without_stdin(rig):
    a = rig.id("a")
    make(rig, a, "sleep", "1000")
    c = Client(rig, a, input=True)
    c.wait_opened()
    check(not c.opened[0].stdin_open, "it is told so")
    c.type(b"x")
    until(lambda: c.input_end, "it is told again")
    rig.crash_point()
    rig.ok("kill", a)
    c.wait_end()
    check_equal(c.exit.signal, 9, "output and exit go on")
