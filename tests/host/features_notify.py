"""Notify sockets: what a container says of itself, and what follows from it."""

import os
import socket
import subprocess
import time

from marks import once
from rig import check, check_equal, read_text, scaled, until

HERE = os.path.dirname(os.path.abspath(__file__))


def equip(rig):
    """A program that speaks, in the rootfs of all containers of this rig."""
    to = os.path.join(rig.rootfs, "bin", "say")
    if not os.path.exists(to):
        made = os.path.join(rig.dir, "say")
        subprocess.run(["cc", "-static", "-O1", "-o", made, os.path.join(HERE, "say.c")],
                       check=True)
        os.replace(made, to)


def start(rig, name, *options, command="sleep 1000"):
    equip(rig)
    rig.run(name, "sh", "-c", command, options=("--notify", *options))


def say(rig, name, *words):
    """By an exec, which is a process of the container as any other."""
    rig.ok("exec", name, "say", *words)


def notices(rig, name):
    return rig.show(name)["health_detail"]["notify"]


def health_of(rig, name):
    return rig.show(name)["health"]


def wait_health(rig, name, wanted):
    until(lambda: health_of(rig, name) == wanted, f"{name} is {wanted}")


def test_ready_when_it_says_so(rig):
    a = rig.id("a")
    go = os.path.join(rig.rootfs, "tmp", "go-" + a)
    start(rig, a, command=f"say STATUS=loading; while [ ! -e /tmp/go-{a} ]; do sleep 0.05; done; "
                          "say 'READY=1\\nSTATUS=serving 3'; sleep 1000")
    until(lambda: rig.show(a)["said"] == "loading", "its status is seen")
    check_equal((health_of(rig, a), rig.show(a)["ready"]), ("starting", False), "before")
    rig.crash_point()
    open(go, "w").close()
    wait_health(rig, a, "healthy")
    check(rig.show(a)["ready"], "it is ready")
    check("(healthy) serving 3" in rig.ok("ps", "--no-trunc").out, f"ps: {rig.ok('ps').out}")
    said = rig.ok("health", a).out
    check("says itself: ready, \"serving 3\"" in said, f"gantry health: {said}")
    ready = rig.events("ready", container=a)
    check_equal([e["details"] for e in ready], [{"what": "ready", "status": "serving 3"}], "told")
    change = rig.events("health", container=a)
    check_equal([(e["details"]["old"], e["details"]["new"], e["cause"]) for e in change],
                [("starting", "healthy", ready[0]["seq"])], "its cause")
    say(rig, a, "RELOADING=1")
    until(lambda: notices(rig, a)["reloading"], "it reloads")
    say(rig, a, "READY=1", "STOPPING=1")
    until(lambda: notices(rig, a)["stopping"], "it stops")
    check(not rig.show(a)["ready"], "and is not ready any more")
    check_equal([e["details"]["what"] for e in rig.events("notify", container=a)],
                ["reloading", "reloaded", "stopping"], "events")
    check_equal(len(rig.events("ready", container=a)), 1, "ready once")
    rig.ok("stop", "-t", "0", a)
    check_equal((rig.show(a)["ready"], rig.show(a)["said"]), (False, ""), "nothing is said now")


def test_what_is_said_to_nobody_waits(rig):
    a = rig.id("a")
    go = os.path.join(rig.rootfs, "tmp", "go-" + a)
    start(rig, a, command=f"while [ ! -e /tmp/go-{a} ]; do sleep 0.05; done; say READY=1 "
                          f"STATUS=1 STATUS=2 STATUS=3; touch /tmp/said-{a}; sleep 1000")
    rig.pause_keeper()  # Nobody starts another one meanwhile.
    try:
        rig.kill_daemon()
        open(go, "w").close()
        until(lambda: os.path.exists(os.path.join(rig.rootfs, "tmp", "said-" + a)), "it is said")
    finally:
        rig.resume_keeper()
    wait_health(rig, a, "healthy")
    until(lambda: notices(rig, a)["datagrams"] == 4, "none is lost")
    check_equal(rig.show(a)["said"], "3", "in order")
    rig.kill_daemon()
    check_equal((health_of(rig, a), rig.show(a)["said"], rig.show(a)["ready"]),
                ("healthy", "3", True), "kept")


def test_a_missed_watchdog_is_an_illness(rig):
    a = rig.id("a")
    period = int(scaled(2))
    fed = os.path.join(rig.rootfs, "tmp", "fed-" + a)
    open(fed, "w").close()
    start(rig, a, "--watchdog", f"{period}s", "--health-on-failure", "restart", "--restart",
          "always", "--restart-delay", "1h", "--restart-jitter", "0", "--stop-timeout", "100ms",
          command="env | grep WATCHDOG; say READY=1 STATUS=busy; "
                  f"while [ -e /tmp/fed-{a} ]; do say WATCHDOG=1; sleep 0.2; done; sleep 1000")
    wait_health(rig, a, "healthy")
    rig.crash_point()
    began = time.monotonic()
    while time.monotonic() - began < 2.5 * period:  # Longer than one watchdog could bear.
        check_equal(health_of(rig, a), "healthy", "it is fed")
        time.sleep(0.1)
    os.unlink(fed)
    rig.wait_state(a, "restarting")
    told = rig.ok("why", a).out
    for words in (f"unhealthy: it has not said WATCHDOG=1 for {period} s; its status: busy",
                  "unhealthy, so: restart", "was sent SIG", "restart scheduled in 60m00s"):
        check(words in told, f"{words!r} is missing:\n{told}")
    log = rig.ok("logs", a).out
    check(f"WATCHDOG_USEC={period * 1000000}" in log and "WATCHDOG_PID=1" in log, f"env: {log}")


def test_a_start_that_takes_too_long(rig):
    a = rig.id("a")
    start(rig, a, "--notify-timeout", "500ms", "--health-on-failure", "stop",
          "--stop-timeout", "100ms")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    change = rig.events("health", container=a)
    check_equal([e["details"]["output"] for e in change],
                ["it has not said READY=1 within 500 ms"], "why")


def test_another_one_waits_until_it_is_ready(rig):
    a, b = rig.id("a"), rig.id("b")
    go = os.path.join(rig.rootfs, "tmp", "go-" + a)
    start(rig, a, command=f"while [ ! -e /tmp/go-{a} ]; do sleep 0.05; done; say READY=1; "
                          "sleep 1000")
    rig.spawn("run", "-d", "--name", b, "--after", a + ":ready", "--rootfs", rig.rootfs, "--",
              "sleep", "1000")
    rig.wait_state(b, "waiting")
    rig.crash_point()
    open(go, "w").close()
    rig.wait_state(b, "running")
    ready = rig.events("ready", container=a)[0]
    check(rig.events("start", container=b)[0]["seq"] > ready["seq"], "and not before")


def test_a_pause_stops_the_clock(rig):
    a = rig.id("a")
    start(rig, a, "--watchdog", "1s", command="say READY=1; sleep 1000")
    until(lambda: rig.events("ready", container=a), "ready")
    rig.ok("pause", a)
    rig.crash_point()
    until(lambda: rig.state_of(a) == "paused", "paused")
    before = len(rig.events("health", container=a))
    time.sleep(2.5)  # What is to be shown is that nothing happens.
    check_equal(len(rig.events("health", container=a)), before, "no watchdog was missed")
    rig.ok("resume", a)
    wait_health(rig, a, "unhealthy")
    say(rig, a, "WATCHDOG=1")
    until(lambda: [e["details"]["new"] for e in rig.events("health", container=a)][-2:]
          == ["healthy", "unhealthy"], "it was well again, and missed it again")


def test_a_stop_is_put_off_within_the_bound(rig):
    a = rig.id("a")
    start(rig, a, "--stop-timeout", f"{int(scaled(1))}s", "--notify-extend", "6s",
          command="trap 'say STOPPING=1 EXTEND_TIMEOUT_USEC=4000000; "
                  "sleep 2.5; echo tidy; exit 0' TERM; say READY=1; "
                  "while :; do sleep 0.05; done")
    wait_health(rig, a, "healthy")
    stopping = rig.spawn("stop", a)
    until(lambda: rig.events("notify", container=a), "it says that it stops")
    rig.crash_point()
    rig.wait_state(a, "stopped")
    stopping.wait()
    check_equal(rig.show(a)["exit"]["exit_code"], 0, "it had the time that it asked for")
    check("tidy" in rig.ok("logs", a).out, "and used it")
    b = rig.id("b")
    start(rig, b, "--stop-timeout", "1s", "--notify-extend", "1s",
          command="trap 'say STOPPING=1 EXTEND_TIMEOUT_USEC=60000000' TERM; say READY=1; "
                  "while :; do sleep 0.05; done")
    wait_health(rig, b, "healthy")
    rig.ok("stop", b)
    check_equal(rig.show(b)["exit"]["signal"], 9, "not for ever")


def test_who_is_heard(rig):
    b, c = rig.id("b"), rig.id("c")
    start(rig, b, "--notify-access", "main", command="say READY=1; exec sleep 1000")
    until(lambda: notices(rig, b)["refused"] == 1, "a child is refused")
    start(rig, c, "--user", "33:33", "--read-only", command="say READY=1; sleep 1000")
    rig.crash_point()
    check_equal(health_of(rig, b), "starting", "it said nothing itself")
    wait_health(rig, c, "healthy")  # Anybody's word, and no file is written for it.
    say(rig, c, "nonsense")
    until(lambda: notices(rig, c)["ignored"] == 1, "one line was none")
    mounted = rig.gantry("exec", c, "sh", "-c", "ls -ln /run/notify; touch /run/notify/x")
    check("srw-rw-rw-" in mounted.out and "ead-only" in mounted.err, f"{mounted!r}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:  # Root, but of the host.
        stranger.sendto(b"STOPPING=1", os.path.join(
            rig.state, "notify", f"{rig.show(c)['processes'][0]['serial']:016x}", "notify.sock"))
        until(lambda: notices(rig, c)["refused"] == 1, "a stranger is refused")
    check(not notices(rig, c)["stopping"] and rig.show(c)["ready"], "and changes nothing")


def test_a_flood_with_descriptors_harms_nobody(rig):
    a, b = rig.id("a"), rig.id("b")
    start(rig, a, command="say READY=1; say -d -f 1000000 STATUS=shouting & sleep 1000")
    start(rig, b, command="say READY=1; sleep 1000")
    wait_health(rig, a, "healthy")
    wait_health(rig, b, "healthy")
    rig.crash_point()
    until(lambda: notices(rig, a)["datagrams"] > 400, "it is read all the while")
    pid = until(rig.alive_pid, "gantryd")
    before = (cpu_of(pid), notices(rig, a)["datagrams"], time.monotonic())
    say(rig, b, "STATUS=quiet")
    until(lambda: rig.show(b)["said"] == "quiet", "others are heard")
    until(lambda: time.monotonic() - before[2] > 3, "three seconds")
    taken = notices(rig, a)["datagrams"] - before[1]
    spent = time.monotonic() - before[2]
    check(taken < (spent + 1.5) * 320, f"{taken} datagrams in {spent:.1f} s")
    check(cpu_of(pid) - before[0] < 0.5 * spent, "gantryd does not drown in them")
    check(len(os.listdir(f"/proc/{pid}/fd")) < 200, "no descriptor came in")


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@once
def test_the_socket_comes_and_goes_with_the_run(rig):
    a = rig.id("a")
    start(rig, a, "--restart", "always", "--restart-delay", "100ms", "--health-on-failure",
          "restart", "--watchdog", "1s", "--stop-timeout", "100ms",
          command="say READY=1; sleep 1000")
    until(lambda: len(rig.events("ready", container=a)) >= 3, "each run says so")
    dirs = os.path.join(rig.state, "notify")
    check(len(os.listdir(dirs)) >= 1, "there is one")
    rig.remove_all()
    check_equal(os.listdir(dirs), [], "none is left")


@once
def test_bad_notify_options_are_refused(rig):
    a = rig.id("a")
    for options, words in ((("--watchdog", "5s"), "--notify"),
                           (("--notify-timeout", "5s"), "--notify"),
                           (("--notify", "--watchdog", "5 minutes"), "watchdog"),
                           (("--notify", "--watchdog", "0"), "watchdog"),
                           (("--notify", "--watchdog", "10ms"), "100ms"),
                           (("--notify", "--notify-extend", "72h"), "24h"),
                           (("--notify", "--notify-access", "exec"), "main"),
                           (("--notify", "--health-interval", "5s"), "--health-cmd")):
        done = rig.gantry("create", "--name", a, "--rootfs", rig.rootfs, *options, "true")
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
    start(rig, a, "--stop-timeout", "100ms", command="say READY=1; sleep 1000")
    wait_health(rig, a, "healthy")
    done = rig.gantry("health", "run", a)
    check(done.code != 0 and "says so at its notify socket" in done.err, f"asked: {done!r}")
    rig.ok("update", "--health-on-failure", "stop", a)
    say(rig, a, "WATCHDOG=trigger")
    rig.wait_state(a, "stopped")
