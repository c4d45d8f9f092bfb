"""Dependencies: a start that waits until others are started, ready, healthy, or done."""

import os
import shutil
import signal

import features_notify
from checks import scaled
from marks import once, own_rig
from rig import check, check_equal, process_state, until

QUICK = ("--health-interval", "200ms", "--health-timeout", "5s", "--health-retries", "1")


def switch(rig, name, on):
    """What these tests wait for is a file in the (shared, read-write) rootfs."""
    path = os.path.join(rig.rootfs, "tmp", "ok-" + name)
    if on:
        open(path, "w").close()
    elif os.path.exists(path):
        os.unlink(path)


def run_probed(rig, name, *options):
    rig.run(name, "sleep", "1000",
            options=("--health-cmd", f"test -e /tmp/ok-{name}", *QUICK, *options))


def start_after(rig, name, *conditions, options=(), command=("sleep", "1000")):
    """`run -d` in the background: it answers when the container runs."""
    after = [word for c in conditions for word in ("--after", c)]
    return rig.spawn("run", "-d", "--name", name, *after, *options, "--rootfs", rig.rootfs, "--",
                     *command)


def ended(child):
    """Exit code and words of a command line that was spawned."""
    out, err = child.communicate(timeout=scaled(60))
    return child.returncode, (out + err).decode(errors="replace")


def seqs(rig, kind, name):
    return [e["seq"] for e in rig.events(kind, container=name)]


def test_it_waits_until_another_is_healthy_and_says_so(rig):
    db, web = rig.id("db"), rig.id("web")
    switch(rig, db, False)
    run_probed(rig, db)
    child = start_after(rig, web, f"{db}:healthy")
    rig.wait_state(web, "waiting")
    rig.crash_point()
    check_equal(rig.state_of(web), "waiting", "it waits on")
    check(f"Waiting for {db}:healthy (" in rig.ok("ps", "--no-trunc").out, "ps says for what")
    waiting = rig.show(web)["waiting"]
    check_equal([u["condition"] for u in waiting["unmet"]], [f"{db}:healthy"], "inspect")
    check("is not healthy yet" in waiting["unmet"][0]["why"], f"and why: {waiting}")
    check(waiting["since"] and not waiting["until"], f"since when, with no limit: {waiting}")
    why = rig.ok("why", web).out
    check("its start waits for" in why and f"{db}:healthy" in why, f"gantry why: {why}")
    for args in (("exec", web, "true"), ("pause", web), ("start", web)):
        done = rig.gantry(*args)
        check(done.code != 0 and "waits for others" in done.err, f"refused: {done!r}")
    check_equal(seqs(rig, "start", web), [], "it has not been started")
    switch(rig, db, True)
    code, text = ended(child)
    check_equal((code, web in text), (0, True), f"run -d answers now: {text}")
    check_equal(rig.state_of(web), "running", "state")
    check(seqs(rig, "start", web)[0] > seqs(rig, "health", db)[-1], "after the other's health")
    check_equal(rig.events("start", container=web)[0]["cause"], seqs(rig, "waiting", web)[0],
                "cause")
    rig.ok("stop", "-t", "0", web)
    rig.ok("start", web)  # What holds is not waited for.
    check_equal(len(seqs(rig, "waiting", web)), 1, "one wait")


def test_it_waits_until_another_says_that_it_is_ready(rig):
    db, web, last = rig.id("db"), rig.id("web"), rig.id("last")
    features_notify.start(rig, db)
    own_word = ("--notify",)
    first = start_after(rig, web, f"{db}:ready", options=own_word)
    rig.wait_state(web, "waiting")
    second = start_after(rig, last, f"{web}:ready")
    rig.wait_state(last, "waiting")
    rig.crash_point()
    features_notify.say(rig, db, "READY=1")
    check_equal(ended(first)[0], 0, "it runs now")
    check_equal(rig.state_of(last), "waiting", "and this one waits on")
    features_notify.say(rig, web, "READY=1")
    check_equal(ended(second)[0], 0, "so does this")
    check(seqs(rig, "start", web)[0] > seqs(rig, "ready", db)[0], "order")
    check(seqs(rig, "start", last)[0] > seqs(rig, "ready", web)[0], "order")


def test_a_chain_starts_in_its_order(rig):
    a, b, c = rig.id("a"), rig.id("b"), rig.id("c")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "sh", "-c", "sleep 0.3; exit 0")
    first = start_after(rig, b, f"{a}:exited_ok")
    rig.wait_state(b, "waiting")
    second = start_after(rig, c, b, options=("-t",))  # started is the default.
    rig.wait_state(c, "waiting")
    rig.ok("start", a)
    rig.crash_point()
    check_equal((ended(first)[0], ended(second)[0]), (0, 0), "both run")
    order = [seqs(rig, "exit", a)[0], seqs(rig, "start", b)[0], seqs(rig, "start", c)[0]]
    check_equal(order, sorted(order), "order")


def test_a_failure_of_the_other_fails_the_start_at_once(rig):
    job, web = rig.id("job"), rig.id("web")
    rig.run(job, "sh", "-c", "while ! test -e /tmp/ok-$0; do sleep 0.05; done; exit 1", job)
    child = start_after(rig, web, f"{job}:exited_ok")
    rig.wait_state(web, "waiting")
    rig.crash_point()
    switch(rig, job, True)
    code, text = ended(child)
    check(code != 0 and f"it comes after {job}:exited_ok" in text
          and "has ended (exit code 1), and nothing starts it again" in text, f"{code} {text}")
    check_equal(rig.state_of(web), "stopped", "state")
    check_equal(len(seqs(rig, "start-failed", web)), 1, "and that is an event")
    done = rig.gantry("start", web)
    check(done.code != 0 and "exit code 1" in done.err, f"nor can it be started now: {done!r}")
    done = rig.gantry("run", "-d", "--name", rig.id("more"), "--after", f"{job}:exited_ok",
                      "--rootfs", rig.rootfs, "true")
    check(done.code == 125 and "exit code 1" in done.err, f"refused when it is made: {done!r}")
    check_equal(rig.state_of(rig.id("more")), None, "nothing was made")


def test_a_person_ends_the_wait_for_good(rig):
    db = rig.id("db")
    rig.ok("create", "--name", db, "--rootfs", rig.rootfs, "sleep", "1000")
    names = [rig.id(x) for x in ("stopped", "killed", "removed")]
    children = [start_after(rig, n, db, options=("--restart", "always")) for n in names]
    for n in names:
        rig.wait_state(n, "waiting")
    rig.ok("stop", names[0])
    rig.ok("kill", names[1])
    rig.ok("rm", names[2])
    rig.crash_point()
    for child in children:
        code, text = ended(child)
        check(code != 0 and "before it was started" in text, f"whoever waits is told: {text}")
    rig.ok("start", db)
    rig.wait_state(db, "running")
    check_equal([rig.state_of(n) for n in names], ["stopped", "stopped", None], "states")
    check_equal([seqs(rig, "start", n) for n in names], [[], [], []], "none was started")
    rig.ok("start", names[0])
    check_equal(rig.state_of(names[0]), "running", "a person may")


def test_a_wait_has_a_limit_and_a_removed_one_ends_it(rig):
    db, web, other = rig.id("db"), rig.id("web"), rig.id("other")
    switch(rig, db, False)
    run_probed(rig, db)
    child = start_after(rig, web, f"{db}:ready", options=("--after-timeout", "2s"))
    rig.crash_point()
    code, text = ended(child)
    check(code != 0 and "after 2000 ms" in text and f"{db}:ready" in text
          and "is not ready yet" in text, f"{code} {text}")
    check_equal(rig.state_of(web), "stopped", "state")
    child = start_after(rig, other, f"{db}:healthy", options=("--rm",))
    rig.wait_state(other, "waiting")
    rig.ok("rm", "-f", db)
    code, text = ended(child)
    check(code != 0 and (f'"{db}" does not exist' in text or f'"{db}" is being removed' in text),
          f"{code} {text}")
    until(lambda: rig.state_of(other) is None, "it was to be removed at its end")


def test_a_restart_of_the_other_leaves_it_alone(rig):
    db, web = rig.id("db"), rig.id("web")
    rig.run(db, "sleep", "1000", options=("--restart", "always", "--restart-delay", "1ms"))
    rig.run(web, "sleep", "1000", options=("--after", db, "--restart", "always"))
    check_equal(seqs(rig, "waiting", web), [], "it need not wait")
    rig.crash_point()
    os.kill(rig.init_pid(db), signal.SIGKILL)
    until(lambda: len(seqs(rig, "start", db)) == 2, "the other is started again")
    os.kill(rig.init_pid(web), signal.SIGKILL)
    until(lambda: len(seqs(rig, "start", web)) == 2, "so is it, by its own policy")
    rig.wait_state(web, "running")
    check_equal(len(seqs(rig, "exit", web)), 1, "it ended once: by its own kill")


@once
def test_bad_dependencies_are_refused_when_they_are_made(rig):
    a, b, c = rig.id("a"), rig.id("b"), rig.id("c")
    make = ("--rootfs", rig.rootfs, "true")
    rig.ok("create", "--name", a, *make)
    rig.ok("create", "--name", b, "--after", a, *make)
    rig.ok("rm", a)
    for options, words in ((("--after", "nobody-here"), "does not exist"),
                           (("--after", c), f"{c} after {c}"),
                           (("--after", f"{b}:running"), "started, ready, healthy or exited_ok"),
                           (("--after", f"{b}:"), "--after"), (("--after", ""), "--after"),
                           (("--after", "../x"), "after"),
                           (("--after", f"{b}:healthy"), "has no health check"),
                           (("--after", f"{b}:ready"), "whether it is ready"),
                           (("--after", b, "--after", f"{b}:started"), "once"),
                           (("--after", b, "--after-timeout", "0"), "after-timeout"),
                           (("--after", b, "--after-timeout", "5 minutes"), "after-timeout"),
                           (("--after-timeout", "5s"), "after")):
        done = rig.gantry("create", "--name", c, *options, *make)
        check(done.code == 125 and words in done.err, f"{options}: {done!r}")
    done = rig.gantry("create", "--name", a, "--after", b, *make)
    check(done.code == 125 and f"{a} after {b} after {a}" in done.err, f"a circle: {done!r}")
    check_equal(rig.events("create", container=c), [], "nothing was made")
    spec = rig.show(b)["spec"]
    check_equal((spec["after"], spec["after_timeout_ns"]), ([f"{a}:started"], 0), "inspect")


@once
@own_rig()
def test_after_a_boot_they_start_in_their_order(rig):
    switch(rig, "db", True)
    run_probed(rig, "db", "--restart", "always")
    rig.run("web", "sleep", "1000",
            options=("--after", "db:healthy", "--restart", "always", "--restart-delay", "1ms"))
    child = start_after(rig, "late", "db:exited_ok", options=("--restart", "always"))
    rig.wait_state("late", "waiting")
    pids = [rig.init_pid(n) for n in ("db", "web", "late")]
    switch(rig, "db", False)
    gantryd = rig.alive_pid()
    rig.close_keeper()
    for pid in (gantryd, *pids):
        os.kill(pid, signal.SIGKILL)
    for pid in (gantryd, *pids):
        until(lambda pid=pid: process_state(pid) in (None, "Z"), f"{pid} has ended")
    shutil.rmtree(rig.state)  # As /run after a boot.
    child.kill()
    rig.start()
    rig.wait_state("web", "waiting")
    rig.wait_state("late", "waiting")  # It waits on: its policy wants it.
    check_equal(len(seqs(rig, "start", "web")), 1, "not before the other is healthy")
    switch(rig, "db", True)
    rig.wait_state("web", "running")
    check(seqs(rig, "start", "web")[1] > seqs(rig, "health", "db")[-1], "order")
    check_equal(seqs(rig, "start", "late"), [], "and this one waits on")
