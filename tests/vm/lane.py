#!/usr/bin/python3
"""What the guest of the VM lane runs: the unit tests that a pure cgroup v2 and kernel 6.1 let
run, a walk through the whole of gantry under each runtime, and tests of the host lane.

  tests/vm/lane.py STAGE [--only PART]... [--e2e WORD]...

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

import slow

ALL_PASSED = re.compile(r"All tests passed \(\d+ assertions? in (\d+) test cases?\)")
SOME_FAILED = re.compile(r"test cases:\s+(\d+)(?: \|\s+(\d+) passed)?(?: \|\s+(\d+) failed)?")
E2E_LINE = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)

# Test program, what it runs here, seconds. What a host of this kind lacks is skipped by the
# tests' own main. Left out: what measures, needs cgroup v1, computes only (json_log), or
# gives a command 0.3 to 1 s on purpose, which emulation does not keep.
UNITS = (
    ("io_test", ["~json_log*"], 400),
    ("runtime_test", ['[root]~[cgroup1]~"*under a millisecond*"~"*only by force"'
                      '~"a create over its deadline*"'], 400),
    ("keeper_test", [], 200),
)

# Of the host lane, without kill -9: enough of each theme for about six minutes a runtime.
E2E = ("exit_codes", "create_start_wait_remove", "started_again", "not_found_is_127",
       "pause_and_resume", "stop_while_paused", "kill_while_paused", "rm_force_while_paused",
       "pause_during_exec", "exit_between_create", "signals_by_name", "kill_all")


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


def run_unit(tally, stage, name, args, limit):
    """One Catch2 program; its own count is added."""
    began = time.monotonic()
    program = os.path.join(stage, "units", name)
    if not os.path.exists(program):
        tally.one(f"unit: {name}", 0, "it was not built")
        return
    out, code = run_program([program, "-d", "yes", *args], limit)
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
    import smoke
    with slow.rig(os.path.join(stage, "bin"), runtime) as rig:
        for step in (rig.start, *smoke.STEPS):
            name = f"{runtime}: {step.__name__.replace('_', ' ')}"
            began = time.monotonic()
            try:
                step() if step == rig.start else step(rig)
            except Exception as e:
                trouble = str(e) if isinstance(e, slow.Broken) else traceback.format_exc()
                log = "\n".join(rig.daemon_log().splitlines()[-25:])
                tally.one(name, time.monotonic() - began, f"{trouble}\n-- gantryd's log --\n{log}")
                return
            tally.one(name, time.monotonic() - began)


def run_e2e(tally, stage, runtime, words):
    """Tests of the host lane in a process of their own, on the slow rig."""
    import slow_e2e
    began = time.monotonic()
    passed, failed = slow_e2e.run(os.path.join(stage, "bin"), runtime, words)
    tally.add(len(passed), len(failed))
    tally.names += [f"{runtime}: {name}" for name in failed]
    say(f"{runtime}: tests of the host lane took {time.monotonic() - began:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--e2e", action="append", default=[])
    options = parser.parse_args()
    parts = options.only or ["units", "crun", "runc", "e2e"]
    tally = Tally()
    if "units" in parts:
        for name, args, limit in UNITS:
            run_unit(tally, options.stage, name, args, limit)
    for runtime in ("crun", "runc"):
        if runtime in parts:
            run_smoke(tally, options.stage, runtime)
    if "e2e" in parts:
        words = [] if "all" in options.e2e else options.e2e or list(E2E)
        for runtime in [r for r in parts if r in ("crun", "runc")] or ["crun", "runc"]:
            run_e2e(tally, options.stage, runtime, words)
    left = [d for d in glob.glob("/sys/fs/cgroup/gantry*/**/", recursive=True)]
    tally.one("nothing of any test is left in the cgroups", 0, "\n".join(left) or None)
    for name in tally.names:
        say(f"failed: {name}")
    say(f"vm-verdict: {tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
