"""Listening sockets that are handed to gantryd, as systemd's socket units do."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile

from features_metrics import scrape
from features_service import TICKING, parent_of, words_of
from marks import once, own_rig
from rig import check, check_equal, process_state, until

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("gantry", "fds", "metrics")
FILES = {"gantry": "gantry.sock", "fds": "fds.sock", "metrics": "metrics.sock"}


def listener(path, kind=socket.SOCK_STREAM, mode=0o600):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    os.chmod(path, mode)
    s.listen(64)
    return s


class Manager:
    """Holds the sockets, starts gantryd with them, and ends it."""

    def __init__(self, rig, names=NAMES):
        self.rig, self.names = rig, names
        os.makedirs(rig.state, mode=0o700, exist_ok=True)
        self.held = [listener(os.path.join(rig.state, FILES[n]),
                              socket.SOCK_SEQPACKET if n == "fds" else socket.SOCK_STREAM)
                     for n in names]
        rig.ends.append(self.end)

    def command(self, *options, names=None):
        numbers = ",".join(str(s.fileno()) for s in self.held)
        return [sys.executable, os.path.join(HERE, "hand_over.py"), numbers,
                ":".join(self.names) if names is None else names, *self.rig.command(), *options]

    def start(self, *options, names=None):
        self.rig.daemon = subprocess.Popen(
            self.command(*options, names=names), stdin=subprocess.DEVNULL, stdout=self.rig.log,
            stderr=self.rig.log, start_new_session=True,
            pass_fds=[s.fileno() for s in self.held])
        self.serves()

    def start_without(self, *options):
        self.rig.daemon = subprocess.Popen(
            [*self.rig.command(), *options], stdin=subprocess.DEVNULL, stdout=self.rig.log,
            stderr=self.rig.log, start_new_session=True)
        self.serves()

    def serves(self):
        rig = self.rig
        until(lambda: rig.daemon.poll() is not None or rig.gantry("ps").code == 0,
              "gantryd answers")
        check_equal(rig.daemon.poll(), None, f"gantryd has ended:\n{rig.daemon_log()}")

    def kill(self):
        """kill -9 of gantryd, and another serves."""
        before = self.rig.pid()
        os.kill(before, signal.SIGKILL)
        until(lambda: self.rig.pid() not in (0, before), "the keeper starts another")
        self.serves()

    def stop(self, sig=signal.SIGTERM):
        os.kill(self.rig.pid(), sig)
        self.rig.daemon.wait(timeout=30)

    def numbers(self):
        return [os.fstat(s.fileno()).st_ino for s in self.held]

    def let_go(self):
        for s in self.held:
            s.close()

    def in_use(self, numbers=None):
        """Whether gantryd holds these very sockets."""
        directory = f"/proc/{self.rig.pid()}/fd"
        links = set()
        for number in os.listdir(directory):
            with contextlib.suppress(OSError):
                links.add(os.readlink(f"{directory}/{number}"))
        return [f"socket:[{n}]" in links for n in numbers or self.numbers()]

    def end(self):
        with contextlib.suppress(OSError, ValueError):
            pid = self.rig.pid()
            for victim in (parent_of(pid), pid):
                if victim > 1 and self.rig.dir in words_of(victim):
                    os.kill(victim, signal.SIGKILL)
        self.let_go()


def serves_on_them(rig, manager):
    check_equal(manager.in_use(), [True] * len(manager.held), "the sockets that gantryd holds")
    rig.ok("ps")
    check(scrape(os.path.join(rig.state, "metrics.sock")).samples, "the metrics answer")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(os.path.join(rig.state, "fds.sock"))


@own_rig(runs=False)
def test_the_sockets_are_used(rig):
    manager = Manager(rig)
    early = rig.spawn("ps")  # Before there is a gantryd: it waits.
    manager.start()
    check_equal(early.wait(timeout=30), 0, "who was there first is answered")
    serves_on_them(rig, manager)
    check_equal(os.stat(rig.socket).st_mode & 0o777, 0o660, "the mode is gantryd's own")
    if rig.crash:
        for _ in range(2):
            manager.kill()
            serves_on_them(rig, manager)
    rig.run("a", "env")
    rig.ok("wait", "a")
    check("LISTEN_" not in rig.ok("logs", "a").out, "a container hears nothing of it")
    manager.stop(signal.SIGQUIT)
    for name in NAMES:
        check(os.path.exists(os.path.join(rig.state, FILES[name])), f"{name} stays")


@own_rig(runs=False)
def test_who_connects_while_the_service_is_down_waits(rig):
    manager = Manager(rig, names=("gantry",))
    manager.start("--keeper-apart")
    rig.run("a", "sh", "-c", TICKING)
    pid, keeper = rig.init_pid("a"), parent_of(rig.pid())
    if rig.crash:
        manager.kill()
    manager.stop()
    check(process_state(keeper), "the keeper waits")
    waiting = [rig.spawn("inspect", "a") for _ in range(3)]
    manager.start("--keeper-apart", names="-")  # Without a name: the bus.
    for child in waiting:
        check_equal(child.wait(timeout=30), 0, "who waited is answered")
    check_equal(manager.in_use(), [True], "the socket is the same")
    check_equal((rig.init_pid("a"), parent_of(rig.pid())), (pid, keeper), "the same two")
    if rig.crash:
        manager.kill()
        check_equal(manager.in_use(), [True], "the socket after the crash")
    manager.stop(signal.SIGQUIT)


@once
@own_rig(runs=False)
def test_a_killed_proxy_hands_them_on(rig):
    manager = Manager(rig)
    manager.start("--keeper-apart")
    gantryd = rig.pid()
    rig.daemon.kill()
    rig.daemon.wait()
    manager.start("--keeper-apart")
    check_equal(rig.pid(), gantryd, "the same gantryd")
    manager.kill()
    serves_on_them(rig, manager)
    manager.stop(signal.SIGQUIT)


def made_at(path):
    """Which file it is: a number alone is used again on some file systems."""
    x = os.stat(path)
    return x.st_ino, x.st_ctime_ns


@once
@own_rig(runs=False)
def test_what_is_not_handed_over_any_more_is_made(rig):
    manager = Manager(rig)
    manager.start("--keeper-apart")
    manager.stop()
    seen, numbers = made_at(rig.socket), manager.numbers()
    manager.let_go()
    manager.start_without("--keeper-apart")
    check_equal(manager.in_use(numbers), [False] * 3, "the sockets of the start before")
    check(made_at(rig.socket) != seen, "gantryd has made its own")
    manager.kill()
    check_equal(manager.in_use(numbers), [False] * 3, "nor after a crash")
    manager.stop(signal.SIGQUIT)


@once
@own_rig(runs=False)
def test_sockets_without_a_keeper(rig):
    manager = Manager(rig)
    manager.start("--no-keeper")
    serves_on_them(rig, manager)
    manager.stop(signal.SIGQUIT)


@once
@own_rig(runs=False)
def test_sockets_for_another_process_are_left_alone(rig):
    rig.use_runtime("/nowhere/runc")
    manager = Manager(rig, names=())
    code, text = rig.try_start([*manager.command()],
                               env=dict(os.environ, LISTEN_PID="1", LISTEN_FDS="7"))
    check_equal(code, 69, f"only the runtime is wrong: {text}")


def open_wrongly(rig):
    """What can be handed over, how it is named, and what gantryd has to say of it."""
    other = os.path.join(rig.dir, "other.sock")
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.bind(("127.0.0.1", 0))
    tcp.listen(1)
    packets = listener(os.path.join(rig.dir, "packets.sock"), socket.SOCK_SEQPACKET)
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0" + rig.dir)
    abstract.listen(1)
    bus = listener(rig.socket)
    stranger = listener(os.path.join(rig.state, "metrics.sock"))
    os.chown(os.path.join(rig.state, "metrics.sock"), 12345, -1)
    return [
        ([tempfile.TemporaryFile(dir=rig.dir)], "gantry", "is no socket"),
        ([tcp], "gantry", "is no unix socket"),
        ([packets], "gantry", "is no stream socket"),
        ([bus], "fds", "is no sequential-packet socket"),
        ([silent], "gantry", "does not listen"),
        ([abstract], "gantry", "has no path"),
        ([listener(other)], "gantry", other),
        ([bus], "web", '"web"'),
        ([bus, bus], "gantry:gantry", "another one is \"gantry\" already"),
        ([bus], "gantry:fds", "names 2 sockets"),
        ([bus] * 4, "-", "4 sockets were handed over, and gantryd takes 3"),
        ([stranger], "metrics", "belongs to user 12345"),
    ]


@once
@own_rig(runs=False)
def test_what_is_no_socket_of_gantryd_is_refused(rig):
    os.makedirs(rig.state, mode=0o700)
    for things, names, word in open_wrongly(rig):
        numbers = [t.fileno() for t in things]
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "hand_over.py"), ",".join(map(str, numbers)),
             names, *rig.command(), "--keeper-apart"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, pass_fds=set(numbers))
        check_equal(done.returncode, 78, f"exit code for {names}: {done.stderr}")
        check(word in done.stderr, f"{word!r} is said: {done.stderr}")
        check_equal(len(done.stderr.strip().splitlines()), 1, f"one line: {done.stderr}")
    for many in ("x", "-1", "99999999999"):
        code, text = rig.try_start(
            [sys.executable, os.path.join(HERE, "hand_over.py"), "", "-", *rig.command()],
            env=dict(os.environ, LISTEN_FDS=many))
        check_equal(code, 78, f"LISTEN_FDS={many}: {text}")
        check("LISTEN_FDS" in text, f"it is named: {text}")
    check(not os.path.exists(os.path.join(rig.state, "keeper.sock")), "no keeper was started")
