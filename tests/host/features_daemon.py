"""gantryd itself: its start, its end, its keeper, its journal."""

import os
import shutil
import signal
import socket
import subprocess
import sys

from marks import once, own_rig
from rig import Broken, check, check_equal, process_state, scaled, until

# What the lane asks for; runc where it asks for nothing.
RUNTIME = os.environ.get("GANTRY_TEST_RUNTIME", "runc")
HERE = os.path.dirname(os.path.abspath(__file__))


@once
def test_a_second_one_is_refused(rig):
    code, text = rig.try_start()
    check(code != 0, f"refused: {code} {text}")
    check(str(rig.alive_pid()) in text, f"the pid of the first is named: {text}")
    check("--state" in text, f"the cure is named: {text}")
    check(rig.alive_pid(), "the first lives")


@once
@own_rig()
def test_stop_leaves_the_containers_running(rig):
    rig.run("a", "sleep", "1000")
    pid = rig.init_pid("a")
    keeper = rig.daemon.pid
    rig.stop_daemon()
    check_equal(process_state(pid), "S", "the container lives")
    check_equal(process_state(keeper) in ("S", "R"), True, "its keeper waits")
    check("left running" in rig.daemon_log(), f"it says so: {rig.daemon_log()[-500:]}")
    done = rig.gantry("ps", patience=60)
    check(done.code == 125 and "gantryd" in done.err, f"nobody serves, and that is said: {done!r}")
    rig.start_again()
    check_equal(rig.init_pid("a"), pid, "the same container")
    rig.ok("rm", "-f", "a")


@once
@own_rig(extra=["--on-stop", "stop"])
def test_stop_stops_the_containers(rig):
    rig.run("a", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    pid = rig.init_pid("a")
    os.kill(rig.alive_pid(), signal.SIGTERM)
    check_equal(rig.daemon.wait(timeout=30), 0, f"exit code; {rig.daemon_log()[-500:]}")
    check_equal(process_state(pid), None, "the container has ended")
    check("stopped" in rig.daemon_log(), "it says so")
    rig.start()
    check_equal(rig.state_of("a"), "stopped", "state")
    check_equal(rig.wait_event("exit", "a")["exit_code"], 3, "its own end")


@once
@own_rig()
def test_it_goes_on_without_its_keeper(rig):
    rig.run("a", "sleep", "1000")
    gantryd = rig.alive_pid()
    os.kill(rig.daemon.pid, signal.SIGKILL)
    rig.daemon.wait()
    rig.orphan = gantryd
    until(lambda: rig.events("keeper-lost"), "it says so in an event")
    check_equal(rig.ok("--json", "info").objects()[0]["keeper_state"], "lost", "and in info")
    rig.run("b", "sh", "-c", "exit 3")
    rig.ok("kill", "a")
    for name in ("a", "b"):
        exit_event = rig.wait_event("exit", name)
        check(exit_event["status_unknown"] or exit_event["exit_code"] in (3, None),
              f"a status or none, never a wrong one: {exit_event}")
    rig.ok("rm", "a", "b")


@once
@own_rig(runs=False)
def test_it_tells_systemd(rig):
    path = os.path.join(rig.dir, "notify")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(scaled(20))
    env = dict(os.environ, NOTIFY_SOCKET=path)
    rig.daemon = subprocess.Popen(rig.command(), env=env, stdin=subprocess.DEVNULL, stdout=rig.log,
                                  stderr=rig.log, start_new_session=True)
    check("READY=1" in s.recv(4096).decode(), "ready")
    until(rig.alive_pid, "it lives")
    os.kill(rig.alive_pid(), signal.SIGTERM)
    check("STOPPING=1" in s.recv(4096).decode(), "stopping")


@once
def test_the_directories_are_private(rig):
    for path, mode in ((rig.state, 0o700), (rig.root, 0o700), (rig.socket, 0o660)):
        check_equal(os.stat(path).st_mode & 0o777, mode, f"mode of {path}")
    rig.run(rig.id("a"), "sleep", "1000")
    check_equal(os.stat(rig.show(rig.id("a"))["log_dir"]).st_mode & 0o777, 0o700, "mode of a log")


@once
def test_info_and_version(rig):
    info = rig.ok("--json", "info").objects()[0]
    check_equal(info["pid"], rig.alive_pid(), "pid")
    check_equal(info["keeper_state"], "alive", "keeper")
    for key in ("turns", "slow_turns", "fds", "fd_limit", "arena_blocks", "journal_disk_bytes",
                "log_lines_dropped", "stream_bytes_dropped"):
        check(key in info, f"{key} in info")
    check(0 < info["fds"] < info["fd_limit"] and info["turns"] > 0, f"numbers: {info}")
    driver = os.environ.get("GANTRY_TEST_CGROUP_DRIVER", "cgroupfs")
    check_equal(info["cgroup_driver"], driver, "cgroup driver")
    check(info["cgroup_parent"].startswith(rig.cgroup), f"its parent: {info['cgroup_parent']}")
    check(f"{driver}, below {info['cgroup_parent']}" in rig.ok("info").out, "the same in the text")
    for words in ("over 5 ms", f"of {info['fd_limit']}", "blocks", "on disk", "dropped"):
        check(words in rig.ok("info").out, f"{words!r} in the text")
    version = rig.ok("--json", "version").objects()[0]
    check(version["client"], f"version: {version}")
    version = version["server"]
    check(version["gantry"] and RUNTIME in version["runtime_version"], f"version: {version}")


@once
def test_descriptors_per_container(rig):
    """At most 7 per idle container here, and 3 in the keeper."""
    def fds():
        return (len(os.listdir(f"/proc/{rig.alive_pid()}/fd")),
                len(os.listdir(f"/proc/{rig.daemon.pid}/fd")))
    rig.ok("run", "--rm", "--rootfs", rig.rootfs, "--", "true")  # Opens what opens late.
    until(lambda: not rig.ok("ps", "-aq").out, "it is gone")
    before = fds()
    for i in range(5):
        rig.run(rig.id(f"a{i}"), "sleep", "1000")
    until(lambda: fds()[0] - before[0] <= 35, "at most 7 each")
    check(fds()[1] - before[1] <= 15, f"at most 3 each in the keeper: {before} {fds()}")
    for i in range(5):
        rig.ok("rm", "-f", rig.id(f"a{i}"))
    until(lambda: fds()[0] <= before[0] + 2 and fds()[1] <= before[1], f"none is lost: {before}")


@once
def test_nothing_of_ours_leaks_into_a_container(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sleep", "1000")
    for p in rig.show(a)["processes"]:
        fds = f"/proc/{p['pid']}/fd"
        links = {os.readlink(f"{fds}/{n}") for n in os.listdir(fds)}
        check(all(x.startswith("pipe:") or x == "/dev/null" for x in links), f"open files: {links}")
        with open(f"/proc/{p['pid']}/status") as f:
            status = dict(line.split(":\t", 1) for line in f if ":\t" in line)
        check_equal(int(status["SigBlk"], 16), 0, "blocked signals")
        check_equal(int(status["SigIgn"], 16), 0, "ignored signals")


@once
@own_rig()
def test_the_journal_is_read_offline(rig):
    rig.run("a", "sh", "-c", "exit 3")
    rig.ok("wait", "a")
    rig.stop_daemon()
    done = rig.ok("journal", os.path.join(rig.root, "journal"))
    check("exited" in done.out and "exit_code: 3" in done.out, f"the exit is there: {done!r}")
    done = rig.gantry("journal", "/nowhere")
    check(done.code in (1, 125) and "/nowhere" in done.err, f"refused: {done!r}")
    rig.start_again()


def with_journal(rig, spoil):
    """Makes a journal, ends everything, spoils it, and starts again."""
    for i in range(3):
        rig.run(f"a{i}", "sh", "-c", f"exit {i}")
        rig.ok("wait", f"a{i}")
    rig.stop_daemon()
    os.kill(rig.daemon.pid, signal.SIGKILL)  # With the keeper the arena goes: only the disk counts.
    rig.daemon.wait()
    directory = os.path.join(rig.root, "journal")
    files = sorted(os.path.join(directory, f) for f in os.listdir(directory))
    segment = max((f for f in files if os.path.getsize(f) > 100),
                  key=lambda f: (open(f, "rb").read().rstrip(b"\0") != b"", f))
    spoil(segment)
    return segment


@once
@own_rig()
def test_a_torn_tail_of_the_journal(rig):
    def spoil(path):
        with open(path, "rb") as f:
            data = f.read()
        end = len(data.rstrip(b"\0"))
        with open(path, "wb") as f:
            f.write(data[:end - 5])
    with_journal(rig, spoil)
    rig.start()
    check("torn tail" in rig.daemon_log(), f"it says so: {rig.daemon_log()[-800:]}")
    check_equal(rig.state_of("a0"), "stopped", "what stood before it is there")
    rig.run("b", "true")
    rig.ok("wait", "b")


@once
@own_rig(unchecked=True)
def test_a_flipped_bit_in_the_journal(rig):
    def spoil(path):
        with open(path, "r+b") as f:
            data = f.read()
            at = len(data.rstrip(b"\0")) // 2
            f.seek(at)
            f.write(bytes([data[at] ^ 0x10]))
    segment = with_journal(rig, spoil)
    try:
        rig.start()
    except Broken:
        check(os.path.basename(segment) in rig.daemon_log(),
              f"a refusal names the file: {rig.daemon_log()[-800:]}")
        check("--repair" in rig.daemon_log(), "and the cure")
        repair_and_start(rig)
    check(os.path.basename(segment) in rig.daemon_log(),
          f"the log names the file: {rig.daemon_log()[-800:]}")
    rig.run("b", "true")
    rig.ok("wait", "b")
    check(rig.events("gap"), "the loss is stated")


def repair_and_start(rig):
    done = subprocess.run([os.path.join(rig.bin_dir, "gantry"), "journal", "--repair",
                           os.path.join(rig.root, "journal")], capture_output=True, text=True)
    check_equal(done.returncode, 0, f"repair: {done.stdout} {done.stderr}")
    rig.start()


@once
@own_rig(unchecked=True)
def test_a_journal_of_a_future_version(rig):
    def spoil(path):
        with open(path, "r+b") as f:
            head = f.read(64)
            at = head.find(b"\1\0\0\0")
            f.seek(at)
            f.write(b"\x63")
    segment = with_journal(rig, spoil)
    code, text = rig.try_start()
    check(code not in (0, None), f"refused: {code} {text}")
    check(os.path.basename(segment) in text or "journal" in text, f"the file is named: {text}")
    check("version" in text or "newer" in text or "format" in text, f"the cause is named: {text}")
    rig.runs = False  # It stays down.


@once
@own_rig()
def test_a_pid_that_is_somebody_elses_now(rig):
    """The journal says pid X; X is another process by then: it is not touched."""
    rig.run("a", "sleep", "1000")
    pid = rig.init_pid("a")
    rig.stop_daemon()
    rig.close_keeper()  # The keeper goes, the container's pid becomes free.
    os.kill(pid, signal.SIGKILL)
    until(lambda: process_state(pid) in (None, "Z"), "it ends")
    taker = subprocess.Popen([sys.executable, os.path.join(HERE, "take_pid.py"), str(pid)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    rig.children.append(taker)
    check_equal(taker.stdout.readline(), b"ready\n", f"a stranger has the pid {pid}")
    rig.start()
    until(lambda: rig.state_of("a") == "stopped", "it is seen as ended")
    rig.ok("rm", "-f", "a")
    check_equal(process_state(pid), "S", "the stranger lives")
    e = rig.wait_event("exit", "a")
    check(e["status_unknown"], f"its status is unknown, and that is said: {e}")
    taker.communicate(timeout=30)
    check_equal(taker.returncode, 0, "nobody but its parent has ended the stranger")


@once
@own_rig(runs=False)
def test_options_from_a_file(rig):
    config = os.path.join(rig.dir, "gantryd.toml")
    with open(config, "w") as f:
        f.write(f'state = "{rig.state}"\nroot = "{rig.root}"\ncgroup-parent = "{rig.cgroup}"\n'
                'on-stop = "stop"\ncgroup-linger = 0.2\nruntime-deadline = 50\n')
    gantryd = os.path.join(rig.bin_dir, "gantryd")
    rig.start([gantryd, "--config", config])
    rig.run("brief", "true", options=("--rm",))
    until(lambda: not rig.cgroup_dirs(), "the namespace's cgroup goes sooner than after 5 s", 4)
    rig.run("a", "sleep", "1000")
    os.kill(rig.alive_pid(), signal.SIGTERM)
    check_equal(rig.daemon.wait(timeout=30), 0, "it stops its containers and ends")
    for key, value in (("nonsense", 1), ("metrics-containers", -1), ("max-runtime-commands", 0),
                       ("metrics-containers", '"many"'), ("read-gid", 1.5)):
        bad = os.path.join(rig.dir, "bad.toml")
        with open(bad, "w") as f:
            f.write(f"{key} = {value}\n")
        code, text = rig.try_start([gantryd, "--config", bad])
        check(code == 78 and key in text and bad in text, f"refused: {code} {text}")
    for value in ('0', '-1', '"5 s"', '1e9', 'nan'):
        with open(bad, "w") as f:
            f.write(f"cgroup-linger = {value}\n")
        code, text = rig.try_start([gantryd, "--config", bad])
        check(code == 78 and "number of seconds" in text, f"refused: {code} {text}")
    code, text = rig.try_start([gantryd, "--state", "relative"])
    check(code in (64, 78) and "relative" in text, f"refused: {code} {text}")
    shutil.rmtree(rig.state, ignore_errors=True)


@once
def test_a_runtime_that_cannot_be_executed_is_refused(rig):
    path = rig.path("no-runtime")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(path, 0o644)
    rig.ends.append(lambda: os.unlink(path))
    state = rig.path("state-of-no-runtime")
    rig.ends.append(lambda: shutil.rmtree(state, ignore_errors=True))
    code, text = rig.try_start([os.path.join(rig.bin_dir, "gantryd"), "--state", state, "--root",
                                state + "/root", "--cgroup-parent", rig.cgroup, "--runtime", path])
    check(code != 0, f"refused: {code} {text}")
    check(path in text and "not executable" in text, f"the thing and the cause: {text}")
    check("chmod +x" in text, f"the cure: {text}")
