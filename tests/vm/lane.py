#!/usr/bin/python3
"""What the guest of the VM lane runs: the unit tests that a pure cgroup v2 and kernel 6.1 let
run, a walk through the whole of gantry under each runtime, and tests of the host lane.

  tests/vm/lane.py STAGE [--only PART]... [--e2e WORD]... [--crash]

STAGE holds what scripts/run-vm copied there. The last line is the verdict that it reads.
"""

import argparse
import glob
import os
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.join(os.path.dirname(HERE), "host")
sys.path[:0] = [HERE, HOST]

# Software emulation: read by the rig when it is imported, and by every program that is run here.
os.environ.setdefault("GANTRY_TEST_SLOWER", "12")

import smoke  # noqa: E402
from rig import Broken, Rig  # noqa: E402

ALL_PASSED = re.compile(r"All tests passed \(\d+ assertions? in (\d+) test cases?\)")
SOME_FAILED = re.compile(r"test cases:\s+(\d+)(?: \|\s+(\d+) passed)?(?: \|\s+(\d+) failed)?")
E2E_LINE = re.compile(r"^(\d+) passed, (\d+) failed$")
E2E_FAILED = re.compile(r"^failed: (.*)$")

# Test program, what it runs here. What a host of this kind lacks is skipped by the tests' own
# main. Left out: json_log, which computes only, and what needs neither root nor this kernel.
UNITS = (
    ("io_test", ["~json_log*"]),
    ("runtime_test", ["[root],[cgroup2]"]),
    ("keeper_test", []),
    ("keeper_shelf_test", []),
    ("sim_test", ["both kernels: *"]),
)
UNIT_LIMIT = 300  # Seconds, as on a fast machine: `checks` multiplies it.


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
    """All a program says, and its exit code; None when it took too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit, text=True,
                              errors="replace")
        return done.stdout, done.returncode
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace"), None


def run_unit(tally, stage, name, args):
    """One Catch2 program; its own count is added."""
    began = time.monotonic()
    program = os.path.join(stage, "units", name)
    if not os.path.exists(program):
        tally.one(f"unit: {name}", 0, "it was not built")
        return
    out, code = run_program([program, "-d", "yes", *args], UNIT_LIMIT)
    for line in out.splitlines():
        if line.startswith("skipped: "):
            say(line)
    passed = failed = 0
    if m := ALL_PASSED.search(out):
        passed = int(m.group(1))
    elif m := SOME_FAILED.search(out):
        passed, failed = int(m.group(2) or 0), int(m.group(3) or 0)
    if code != 0 and failed == 0:
        failed = 1
    if failed or not passed:
        said = "it took too long" if code is None else f"exit code {code}"
        say(out[-9000:])
        say(f"unit: {name}: {said}")
        tally.names.append(f"unit: {name}")
        failed = max(failed, 1)
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


def run_e2e(tally, stage, runtime, words, crash):
    """The host lane, each test once (or also with kill -9 of gantryd); its lines go on to the
    console as they come."""
    began = time.monotonic()
    command = [sys.executable, "-u", os.path.join(HOST, "e2e.py"), os.path.join(stage, "bin"),
               "--jobs", "2"]
    command += [] if crash else ["--plain"]
    command += [x for word in words for x in ("--only", word)]
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
    options = parser.parse_args()
    parts = options.only or ["units", "crun", "runc", "e2e"]
    tally = Tally()
    if "units" in parts:
        for name, args in UNITS:
            run_unit(tally, options.stage, name, args)
    for runtime in ("crun", "runc"):
        if runtime in parts and not options.e2e:  # With words they name the host lane's runtime.
            run_smoke(tally, options.stage, runtime)
    if "e2e" in parts:
        for runtime in [r for r in parts if r in ("crun", "runc")] or ["crun", "runc"]:
            run_e2e(tally, options.stage, runtime, options.e2e, options.crash)
    left = [d for d in glob.glob("/sys/fs/cgroup/gantry*/**/", recursive=True)]
    tally.one("nothing of any test is left in the cgroups", 0, "\n".join(left) or None)
    for name in tally.names:
        say(f"failed: {name}")
    say(f"vm-verdict: {tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
