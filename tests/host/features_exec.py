"""Other processes in a container: exec, its ids, its ends, its stdin."""

import os

from rig import check, check_equal, until


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def test_exec_in_the_foreground(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("exec", a, "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    check_equal((done.code, done.out, done.err), (5, "out\n", "err\n"), "exec")


def test_exec_with_an_id_of_the_client(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "backup", a, "--", "sh", "-c", "echo hello; sleep 0.3; exit 6")
    rig.crash_point()
    check_equal(rig.ok("wait", "-p", "backup", a).out, "6\n", "wait of the exec")
    check_equal(rig.ok("logs", a, "backup").out, "hello\n", "its log")
    p = [x for x in rig.show(a)["processes"] if x["id"] == "backup"][0]
    check_equal((p["state"], p["exit"]["exit_code"]), ("exited", 6), "inspect")
    types = [e["type"] for e in rig.events(container=a, process="backup")]
    check_equal(types, ["exec-added", "exec-started", "exit"], "events")
    again = rig.gantry("exec", "-d", "--id", "backup", a, "--", "true")
    check_equal(again.code, 125, f"the id is taken: {again!r}")
    check("backup" in again.err, again.err)


def test_exec_list(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    for name in ("one", "two"):
        rig.ok("exec", "-d", "--id", name, a, "--", "sleep", "1000")
    rig.crash_point()
    check_equal(sorted(p["id"] for p in rig.show(a)["processes"] if p["state"] == "running"),
                ["init", "one", "two"], "processes")
    c = [x for x in rig.ok("--json", "ps").objects() if x["id"] == a][0]
    check_equal(c["execs"], 2, "living execs")
    rig.ok("kill", "-p", "one", a)
    rig.ok("wait", "-p", "one", a)
    check_equal([x for x in rig.ok("--json", "ps").objects() if x["id"] == a][0]["execs"], 1,
                "living execs")


def test_exec_environment_workdir_user(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000", options=("-e", "A=init"))
    rig.crash_point()
    done = rig.ok("exec", "-e", "B=exec", "-w", "/tmp", "-u", "12:34", a, "--", "sh", "-c",
                  "echo $A $B; pwd; id -u; id -g")
    check_equal(done.out, "init exec\n/tmp\n12\n34\n", "what it sees")


def test_exec_ended_by_a_signal(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sleep", "1000")
    rig.crash_point()
    rig.ok("kill", "-s", "TERM", "-p", "e", a)
    check_equal(rig.ok("wait", "-p", "e", a).out, "143\n", "wait")
    e = rig.wait_event("exit", a, process="e")
    check_equal((e["exit_code"], e["signal"]), (None, 15), "exit event")
    check_equal(rig.state_of(a), "running", "the container lives")
    cause = [x for x in rig.events("kill", container=a) if x["seq"] == e["cause"]]
    check(cause and cause[0]["details"]["signal"] == "SIGTERM", f"the cause of {e}")


def test_exec_of_what_is_not_there(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("exec", "--id", "no", a, "--", "/nowhere")
    check_equal(done.code, 127, f"exit code of {done!r}")
    check("/nowhere" in done.err, done.err)
    check_equal(rig.gantry("exec", a, "--", "/etc").code, 126, "not executable")
    check_equal([p["id"] for p in rig.show(a)["processes"]], ["init"], "nothing is left")
    rig.wait_event("exec-failed", a, process="no")


def test_exec_where_it_cannot_be(rig):
    done = rig.gantry("exec", rig.id("none"), "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check(rig.id("none") in done.err, done.err)
    a = rig.id("a")
    rig.ok("create", "--name", a, "--rootfs", rig.rootfs, "--", "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("exec", a, "--", "true")
    check_equal(done.code, 125, f"exit code of {done!r}")
    check("start it first" in done.err, done.err)
    rig.run(rig.id("b"), "true")
    rig.ok("wait", rig.id("b"))
    check("stopped" in rig.gantry("exec", rig.id("b"), "--", "true").err, "it has stopped")


def test_execs_end_with_init(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.ok("exec", "-d", "--id", "e", a, "--", "sleep", "1000")
    pid = [p for p in rig.show(a)["processes"] if p["id"] == "e"][0]["pid"]
    rig.crash_point()
    rig.ok("kill", a)
    check_equal(rig.ok("wait", a).out, "137\n", "init")
    check_equal(rig.ok("wait", "-p", "e", a).out, "137\n", "exec")
    check(not alive(pid), "the exec's process is gone")


def test_exec_while_init_dies(rig):
    a = rig.id("a")
    for i in range(3):
        rig.run(f"{a}{i}", "sleep", "1000")
        child = rig.spawn("exec", "--id", "e", f"{a}{i}", "--", "sleep", "1000")
        if i == 1:
            rig.crash_point()
        rig.ok("kill", f"{a}{i}")
        out, err = child.communicate(timeout=30)
        check(child.returncode in (137, 125, 255), f"exec's end: {child.returncode} {out} {err}")
        check_equal(rig.ok("wait", f"{a}{i}").out, "137\n", "init")
        until(lambda i=i: rig.state_of(f"{a}{i}") == "stopped", "it is stopped")
        began = rig.events("exec-started", container=f"{a}{i}")
        ended = rig.events("exit", container=f"{a}{i}", process="e")
        check_equal(len(ended), len(began), "exits of the exec")


def test_stdin_of_an_exec(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.ok("exec", "-i", a, "--", "cat", stdin=b"some words\n")
    check_equal(done.out, "some words\n", "echo")
    data = os.urandom(1 << 20)
    done = rig.ok("exec", "-i", a, "--", "wc", "-c", stdin=data)
    check_equal(done.out.strip(), str(len(data)), "bytes through stdin")


def test_stdin_of_run(rig):
    done = rig.ok("run", "--rm", "-i", "--rootfs", rig.rootfs, "--", "cat", stdin=b"hello\n")
    check_equal(done.raw, b"hello\n", "cat")
    data = os.urandom(4 << 20)
    done = rig.ok("run", "--rm", "-i", "--rootfs", rig.rootfs, "--", "wc", "-c", stdin=data)
    check_equal(done.out.strip(), str(len(data)), "bytes through stdin")


def test_stdin_across_a_crash(rig):
    a = rig.id("a")
    child = rig.spawn("run", "--name", a, "-i", "--rootfs", rig.rootfs, "--", "wc", "-c")
    rig.wait_event("start", a)
    child.stdin.write(b"x" * 100000)
    child.stdin.flush()
    rig.crash_point()
    child.stdin.write(b"y" * 300000)
    out, err = child.communicate(timeout=30)
    check_equal(out.strip(), b"400000", f"bytes through stdin ({err})")


def test_without_stdin_there_is_an_end_of_file(rig):
    done = rig.ok("run", "--rm", "--rootfs", rig.rootfs, "--", "wc", "-c")
    check_equal(done.out.strip(), "0", "wc")


def test_stdin_by_the_bus(rig):
    from bus import pb
    a = rig.id("a")
    b = rig.bus()
    spec = pb.ContainerSpec(rootfs=rig.rootfs, args=["cat"], with_stdin=True)
    b.call(b.containers.Create, pb.CreateRequest(ref=pb.Ref(id=a), spec=spec, start=True,
                                                 request_id=a))
    rig.crash_point()
    data = os.urandom(300000)
    at = 0
    while at < len(data):
        request = pb.WriteStdinRequest(ref=pb.Ref(id=a), offset=at, data=data[at:at + 100000])
        at = b.call(b.processes.WriteStdin, request).offset
    # A repeat of what was taken is skipped.
    again = pb.WriteStdinRequest(ref=pb.Ref(id=a), offset=0, data=data[:1000])
    check_equal(b.call(b.processes.WriteStdin, again).offset, len(data), "offset after a repeat")
    b.call(b.processes.CloseStdin, pb.CloseStdinRequest(ref=pb.Ref(id=a), request_id=a + "-close"))
    check_equal(rig.ok("wait", a).out, "0\n", "cat ends at the end of its input")
    check_equal(rig.ok("logs", a).raw, data, "what cat printed")
