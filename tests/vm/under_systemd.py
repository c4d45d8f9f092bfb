#!/usr/bin/python3
"""The guest with systemd as init: the Debian package, the service, and the end of the host.

  tests/vm/under_systemd.py STAGE [WORD]...

With words, of the steps behind the first two only those with one of them in their names.
The last checks are made while the host goes down, by a script that systemd-shutdown runs when
every service has ended: it gives the verdict.
"""

import contextlib
import glob
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "host"))
os.environ.setdefault("GANTRY_TEST_SLOWER", "12")

from checks import Broken, check, check_equal, scaled, until  # noqa: E402

ROOTFS = "/var/tmp/rootfs"
# Without the triggers of other packages: that of man-db takes minutes here.
DPKG = ("dpkg", "--no-triggers")
HOOK = "/usr/lib/systemd/system-shutdown/gantry-lane"
COUNT = "trap 'exit 3' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done"


def run(*command, codes=(0,)):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60)
    check(done.returncode in codes, f"{shlex.join(command)} -> {done.returncode}\n{done.stdout}")
    return done.stdout


def service(name):
    return run("systemctl", "show", "--value", "-p", name, "gantry.service").strip()


def gantryd():
    with open("/run/gantry/gantryd.lock") as f:
        return int(f.read())


def keeper():
    with open(f"/proc/{gantryd()}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[1])


def container(name="count"):
    return json.loads(run("gantry", "--json", "inspect", name))


def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup") as f:
        return f.read().strip()


def answers():
    return subprocess.run(["gantry", "ps"], capture_output=True).returncode == 0


def numbers():
    return run("gantry", "logs", "count").split()


def goes_on(pid):
    """The container is the one it was, its log grows, and no number is missing."""
    check_equal(container()["pid"], pid, "the container's pid")
    seen = len(numbers())
    until(lambda: len(numbers()) > seen + 2, "its log goes on")
    got = numbers()
    check_equal(got, [str(i + 1) for i in range(len(got))], "every number, once and in order")


def the_package_installs_and_the_service_starts(stage):
    run(*DPKG, "-i", sorted(glob.glob(f"{stage}/deb/gantry_*.deb"))[0])
    until(lambda: service("ActiveState") == "active", "the service is active")
    check_equal(service("SubState"), "running", "sub-state")
    check(answers(), "gantryd answers")
    check("enabled" in run("systemctl", "is-enabled", "gantry.service"), "it is enabled")


def its_cgroup_is_a_leaf(_):
    run("gantry", "run", "-d", "--name", "count", "-m", "64m", "--rootfs", ROOTFS, "--", "sh",
        "-c", COUNT)
    for pid in (int(service("MainPID")), gantryd(), keeper()):
        check_equal(cgroup_of(pid), "0::/system.slice/gantry.service", f"cgroup of {pid}")
    check_equal(os.path.dirname(cgroup_of(container()["pid"])), "0::/gantry/default",
                "the container's")
    with open("/sys/fs/cgroup" + container()["cgroup"] + "/memory.max") as f:
        check_equal(f.read().strip(), str(64 << 20), "its memory.max")
    check_equal(service("TasksMax"), "infinity", "TasksMax")
    check_equal(service("Delegate"), "yes", "Delegate")


def a_restart_of_the_service(_):
    pid, before, held = container()["pid"], gantryd(), keeper()
    run("systemctl", "restart", "gantry.service")
    check(gantryd() != before, "another gantryd")
    check_equal(keeper(), held, "the same keeper")
    goes_on(pid)


def a_stop_and_a_start(_):
    pid = container()["pid"]
    run("systemctl", "stop", "gantry.service")
    check(os.path.exists(f"/proc/{pid}"), "the container goes on")
    check(not answers(), "nobody serves")
    run("systemctl", "start", "gantry.service")
    goes_on(pid)


def daemon_reload_takes_no_controller_away(_):
    run("systemctl", "daemon-reload")
    with open("/sys/fs/cgroup" + container()["cgroup"] + "/memory.max") as f:
        check_equal(f.read().strip(), str(64 << 20), "memory.max")


def an_upgrade(stage):
    pid, before = container()["pid"], gantryd()
    run(*DPKG, "-i", sorted(glob.glob(f"{stage}/deb/gantry_*.deb"))[1])
    check(gantryd() != before, "another gantryd")
    goes_on(pid)


def the_main_process_is_killed(_):
    pid, before = container()["pid"], gantryd()
    main = service("MainPID")
    run("kill", "-9", main)
    until(lambda: service("MainPID") not in ("0", main) and service("SubState") == "running",
          "systemd starts another")
    check_equal(gantryd(), before, "the same gantryd")
    goes_on(pid)


def gantryd_is_killed(_):
    pid, before, main = container()["pid"], gantryd(), service("MainPID")
    run("kill", "-9", str(before))
    until(lambda: gantryd() != before and answers(), "its keeper starts another")
    check_equal(service("MainPID"), main, "systemd has nothing to do")
    goes_on(pid)


def a_gantryd_that_hangs(_):
    os.makedirs("/run/systemd/system/gantry.service.d", exist_ok=True)
    with open("/run/systemd/system/gantry.service.d/lane.conf", "w") as f:
        f.write(f"[Service]\nWatchdogSec={scaled(2):.0f}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "gantry.service")
    time.sleep(scaled(3))  # Longer than the watchdog's time: it is fed.
    check_equal(service("NRestarts"), "0", "restarts of a gantryd that is well")
    pid, before = container()["pid"], gantryd()
    run("kill", "-STOP", str(before))
    until(lambda: gantryd() != before and answers(), "the watchdog has it started again")
    goes_on(pid)


def connects(stop, refused):
    """Connects to the bus again and again; who is not let in is noted."""
    while not stop.wait(0.01):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect("/run/gantry/gantry.sock")
            except OSError as e:
                refused.append(str(e))


def test_its_socket_starts_it(_):
    pid = container()["pid"]
    check("disabled" in run("systemctl", "is-enabled", "gantry.socket", codes=(0, 1)), "it is off")
    run("systemctl", "stop", "gantry.service")
    run("systemctl", "start", "gantry.socket")
    check_equal(service("ActiveState"), "inactive", "the service before somebody connects")
    inode = os.stat("/run/gantry/gantry.sock").st_ino
    check(answers(), "who connects is answered")
    check_equal(service("ActiveState"), "active", "the service behind that")
    check_equal(container()["pid"], pid, "the container's pid")
    stop, refused = threading.Event(), []
    busy = threading.Thread(target=connects, args=(stop, refused))
    busy.start()
    try:
        before = gantryd()
        run("systemctl", "restart", "gantry.service")
        check(gantryd() != before, "another gantryd")
        before = gantryd()
        run("kill", "-9", str(before))
        until(lambda: gantryd() != before and answers(), "its keeper starts another")
    finally:
        stop.set()
        busy.join()
    check_equal(refused, [], "connections that a restart and a crash refused")
    check_equal(os.stat("/run/gantry/gantry.sock").st_ino, inode, "the socket's file")
    goes_on(pid)
    # And back: the next start makes a socket of its own, at the same place.
    run("systemctl", "stop", "gantry.socket", "gantry.service")
    check(os.path.exists("/run/gantry/gantry.sock"), "nobody has removed it")
    run("systemctl", "start", "gantry.service")
    check(os.stat("/run/gantry/gantry.sock").st_ino != inode, "it is gantryd's own")
    goes_on(pid)


def the_package_goes_and_comes_back(stage):
    pid = container()["pid"]
    run(*DPKG, "--remove", "gantry")
    check(not os.path.exists(f"/proc/{pid}"), "the container has ended with the package")
    until(lambda: not os.path.exists("/run/gantry/keeper.sock"), "the keeper has ended")
    run(*DPKG, "-i", sorted(glob.glob(f"{stage}/deb/gantry_*.deb"))[1])
    until(answers, "gantryd answers")
    exits = [json.loads(line) for line in
             run("gantry", "--json", "events", "-A", "--since", "0").splitlines()]
    exits = [e for e in exits if e["type"] == "exit" and e["container"] == "count"]
    check_equal([e["exit_code"] for e in exits], [3], "it was asked, and ended by itself")
    run("gantry", "rm", "count")


# What the host lane runs with scopes of systemd: what stands on a cgroup.
DRIVER_RUNS = (
    ("crun", ["--only", "cgroup_driver", "--only", "limits_oom"]),
    ("crun", ["--plain", "--only", "exec_end", "--only", "pause"]),
    ("runc", ["--only", "cgroup_driver"]),
    ("runc", ["--plain", "--only", "checkpoint"]),
)


def host_lane(stage, runtime, words):
    """Tests of tests/host with the systemd driver, plain and with kill -9 of gantryd."""
    done = subprocess.run(
        [sys.executable, "-u", f"{stage}/tests/host/e2e.py", f"{stage}/bin", "--jobs", "2",
         *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=scaled(120),
        env=dict(os.environ, GANTRY_TEST_RUNTIME=runtime, GANTRY_TEST_CGROUP_DRIVER="systemd"))
    print(f"{runtime}: the host lane with the systemd driver\n{done.stdout}", flush=True)
    check(done.returncode == 0, f"the host lane under {runtime} with the systemd driver failed")


def its_scopes(stage):
    for runtime, words in DRIVER_RUNS:
        host_lane(stage, runtime, words)


STEPS = (the_package_installs_and_the_service_starts, its_cgroup_is_a_leaf,
         a_restart_of_the_service, a_stop_and_a_start, daemon_reload_takes_no_controller_away,
         an_upgrade, the_main_process_is_killed, gantryd_is_killed, test_its_socket_starts_it,
         a_gantryd_that_hangs,
         the_package_goes_and_comes_back, its_scopes)

LAST_WORDS = r"""#!/bin/sh
# When every service has ended: did the container get its signal and its grace?
log=$(cat /var/lib/gantry/logs/*/log* 2>/dev/null)
journal=$(/usr/bin/gantry journal /var/lib/gantry/journal 2>&1)
good=0 bad=0
verdict() { # NAME CONDITION
  if eval "$2"; then
    good=$((good + 1)) && echo "ok     $1"
  else
    bad=$((bad + 1)) && echo "FAILED $1"
  fi
}
{
  verdict "the host goes down: the container got its signal" \
    'case $log in *"asked to end"*) true ;; *) false ;; esac'
  verdict "the host goes down: it had its grace" \
    'case $log in *"has tidied up"*) true ;; *) false ;; esac'
  verdict "the host goes down: its exit is in the journal" \
    'case $journal in *"exit_code: 7"*) true ;; *) false ;; esac'
  verdict "the host goes down: one in a scope of systemd got its own signal, and its grace" \
    'case $log in *"scope asked"*"scope has tidied up"*) true ;; *) false ;; esac'
  verdict "the host goes down: … and no other signal" \
    'case $log in *"scope: not mine"*) false ;; *) true ;; esac'
  [ "$bad" = 0 ] || printf '%s\n%s\n' "$log" "$journal" | tail -n 60
  echo "vm-verdict: $((PASSED + good)) passed, $((FAILED + bad)) failed"
} >/dev/console 2>&1
"""

POLITE = "trap 'echo asked to end; sleep 4; echo has tidied up; exit 7' TERM; echo ready; " \
         "while :; do sleep 0.2; done"


SCOPED = "trap 'echo scope: not mine' TERM; " \
         "trap 'echo scope asked; sleep 4; echo scope has tidied up; exit 8' USR1; " \
         "echo ready; while :; do sleep 0.2; done"


def use_scopes():
    """From now on systemd makes the cgroups; what runs stays where it is."""
    with open("/etc/gantry/gantryd.toml", "a") as f:
        f.write('cgroup-driver = "systemd"\n')
    run("systemctl", "restart", "gantry.service")
    until(answers, "gantryd answers")
    run("gantry", "run", "-d", "--name", "scoped", "--stop-timeout", "120s", "--stop-signal",
        "USR1", "--rootfs", ROOTFS, "--", "sh", "-c", SCOPED)
    until(lambda: "ready" in run("gantry", "logs", "scoped"), "it is ready")
    check("gantry-default.scoped.scope" in container("scoped")["cgroup"], "it is in a scope")


def down(passed, failed):
    """The host goes down under a container that wants some time."""
    run("gantry", "run", "-d", "--name", "polite", "--stop-timeout", "120s", "--rootfs", ROOTFS,
        "--", "sh", "-c", POLITE)
    until(lambda: "ready" in run("gantry", "logs", "polite"), "it is ready")
    use_scopes()
    os.makedirs(os.path.dirname(HOOK), exist_ok=True)
    with open(HOOK, "w") as f:
        f.write(LAST_WORDS.replace("PASSED", str(passed)).replace("FAILED + bad",
                                                                  f"{failed} + bad"))
    os.chmod(HOOK, 0o755)
    run("systemctl", "--no-block", "reboot")


def main():
    stage = sys.argv[1]
    from rig import make_rootfs
    make_rootfs(ROOTFS)
    with contextlib.suppress(FileNotFoundError):  # A container's image forbids to start services.
        os.unlink("/usr/sbin/policy-rc.d")
    passed = failed = 0
    wanted = [s for s in STEPS if s in STEPS[:2] or not sys.argv[2:]
              or any(word in s.__name__ for word in sys.argv[2:])]
    for step in wanted:
        words = step.__name__.removeprefix("test_").replace("_", " ")
        name, began = f"systemd: {words}", time.monotonic()
        try:
            step(stage)
            passed += 1
            print(f"ok     {time.monotonic() - began:6.1f} s  {name}", flush=True)
        except Exception as e:
            failed += 1
            text = str(e) if isinstance(e, Broken) else traceback.format_exc()
            log = run("journalctl", "-b", "--no-pager", "-n", "40", codes=(0, 1))
            print(f"FAILED {time.monotonic() - began:6.1f} s  {name}\n{text}\n{log}", flush=True)
            break
    try:
        down(passed, failed)
    except Exception:
        print(f"{traceback.format_exc()}\nvm-verdict: {passed} passed, {failed + 1} failed",
              flush=True)
        os.execv("/bin/busybox", ["busybox", "poweroff", "-f"])


if __name__ == "__main__":
    main()
