#!/usr/bin/python3
"""What the guest of the VM lane runs: the unit tests that a pure cgroup v2 and kernel 6.1 let
run, a walk through the whole of gantry under each runtime, and tests of the host lane.

  tests/vm/lane.py STAGE [--all] [--only PART]... [--e2e WORD]... [--crash]

STAGE holds what scripts/run-vm copied there. The last line is the verdict that it reads.
"""

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.join(os.path.dirname(HERE), "host")
sys.path[:0] = [HERE, HOST]

# Software emulation: read by the rig when it is imported, and by every program that is run here.
os.environ.setdefault("GANTRY_TEST_SLOWER", "12")

import smoke  # noqa: E402
from checks import scaled  # noqa: E402
from rig import Broken, Rig  # noqa: E402

ALL_PASSED = re.compile(r"All tests passed \(\d+ assertions? in (\d+) test cases?\)")
SOME_FAILED = re.compile(r"test cases:\s+(\d+)(?: \|\s+(\d+) passed)?(?: \|\s+(\d+) failed)?")
E2E_LINE = re.compile(r"^(\d+) passed, (\d+) failed$")
E2E_FAILED = re.compile(r"^failed: (.*)$")

RUNTIMES = ("crun", "runc")
# Test program, what it runs here. What a host of this kind lacks is skipped by the tests' own
# main. Left out: json_log and the rates of logs, which compute only, and what needs neither root
# nor this kernel.
UNITS = (
    ("io_test", ["~json_log*", "~pump: a rate is*", "~pump: over its rate*"]),
    ("runtime_test", ["[root],[cgroup2]"]),
    ("keeper_test", []),
    ("keeper_shelf_test", []),
    ("sim_test", ["both kernels: *"]),
)
UNIT_LIMIT = 300  # Seconds, as on a fast machine.
# What the host lane runs here where nothing is said: all of it once, what stands on the runtime
# also under the other one, and what a kill of gantryd comes closest to with that kill.
USUAL = (
    ("crun", ["--plain"]),
    ("crun", ["--killed", "--only", "pause", "--only", "limits_oom", "--only", "exec_end"]),
    ("runc", ["--plain", "--only", "lifecycle", "--only", "exec", "--only", "limits_oom",
              "--only", "pause", "--only", "apparmor"]),
)


def say(text):
    print(text, flush=True)


class Tally:
    def __init__(self):
        self.passed, self.failed, self.names = 0, 0, []

    def one(self, name, seconds, trouble=None):
        say(f"{'FAILED' if trouble else 'ok    '} {seconds:6.1f} s  {name}")
        if trouble:
            say("    " + trouble.rstrip().replace("\n", "\n    "))
            self.names.append(name)
        self.add(0 if trouble else 1, 1 if trouble else 0)

    def add(self, passed, failed):
        self.passed += passed
        self.failed += failed


def run_program(command, limit):
    """All a program says, passed on as it comes, and its exit code; None when it took too long."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace",
                             start_new_session=True)
    alarm = threading.Timer(scaled(limit), os.killpg, (child.pid, signal.SIGKILL))
    alarm.start()
    out = []
    for line in child.stdout:
        say(line.rstrip())
        out.append(line)
    code = child.wait()
    in_time = alarm.is_alive()
    alarm.cancel()
    return "".join(out), code if in_time else None


def run_unit(tally, stage, name, args):
    """One Catch2 program; its own count is added."""
    began = time.monotonic()
    program = os.path.join(stage, "units", name)
    if not os.path.exists(program):
        tally.one(f"unit: {name}", 0, "it was not built")
        return
    out, code = run_program([program, "-d", "yes", *args], UNIT_LIMIT)
    passed = failed = 0
    if m := ALL_PASSED.search(out):
        passed = int(m.group(1))
    elif m := SOME_FAILED.search(out):
        passed, failed = int(m.group(2) or 0), int(m.group(3) or 0)
    if code != 0 or not passed:
        failed = max(failed, 1)
    if failed:
        say("it took too long" if code is None else f"exit code {code}")
        tally.names.append(f"unit: {name}")
    say(f"{'FAILED' if failed else 'ok    '} {time.monotonic() - began:6.1f} s  unit: {name}: "
        f"{passed} passed, {failed} failed")
    tally.add(passed, failed)


def run_smoke(tally, stage, runtime):
    """The walk through the whole: steps that stand on each other, so the first failure ends it."""
    os.environ["GANTRY_TEST_RUNTIME"] = runtime
    rig = Rig(os.path.join(stage, "bin"))
    try:
        for step in (rig.start, *smoke.STEPS):
            name = f"{runtime}: {step.__name__.replace('_', ' ')}"
            began = time.monotonic()
            try:
                step() if step == rig.start else step(rig)
            except Exception as e:
                trouble = str(e) if isinstance(e, Broken) else traceback.format_exc()
                log = "\n".join(rig.daemon_log().splitlines()[-25:])
                tally.one(name, time.monotonic() - began, f"{trouble}\n-- gantryd's log --\n{log}")
                return
            tally.one(name, time.monotonic() - began)
    finally:
        rig.close()


def e2e_runs(options):
    """Which runs of the host lane, each a runtime and the arguments of e2e.py."""
    runtimes = [r for r in RUNTIMES if r in options.only]
    if not (options.all or options.e2e or options.crash or runtimes):
        return USUAL
    args = [] if options.all or options.crash else ["--plain"]
    args += [x for word in options.e2e for x in ("--only", word)]
    return [(r, args) for r in runtimes or RUNTIMES]


def run_e2e(tally, stage, runtime, args):
    """The host lane, in one way; its lines go on to the console as they come."""
    began = time.monotonic()
    say(f"{runtime}: the host lane {' '.join(args)}")
    command = [sys.executable, "-u", os.path.join(HOST, "e2e.py"), os.path.join(stage, "bin"),
               "--jobs", "2", *args]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace",
                             env=dict(os.environ, GANTRY_TEST_RUNTIME=runtime))
    verdict = None
    for line in child.stdout:
        say(line.rstrip())
        if m := E2E_FAILED.match(line):
            tally.names.append(f"{runtime}: {m.group(1)}")
        verdict = E2E_LINE.match(line) or verdict
    code = child.wait()
    if verdict is None:
        tally.one(f"{runtime}: the host lane", time.monotonic() - began,
                  f"no verdict, exit code {code}")
        return
    tally.add(int(verdict.group(1)), int(verdict.group(2)))
    say(f"{runtime}: the host lane took {time.monotonic() - began:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--e2e", action="append", default=[])
    parser.add_argument("--crash", action="store_true")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    parts = options.only or ["units", *RUNTIMES, "e2e"]
    tally = Tally()
    if "units" in parts:
        for name, args in UNITS:
            run_unit(tally, options.stage, name, args)
    for runtime in RUNTIMES:
        if runtime in parts and "e2e" not in options.only:  # There they name its runtime.
            run_smoke(tally, options.stage, runtime)
    if "e2e" in parts:
        for runtime, args in e2e_runs(options):
            run_e2e(tally, options.stage, runtime, args)
    left = [d for d in glob.glob("/sys/fs/cgroup/gantry*/**/", recursive=True)]
    tally.one("nothing of any test is left in the cgroups", 0, "\n".join(left) or None)
    for name in tally.names:
        say(f"failed: {name}")
    say(f"vm-verdict: {tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
