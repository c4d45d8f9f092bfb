#!/usr/bin/python3
"""The host lane: what gantry can do, tried with real runc on this machine, each test twice:
plain, and with kill -9 of gantryd right after the thing under test was started.

  tests/host/e2e.py BIN_DIR [--only NAME]... [--plain | --killed] [--list] [--seed N]
                    [--jobs N]

A test is a function test_* of a features_*.py; --only takes a part of its name or its theme.
Tests of a theme share a rig (one gantryd); those marked own_rig have one to themselves.
"""

import argparse
import glob
import importlib
import os
import queue
import random
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from checks import Skipped  # noqa: E402
from rig import Broken, Rig, by_systemd, has_apparmor  # noqa: E402

LOCK = threading.Lock()


class Job:
    """Some tests on one rig, in one of the two modes."""

    def __init__(self, theme, tests, crash):
        self.theme, self.tests, self.crash = theme, tests, crash
        self.passed, self.failed = [], []

    def label(self, test):
        return f"{self.theme}: {test.__name__[5:]}" + (" (gantryd killed)" if self.crash else "")

    def say(self, test, seconds, trouble=None):
        mark = "ok    " if trouble is None else "FAILED"
        with LOCK:
            print(f"{mark} {seconds:5.1f} s  {self.label(test)}", flush=True)
            if trouble:
                print("    " + trouble.rstrip().replace("\n", "\n    "), flush=True)
        (self.passed if trouble is None else self.failed).append(self.label(test))

    def leave_out(self, test, why):
        with LOCK:
            print(f"skipped: {self.label(test)} ({why})", flush=True)

    def attempt(self, rig, test, deed):
        """Runs one step; what went wrong, with what gantryd said, or None."""
        try:
            deed()
            return None
        except Skipped:
            raise
        except Broken as e:
            text = str(e)
        except Exception:
            text = traceback.format_exc(limit=-4)
        tail = rig.daemon_log().splitlines()[-15:]
        return text + "\n-- gantryd's log --\n" + "\n".join(tail)

    def run_test(self, rig, test):
        began = time.monotonic()
        rig.prefix = test.__name__[5:].replace("_", "-")[:60] + "-"
        try:
            trouble = self.attempt(rig, test, lambda: test(rig))
        except Skipped as e:
            return self.leave_out(test, e)
        if rig.runs:
            dirt = self.attempt(rig, test, rig.check_clean)
            trouble = trouble or dirt
        self.say(test, time.monotonic() - began, trouble)

    def run(self, bin_dir):
        options = getattr(self.tests[0], "rig_options", {})
        rig = Rig(bin_dir, crash=self.crash, **options)
        began = time.monotonic()
        try:
            if rig.runs:
                trouble = self.attempt(rig, self.tests[0], rig.start)
                if trouble:
                    self.say(self.tests[0], time.monotonic() - began, trouble)
                    return
            for test in self.tests:
                self.run_test(rig, test)
            if rig.runs and not rig.unchecked:
                trouble = self.attempt(rig, self.tests[-1], rig.check_end)
                if trouble:
                    def the_promises_hold_at_the_end():
                        pass
                    the_promises_hold_at_the_end.__name__ = "test_the_promises_at_the_end"
                    self.say(the_promises_hold_at_the_end, 0, trouble)
        finally:
            rig.close()


def collect(only):
    """What is to be run, and what this host lacks something for, with that."""
    jobs, left_out = [], []
    for path in sorted(glob.glob(os.path.join(HERE, "features_*.py"))):
        theme = os.path.basename(path)[9:-3]
        module = importlib.import_module("features_" + theme)
        tests = [f for name, f in vars(module).items() if name.startswith("test_")]
        if only:
            tests = [f for f in tests
                     if any(word == theme or word in f.__name__ for word in only)]
        for there, mark, why in ((by_systemd(), "with_systemd", "systemd makes no cgroups here"),
                                 (has_apparmor(), "with_apparmor", "there is no AppArmor here")):
            lacking = [f for f in tests if not there and hasattr(f, mark)]
            left_out += [(Job(theme, [f], False), why) for f in lacking]
            tests = [f for f in tests if f not in lacking]
        shared = [f for f in tests if not hasattr(f, "rig_options")]
        for crash in (False, True):
            wanted = [f for f in shared if not (crash and getattr(f, "once", False))]
            # Two rigs for a theme in each mode: they run side by side.
            half = (len(wanted) + 1) // 2
            for part in (wanted[:half], wanted[half:]):
                if part:
                    jobs.append(Job(theme, part, crash))
            jobs += [Job(theme, [f], crash) for f in tests
                     if hasattr(f, "rig_options") and not (crash and getattr(f, "once", False))]
    return jobs, left_out


def work(jobs, bin_dir):
    while True:
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            return
        try:
            job.run(bin_dir)
        except Exception:
            job.say(job.tests[0], 0, traceback.format_exc())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--plain", action="store_true", help="without the runs that kill gantryd")
    which.add_argument("--killed", action="store_true", help="only the runs that kill gantryd")
    parser.add_argument("--seed", type=int, default=None, help="of the order")
    parser.add_argument("--jobs", type=int, default=3, help="rigs side by side")
    options = parser.parse_args()
    jobs, left_out = collect(options.only)
    if options.plain or options.killed:
        jobs = [job for job in jobs if job.crash == options.killed]
    if options.list:
        for job in jobs:
            for test in job.tests:
                print(job.label(test))
        return 0
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    random.Random(seed).shuffle(jobs)
    print(f"seed {seed}", flush=True)
    for job, why in left_out:
        job.leave_out(job.tests[0], why)
    waiting = queue.Queue()
    for job in jobs:
        waiting.put(job)
    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(waiting, options.bin_dir))
               for _ in range(options.jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    failed = [name for job in jobs for name in job.failed]
    for name in sorted(failed):
        print(f"failed: {name}")
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{sum(len(job.passed) for job in jobs)} passed, {len(failed)} failed")
    return 1 if failed or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
