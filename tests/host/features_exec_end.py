"""How an exec ends: by its limit, by its caller, as a tree; what is accounted and remembered;
and the one call that does it all."""

import os
import signal
import time

from rig import check, check_equal, process_state, scaled, until

TREE = "sleep 1000 & sleep 1000 & echo $!; exec sleep 1000"


def alive(pid):
    return process_state(pid) not in ("Z", None)  # An init that does not reap keeps zombies.


def process(rig, container, name):
    return [p for p in rig.show(container)["processes"] if p["id"] == name][0]


def tree_of(rig, container, name):
    """Pids of an exec and all that it started, by its cgroup."""
    group = process(rig, container, name)["cgroup"]
    for base in ("/sys/fs/cgroup/freezer", "/sys/fs/cgroup"):
        path = f"{base}{group}/cgroup.procs"
        if group and os.path.exists(path):
            with open(path) as f:
                return [int(x) for x in f.read().split()]
    return []


def exec_dirs(rig):
    return [d for d in rig.cgroup_dirs() if "/exec-" in d]


def test_a_timeout_kills_the_whole_tree(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", "--timeout", f"{scaled(2):g}s", a, "--", "sh", "-c",
           TREE)
    pids = until(lambda: (p := tree_of(rig, a, "e")) and len(p) == 3 and p, "three processes")
    rig.crash_point()
    check_equal(rig.ok("wait", "-p", "e", a).out, "137\n", "killed")
    until(lambda: not any(alive(p) for p in pids), "nobody of the tree lives")
    e = rig.wait_event("exit", a, process="e")
    check_equal((e["signal"], e["ended_by"], e["oom"]), (9, "timeout", False), "the exit")
    kill = [x for x in rig.events("kill", container=a) if x["seq"] == e["cause"]][0]
    check_equal((kill["details"]["reason"], kill["details"]["tree"]), ("timeout", "true"), "cause")
    check_equal(rig.state_of(a), "running", "the container lives")
    until(lambda: not exec_dirs(rig), "its cgroup is gone")


def test_a_timeout_that_is_not_needed(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("exec", "--timeout", "30", a, "--", "sh", "-c", "echo in time; exit 3")
    check_equal((done.code, done.out), (3, "in time\n"), "exec")
    check_equal(rig.events("kill", container=a), [], "nothing was killed")


def test_a_timeout_while_gantryd_is_away(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", "--timeout", "1s", a, "--", "sleep", "1000")
    rig.crash_point()
    check_equal(rig.ok("wait", "-p", "e", a).out, "137\n", "killed when gantryd was back")
    check_equal(process(rig, a, "e")["exit"]["ended_by"], "timeout", "by its timeout")


def leave(rig, policy, trap):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    child = rig.spawn("exec", "--id", "e", "--on-disconnect", policy, a, "--", "sh", "-c", trap)
    rig.wait_event("exec-started", a, process="e")
    check_equal(child.stdout.readline(), b"up\n", "it runs")
    rig.crash_point()
    time_to_come_back = until(lambda: rig.alive_pid() and rig.answers(), "gantryd answers")
    check(time_to_come_back, "gantryd is there")
    check(alive(process(rig, a, "e")["pid"]), "a crash of gantryd alone ends nothing")
    child.send_signal(signal.SIGKILL)
    child.wait()
    return a


def test_the_caller_leaves_kill(rig):
    a = leave(rig, "kill", "trap '' TERM; echo up; sleep 1000 & wait")
    check_equal(rig.ok("wait", "-p", "e", a).out, "137\n", "killed")
    check_equal(process(rig, a, "e")["exit"]["ended_by"], "disconnect", "because of that")
    until(lambda: not exec_dirs(rig), "with its child, and its cgroup")


def test_the_caller_leaves_term(rig):
    a = leave(rig, "term", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done")
    check_equal(rig.ok("wait", "-p", "e", a).out, "9\n", "it was asked to end")
    check_equal(process(rig, a, "e")["exit"]["ended_by"], "disconnect", "because of that")


def test_the_caller_leaves_keep(rig):
    a = leave(rig, "keep", f"echo up; exec sleep {scaled(2):g}")
    check_equal(rig.ok("wait", "-p", "e", a).out, "0\n", "it went on to its own end")


def test_kill_of_the_tree(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sh", "-c", "sleep 1000 & echo started")
    check_equal(rig.ok("wait", "-p", "e", a).out, "0\n", "its child does not hold it back")
    check(process(rig, a, "e")["io_open"], "the child holds its stdout")
    rig.crash_point()
    pids = until(lambda: tree_of(rig, a, "e"), "the child lives")
    rig.ok("kill", "--tree", "-p", "e", a)
    until(lambda: not any(alive(p) for p in pids), "the child is gone")
    until(lambda: not process(rig, a, "e")["io_open"], "its output has ended")
    until(lambda: not exec_dirs(rig), "and its cgroup")
    again = rig.gantry("kill", "--tree", "-p", "e", a)
    check(again.code != 0 and "all that it started" in again.err, f"{again!r}")


def test_output_after_the_exit_is_logged(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    go = f"/tmp/{rig.id('go')}"
    rig.ok("exec", "-d", "--id", "e", a, "--", "sh", "-c",
           f"(until [ -e {go} ]; do sleep 0.02; done; echo late) & printf early")
    check_equal(rig.ok("wait", "-p", "e", a).out, "0\n", "its end")
    first = rig.wait_event("exit", a, process="e")
    check_equal((first["io_open"], first["stdout_bytes"]), (True, 5), "the exit")
    rig.crash_point()
    rig.ok("exec", a, "--", "touch", go)
    closed = rig.wait_event("output-closed", a, process="e")
    check_equal(closed["details"]["stdout_bytes"], "10", "all bytes")
    check_equal(rig.ok("logs", a, "e").out, "earlylate\n", "the log")
    p = process(rig, a, "e")
    check_equal((p["io_open"], p["log"]["stdout_bytes"], p["exit"]["stdout_bytes"]), (False, 10, 5),
                "what is known")
    check_equal(len(rig.events("exit", container=a, process="e")), 1, "exits")


def test_cpu_and_memory_of_an_exec(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sh", "-c",
           "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done) & wait; sleep 0.3")
    rig.crash_point()
    rig.ok("wait", "-p", "e", a)
    x = process(rig, a, "e")["exit"]
    check(x["cpu_ns"] > 10_000_000, f"its child's time counts: {x}")
    check(x["cpu_user_ns"] + x["cpu_system_ns"] > 0, f"user and system: {x}")
    check(x["max_rss_bytes"] > 100_000, f"peak of memory: {x}")


def test_exec_privileged_and_capabilities(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()

    def caps(*options):
        out = rig.ok("exec", *options, a, "--", "grep", "-E", "CapEff|NoNewPrivs",
                     "/proc/self/status").out.split()
        return int(out[1], 16), int(out[3])
    usual, all_of_them, one = caps(), caps("--privileged"), caps("--cap", "NET_RAW")
    check_equal(usual[1], 1, "no new privileges as a rule")
    check(all_of_them[0] & usual[0] == usual[0] and all_of_them[0] != usual[0], f"{all_of_them}")
    check_equal(all_of_them[1], 0, "privileged may gain new ones")
    check_equal(one[0], 1 << 13, "only this one")
    wrong = rig.gantry("exec", "--privileged", "--cap", "KILL", a, "--", "true")
    check(wrong.code == 125 and "privileged" in wrong.err, f"{wrong!r}")


def test_an_exec_is_forgotten_when_its_time_is_over(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "--id", "e", "--ttl", "1s", a, "--", "echo", "words")
    check_equal(rig.ok("exec", "--id", "long", a, "--", "echo", "words").out, "words\n", "exec")
    rig.crash_point()
    until(lambda: [p["id"] for p in rig.show(a)["processes"]] == ["init", "long"],
          "one is forgotten")
    done = rig.gantry("wait", "-p", "e", a)
    check(done.code == 125 and "no such process" in done.err, f"nobody knows it any more: {done!r}")
    rig.reused.add((a, "e"))
    rig.ok("exec", "--id", "e", a, "--", "true")  # The name is free.


def test_exec_sync(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("exec", "--sync", a, "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    check_equal((done.code, done.out, done.err), (5, "out\n", "err\n"), "exec --sync")
    done = rig.gantry("exec", "--sync", "--head", "10", "--tail", "10", a, "--", "seq", "100000")
    check_equal((done.code, done.out), (0, "1\n2\n3\n4\n5\n" + "99\n100000\n"), "the two ends")
    check("bytes of stdout are left out" in done.err, done.err)
    done = rig.gantry("exec", "--sync", "--timeout", "0.3s", a, "--", "sleep", "1000")
    check_equal(done.code, 137, f"timeout: {done!r}")
    check("timeout" in done.err, done.err)
    before = time.monotonic()
    done = rig.ok("exec", "--sync", a, "--", "sh", "-c", "sleep 1000 & echo here")
    check_equal(done.out, "here\n", "a background child does not hold it back")
    check(time.monotonic() - before < 100, "at once")


def test_exec_sync_across_a_crash(rig):
    from bus import pb
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    b = rig.bus()
    go = f"/tmp/{rig.id('go')}"
    request = pb.ExecSyncRequest(
        ref=pb.Ref(id=a), request_id=a + "-sync", process="e",
        spec=pb.ProcessSpec(args=["sh", "-c", f"echo one; until [ -e {go} ]; do sleep 0.02; done; "
                                  "echo two"]))
    call = b.processes.ExecSync.future(request, wait_for_ready=True)
    rig.wait_event("exec-started", a, process="e")
    rig.crash_point()
    rig.ok("exec", a, "--", "touch", go)
    try:
        reply = call.result(timeout=scaled(30))
    except Exception:  # The connection went with gantryd: a client asks again.
        check(rig.crash, "nobody was killed")
        reply = b.call(b.processes.ExecSync, request)
    check_equal((reply.exit.exit_code, reply.stdout.head), (0, b"one\ntwo\n"), "the answer")
    check_equal((reply.stdout.total_bytes, reply.stdout.omitted_bytes), (8, 0), "bytes")
    check_equal(len(rig.events("exec-started", container=a, process="e")), 1, "it ran once")


def test_list_of_processes(rig):
    from bus import pb
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "one", a, "--", "sleep", "1000")
    rig.ok("exec", "--id", "two", a, "--", "true")
    rig.crash_point()
    b = rig.bus()

    def names(**more):
        reply = b.call(b.processes.List, pb.ListProcessesRequest(ref=pb.Ref(id=a), **more))
        return [p.id for p in reply.processes]
    check_equal((names(), names(all=True)), (["init", "one"], ["init", "one", "two"]), "lists")
