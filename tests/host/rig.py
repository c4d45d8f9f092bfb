"""The rig of the host lane: a real gantryd in a directory of its own, real runc, real
containers from busybox, and the real command line. Nothing here is a mock."""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import bus
# The tests take these from here, too.
from checks import (PATIENCE, Broken, check, check_equal, check_stream,  # noqa: F401
                    scaled, stamp, until)


def make_rootfs(path):
    """A root filesystem from busybox-static."""
    for directory in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        os.makedirs(os.path.join(path, directory), exist_ok=True)
    shutil.copy("/bin/busybox", os.path.join(path, "bin/busybox"))
    listing = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True)
    for applet in listing.stdout.split():
        link = os.path.join(path, "bin", applet)
        if not os.path.lexists(link):
            os.symlink("busybox", link)
    return path


def read_text(path):
    with open(path, errors="replace") as f:
        return f.read()


def process_state(pid):
    """R, S, D, Z, T, or None when there is no such process."""
    with contextlib.suppress(OSError):
        return read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
    return None


def default_options():
    """What the lane asks for in every gantryd: GANTRY_TEST_RUNTIME names its OCI runtime."""
    runtime = os.environ.get("GANTRY_TEST_RUNTIME")
    return ["--runtime", runtime] if runtime else []


def by_systemd():
    """Whether the lane has systemd make the cgroups: GANTRY_TEST_CGROUP_DRIVER."""
    return os.environ.get("GANTRY_TEST_CGROUP_DRIVER") == "systemd"


def has_apparmor():
    """Whether profiles can be loaded here."""
    with contextlib.suppress(OSError):
        return (read_text("/sys/module/apparmor/parameters/enabled").startswith("Y")
                and os.path.exists("/sys/kernel/security/apparmor/profiles")
                and shutil.which("apparmor_parser") is not None)
    return False


class Answer:
    """What one call of the command line gave back."""

    def __init__(self, args, code, raw, err):
        self.args, self.code, self.raw = args, code, raw
        self.out, self.err = raw.decode(errors="replace"), err.decode(errors="replace")

    def lines(self):
        return self.out.splitlines()

    def objects(self):
        return [json.loads(line) for line in self.lines() if line]

    def __repr__(self):
        return (f"gantry {' '.join(self.args)} -> {self.code}\nstdout: {self.out[-1500:]}\n"
                f"stderr: {self.err[-1500:]}")


class Rig:
    """One supervisor with everything that is its own."""

    def __init__(self, bin_dir, crash=False, extra=(), wrapper=(), root=None, runs=True,
                 unchecked=False, linger=0.5):
        self.bin_dir = os.path.abspath(bin_dir)
        self.crash = crash  # Whether `crash_point` kills gantryd.
        self.crashes = 0
        self.runs = runs  # False: the test starts the daemon itself, in its own way.
        self.unchecked = unchecked  # True: its stream of events is broken on purpose.
        # Seconds that a namespace's cgroup outlives its containers; None: gantryd's own.
        self.linger = [] if linger is None else ["--cgroup-linger", str(linger)]
        self.dir = tempfile.mkdtemp(prefix="gantry-e2e-", dir="/run")
        self.state = os.path.join(self.dir, "state")
        self.root = root or os.path.join(self.dir, "root")
        self.socket = os.path.join(self.state, "gantry.sock")
        self.cgroup = "gantry-e2e-" + os.path.basename(self.dir)[-8:]
        self.driver = ["--cgroup-driver", "systemd"] if by_systemd() else []
        self.rootfs = make_rootfs(os.path.join(self.dir, "rootfs"))
        self.log = open(os.path.join(self.dir, "gantryd.log"), "ab")
        self.extra, self.wrapper = [*default_options(), *extra], list(wrapper)
        self.daemon = None
        self.proxies = []  # Later gantryds, which the first one's keeper runs.
        self.orphan = 0    # A gantryd whose keeper was killed.
        self.children = []
        self.prefix = ""  # In front of the ids of the test that runs now.
        self.channel = None
        self.known_dirt = set()
        self.reused = set()  # Names of execs that a test used again: see `check_stream`.
        self.ends = []  # What a test wants undone at the end.

    def id(self, name):
        """An id that no other test of this rig uses."""
        return self.prefix + name

    def path(self, name):
        """A path of this rig that no other test uses."""
        return os.path.join(self.dir, self.prefix + name)

    # -- the daemon --------------------------------------------------------------------

    def use_runtime(self, runtime):
        """gantryd is started with this one from now on, whatever the lane asks for."""
        self.extra = [x for x in self.extra if x not in default_options()] + ["--runtime", runtime]

    def command(self):
        return [*self.wrapper, os.path.join(self.bin_dir, "gantryd"), "--state", self.state,
                "--root", self.root, "--cgroup-parent",
                self.cgroup + (".slice" if self.driver else ""), *self.driver,
                *self.linger, *self.extra]

    def keeper_command(self):
        """gantryd under a keeper without pauses between two starts: many kills cost no time."""
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        return [os.path.join(self.bin_dir, "gantry-keeper"), "--back-off", "0", "--control",
                os.path.join(self.state, "keeper.sock"), "--", *self.command()]

    def start(self, command=None):
        self.daemon = subprocess.Popen(command or self.keeper_command(), stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log, start_new_session=True)
        until(lambda: self.daemon.poll() is not None or self.answers(), "gantryd answers")
        check(self.daemon.poll() is None, f"gantryd ended at once:\n{self.daemon_log()}")
        return self

    def try_start(self, command=None, patience=PATIENCE, env=None):
        """A start that should be refused: its exit code and all it says."""
        done = subprocess.run(command or self.command(), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=patience, env=env)
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def answers(self):
        return os.path.exists(self.socket) and self.gantry("ps", patience=5).code == 0

    def daemon_log(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def pid(self):
        """gantryd's own pid (the process that was started is its keeper)."""
        with open(os.path.join(self.state, "gantryd.lock")) as f:
            return int(f.read() or 0)

    def alive_pid(self):
        """The pid of the gantryd that lives now, or 0 between two."""
        if self.orphan:
            return self.orphan if process_state(self.orphan) not in ("Z", None) else 0
        with contextlib.suppress(OSError, ValueError):
            pid = self.pid()
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            if fields[0] not in "ZX" and int(fields[1]) == self.daemon.pid:
                return pid
        return 0

    def kill_daemon(self):
        """kill -9 of gantryd; the keeper starts another."""
        before = until(self.alive_pid, "a gantryd that lives")
        os.kill(before, signal.SIGKILL)
        self.crashes += 1
        return before

    def pause_keeper(self):
        """Nobody starts a gantryd now, and nobody reaps."""
        os.kill(self.daemon.pid, signal.SIGSTOP)
        self.ends.append(self.resume_keeper)

    def resume_keeper(self):
        os.kill(self.daemon.pid, signal.SIGCONT)

    def crash_point(self):
        """Where the second run of each test kills gantryd."""
        if self.crash:
            self.kill_daemon()

    def stop_daemon(self, sig=signal.SIGTERM):
        """An orderly end of gantryd; what it ended with."""
        os.kill(self.alive_pid(), sig)
        return until(lambda: not self.alive_pid(), "gantryd ends")

    def start_again(self):
        """A new gantryd after an orderly end: the keeper that waits runs it."""
        proxy = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                 stderr=self.log, start_new_session=True)
        self.proxies.append(proxy)
        until(lambda: proxy.poll() is not None or (self.alive_pid() and self.answers()),
              "gantryd answers again")
        check(proxy.poll() is None, f"gantryd ended at once:\n{self.daemon_log()}")

    def close_keeper(self):
        """Ends a keeper that waits, and all that it holds with it."""
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()

    # -- the command line ----------------------------------------------------------------

    def environment(self):
        env = dict(os.environ)
        env["GANTRY_SOCKET"] = self.socket
        return env

    def gantry(self, *args, patience=PATIENCE, stdin=None):
        done = subprocess.run([os.path.join(self.bin_dir, "gantry"), *args], input=stdin,
                              stdin=subprocess.DEVNULL if stdin is None else None,
                              capture_output=True, env=self.environment(), timeout=patience)
        return Answer(args, done.returncode, done.stdout, done.stderr)

    def ok(self, *args, **kwargs):
        answer = self.gantry(*args, **kwargs)
        check(answer.code == 0, f"should have worked: {answer!r}")
        return answer

    def spawn(self, *args):
        """A command line that goes on in the background."""
        child = subprocess.Popen([os.path.join(self.bin_dir, "gantry"), *args],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.environment())
        self.children.append(child)
        return child

    def run(self, name, *command, options=()):
        """A container in the background."""
        return self.ok("run", "-d", "--name", name, *options, "--rootfs", self.rootfs, "--",
                       *command)

    def events(self, *types, container=None, process=None):
        found = self.ok("--json", "events", "-A", "--since", "0").objects()
        return [e for e in found if (not types or e["type"] in types)
                and (container is None or e.get("container") == container)
                and (process is None or e.get("process") == process)]

    def wait_event(self, kind, container, patience=PATIENCE, process=None):
        return until(lambda: self.events(kind, container=container, process=process),
                     f"event {kind} of {container}", patience)[0]

    def show(self, name):
        return self.ok("--json", "inspect", name).objects()[0]

    def state_of(self, name):
        for c in self.ok("--json", "ps", "-a").objects():
            if c["id"] == name:
                return c["state"].lower()
        return None

    def wait_state(self, name, state):
        until(lambda: self.state_of(name) == state, f"{name} is {state}")

    def init_pid(self, name):
        return self.show(name)["pid"]

    def cgroup_file(self, name, controller, file):
        """A cgroup file of a container: the one of v1 or of v2."""
        path = self.show(name)["cgroup"]
        for base in (f"/sys/fs/cgroup/{controller}", "/sys/fs/cgroup"):
            at = f"{base}{path}/{file}"
            if os.path.exists(at):
                return at
        return None

    def bus(self):
        """The same bus by python3-grpcio."""
        if self.channel is None:
            self.channel = bus.connect(self.socket)
        return bus.Stubs(self.channel)

    def cgroup_dirs(self):
        """Every cgroup directory of this rig, in whatever hierarchy."""
        if by_systemd():
            return glob.glob(f"/sys/fs/cgroup/*/*/{self.cgroup}.slice/**/", recursive=True)
        found = glob.glob(f"/sys/fs/cgroup/{self.cgroup}/**/", recursive=True)
        return found + glob.glob(f"/sys/fs/cgroup/*/{self.cgroup}/**/", recursive=True)

    def stop_slice(self):
        """The slice that systemd made on the way goes, if nobody lives there."""
        if not glob.glob(f"/sys/fs/cgroup/*/*/{self.cgroup}.slice/*/"):
            subprocess.run(["systemctl", "stop", self.cgroup + ".slice"], check=False)

    # -- the end ---------------------------------------------------------------------------

    def leftovers(self):
        """What should not be there once every container was removed."""
        left = []
        for directory in ("bundles", "runtime", "notify"):
            left += glob.glob(os.path.join(self.state, directory, "*"))
        for directory in ("logs", "checkpoints"):
            left += glob.glob(os.path.join(self.root, directory, "*"))
        left += [d for d in self.cgroup_dirs()
                 if len(d.partition(self.cgroup)[2].strip("/").split("/")) > 1]
        left += [line for line in read_text("/proc/self/mounts").splitlines()
                 if self.dir in line and self.root not in line]
        return left

    def remove_all(self):
        for c in self.ok("--json", "ps", "-a", "-A").objects():
            done = self.gantry("--namespace", c["namespace"], "rm", "-f", c["id"])
            check(done.code == 0 or "no such container" in done.err, f"cannot be removed: {done!r}")

    def check_clean(self):
        """After a test: every container can be removed, and nothing of it stays."""
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate()
        self.children.clear()
        self.remove_all()

        def left():
            return [x for x in self.leftovers() if x not in self.known_dirt]
        try:
            until(lambda: not left(), "nothing is left behind", 12)
        except Broken as e:
            dirt = left()
            self.known_dirt |= set(dirt)  # Each test answers for its own.
            raise Broken(f"{e}: {dirt[:5]}") from None

    def check_end(self):
        """At the end of a rig: the promises, over all that has happened in it."""
        if by_systemd():
            self.stop_slice()
        until(lambda: not self.cgroup_dirs(), "the cgroup directories of namespaces are gone", 30)
        log = self.daemon_log()
        for line in log.splitlines():
            check("a check failed" not in line and "SIGABRT" not in line, f"gantryd said: {line}")
        events = self.events()
        check_stream(events, self.reused)
        starts = [e for e in events if e["type"] == "supervisor-started"]
        crashed = [e for e in starts if e["details"].get("cause") == "crash"]
        for e in crashed:
            check_equal(e["details"].get("previous_signal"), "9", "the signal of a crash")
        check(len(crashed) <= self.crashes,
              f"gantryd died {len(crashed)} times, {self.crashes} of them by us")

    def close(self):
        for f in reversed(self.ends):
            with contextlib.suppress(Exception):
                f()
        if self.channel is not None:
            self.channel.close()
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.communicate()
        if self.daemon and (self.daemon.poll() is None or self.orphan):
            with contextlib.suppress(Exception):
                self.remove_all()
            for pid in (self.alive_pid(), self.daemon.pid):
                with contextlib.suppress(OSError):
                    if pid:
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.killpg(self.daemon.pid, signal.SIGKILL)
            self.daemon.wait()
        for proxy in self.proxies:
            if proxy.poll() is None:
                proxy.kill()
            proxy.wait()
        self.clear_cgroups()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def clear_cgroups(self):
        for _ in range(250):
            directories = self.cgroup_dirs()
            if not directories:
                break
            for directory in sorted(directories, key=len, reverse=True):
                with contextlib.suppress(OSError):
                    for pid in read_text(os.path.join(directory, "cgroup.procs")).split():
                        os.kill(int(pid), signal.SIGKILL)
                    frozen = os.path.join(directory, "freezer.state")
                    if os.path.exists(frozen):
                        with open(frozen, "w") as f:
                            f.write("THAWED")
                    os.rmdir(directory)
            time.sleep(0.02)
        if by_systemd():
            self.stop_slice()
