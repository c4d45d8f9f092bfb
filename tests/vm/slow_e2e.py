"""Tests of the host lane on the slow rig."""

import time

import slow
import e2e


class Job(e2e.Job):
    """Stops at the end of the time that a runtime has: what did not run is said."""
    deadline = 0.0

    def run_test(self, rig, test):
        if time.monotonic() > Job.deadline:
            print(f"skipped: {self.label(test)}: the lane's time is over", flush=True)
            return
        super().run_test(rig, test)


def run(bin_dir, runtime, words, seconds=420):
    """The tests with one of these words in their names, without the runs that kill gantryd;
    the names of those that passed and of those that failed."""
    slow.SlowRig.runtime = runtime
    e2e.Rig, e2e.Job = slow.SlowRig, Job
    Job.deadline = time.monotonic() + seconds
    jobs = [job for job in e2e.collect(words) if not job.crash]
    for job in jobs:
        job.theme = f"{runtime} {job.theme}"
        job.run(bin_dir)
    return [n for j in jobs for n in j.passed], [n for j in jobs for n in j.failed]
