"""What the host lane's tests say of the world, and how they wait for it.

Every deadline of a test is given for a fast machine. GANTRY_TEST_SLOWER, a number from 1 up,
multiplies them all: for sanitizers, and for a guest under software emulation.
"""

import os
import subprocess
import time

PATIENCE = 30.0  # Seconds until a wait for an event gives up.
SLOWER = max(1.0, float(os.environ.get("GANTRY_TEST_SLOWER", "1")))


def scaled(seconds):
    """What a fast machine does in so many seconds, this one does in these."""
    return seconds * SLOWER


_communicate, _wait = subprocess.Popen.communicate, subprocess.Popen.wait


def communicate(self, input=None, timeout=None):  # noqa: A002 (the name is theirs)
    # subprocess.run() comes through here, too.
    return _communicate(self, input, timeout and scaled(timeout))


def wait(self, timeout=None):
    return _wait(self, timeout and scaled(timeout))


if SLOWER > 1:
    subprocess.Popen.communicate, subprocess.Popen.wait = communicate, wait


class Skipped(Exception):
    """This host lacks what the test is about; the words say what."""


class Broken(Exception):
    """A check did not hold."""


def check(holds, what):
    if not holds:
        raise Broken(what)


def check_equal(got, wanted, what):
    if got != wanted:
        raise Broken(f"{what}: got {got!r}, wanted {wanted!r}")


def until(probe, what, patience=PATIENCE):
    """Waits for a condition, with a deadline: never for luck."""
    patience = scaled(patience)
    deadline = time.monotonic() + patience
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Broken(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(scaled(0.01))


def stamp(ns):
    """A time as gantry prints it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"


def check_stream(events, reused=()):
    """What must hold for any stream of events: exactly one exit for each (instance, run,
    process), after its start; no number twice.
    reused: (container, process) whose name a test gave to another, when the first was forgotten."""
    began, ended, gone, last = {}, {}, {}, (0, 0)
    for e in events:
        at = (e["epoch"], e["seq"])
        check(at > last, f"event {at} comes after {last}")
        last = at
        who = (e["namespace"], e["container"], e["instance"], e["run"], e["process"])
        if e["type"] in ("start", "exec-started"):
            if (e["container"], e["process"]) in reused and who in ended:
                del began[who], ended[who]
            check(who not in began, f"two starts of {who}: {began.get(who)} and {e}")
            began[who] = e
        elif e["type"] == "exit":
            check(who not in ended, f"two exits of {who}: {ended.get(who)} and {e}")
            check(who in began, f"an exit without a start: {e}")
            ended[who] = e
        elif e["type"] == "delete":
            gone[(e["namespace"], e["container"], e["instance"])] = e
    for who, e in began.items():
        check(who in ended or who[:3] not in gone, f"no exit for {e}")
