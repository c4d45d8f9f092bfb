"""What the bus has beside plain commands: descriptors, roles, who asked, many at once."""

import os
import select
import signal
import socket
import stat
import subprocess

import grpc

from bus import pb
from marks import once, own_rig
from rig import check, check_equal, scaled, until

NOBODY = 65534


def ask_ticket(rig, name, process=""):
    b = rig.bus()
    return b.call(b.processes.GetProcessFd,
                  pb.GetProcessFdRequest(ref=pb.Ref(id=name), process=process))


def present(path, ticket):
    """The reply on fds.sock, and the descriptor or None."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    with s:
        s.connect(path)  # Waits in the backlog while gantryd is away.
        s.sendall(pb.FdRequest(ticket=ticket).SerializeToString())
        data, fds, _, _ = socket.recv_fds(s, 8192, 1)
    return pb.FdReply.FromString(data), (fds[0] if fds else None)


def take(rig, name, process=""):
    """A pidfd, asked for again where a death of gantryd came between."""
    for _ in range(5):
        got = ask_ticket(rig, name, process)
        reply, fd = None, None
        try:
            reply, fd = present(got.socket, got.ticket)
        except OSError:
            continue
        if fd is not None:
            check_equal(reply.code, "", "no code beside a descriptor")
            return fd, got.pid
        check("earlier life" in reply.message, f"refused for this only: {reply}")
    raise AssertionError("no descriptor")


def ended(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])


def test_a_pidfd_of_a_process(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    init, pid = take(rig, a)
    check_equal(pid, rig.init_pid(a), "pid")
    rig.crash_point()
    rig.ok("exec", "-d", "--id", "x", a, "--", "sleep", "1000")
    other, _ = take(rig, a, "x")
    check(not ended(init, 0) and not ended(other, 0), "both live")
    signal.pidfd_send_signal(other, signal.SIGKILL)
    check(ended(other, 20), "the exec's descriptor tells of its end")
    check(not ended(init, 0), "init lives")
    rig.crash_point()  # The descriptor is the client's own: it needs no gantryd.
    os.kill(pid, signal.SIGKILL)
    check(ended(init, 20), "init's descriptor tells of its end")
    for fd in (init, other):
        os.close(fd)
    check_equal(rig.wait_event("exit", a, process="init")["signal"], 9, "the exit")
    b = rig.bus()
    try:
        b.call(b.processes.GetProcessFd, pb.GetProcessFdRequest(ref=pb.Ref(id=a)))
        check(False, "a dead process has none")
    except grpc.RpcError as e:
        check_equal(e.code(), grpc.StatusCode.FAILED_PRECONDITION, e.details())
        check("gantry wait" in e.details(), e.details())


@once
def test_a_ticket_of_an_earlier_life(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    old = ask_ticket(rig, a)
    kept, _ = take(rig, a)
    check_equal(stat.S_IMODE(os.stat(old.socket).st_mode), 0o660, "mode of fds.sock")
    rig.kill_daemon()
    rig.ok("ps")
    reply, fd = present(old.socket, old.ticket)
    check_equal((reply.code, fd), ("not_found", None), "refused")
    check("earlier life" in reply.message and "GetProcessFd" in reply.cure, str(reply))
    check(not ended(kept, 0), "the descriptor goes on")
    rig.ok("kill", a)
    check(ended(kept, 20), "and tells of the end")
    os.close(kept)
    b = rig.bus()
    info = b.call(b.supervisor.Info, pb.InfoRequest())
    check_equal((info.fd_tickets_refused, info.fd_tickets_waiting), (1, 0), "counted")


@once
def test_a_ticket_is_for_who_asked(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    got = ask_ticket(rig, a)
    before = rig.bus().supervisor.Info(pb.InfoRequest(), timeout=scaled(20)).fd_tickets_refused
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            reply, fd = present(got.socket, got.ticket)
            code = 0 if (reply.code, fd) == ("permission_denied", None) else 2
        finally:
            os._exit(code)
    check_equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "another process is refused")
    for _ in range(30):
        reply, fd = present(got.socket, "0" * 48)
        check(reply.code in ("not_found", "resource_exhausted") and fd is None, str(reply))
    check_equal(reply.code, "resource_exhausted", "who guesses is not heard for a while")
    after = rig.bus().supervisor.Info(pb.InfoRequest(), timeout=scaled(20))
    check(10 <= after.fd_tickets_refused - before <= 17, f"counted: {after.fd_tickets_refused}")
    check_equal(after.fd_tickets_waiting, 1, "the true one waits still")


def as_user(rig, gid, *args, groups=()):
    """The command line as nobody with these groups."""
    more = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    done = subprocess.run(
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(gid), *more,
         os.path.join(rig.bin_dir, "gantry"), "--socket", rig.socket, *args],
        capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@own_rig(extra=["--read-gid", "45001", "--operate-gid", "45002,45003"])
def test_roles(rig):
    os.chmod(rig.dir, 0o711)
    rig.run("a", "sleep", "1000")
    rig.crash_point()
    rig.ok("ps")
    for gid, groups in ((45001, ()), (NOBODY, (7, 45001))):
        code, text = as_user(rig, gid, "ps", groups=groups)
        check(code == 0 and "a" in text, f"who may read reads: {code} {text}")
        code, text = as_user(rig, gid, "kill", "a", groups=groups)
        check(code != 0 and "may look, and not operate" in text and "--operate-gid" in text,
              f"and no more: {code} {text}")
    rig.run("b", "echo", "words")
    code, text = as_user(rig, 45001, "attach", "--no-stdin", "--replay", "b")
    check_equal((code, text), (0, "words\n"), "who may read may look on")
    code, text = as_user(rig, 45001, "attach", "b")
    check(code != 0 and "with input" in text, f"but not type: {code} {text}")
    code, text = as_user(rig, NOBODY, "ps")
    check(code != 0 and "has no role" in text and "--read-gid" in text, f"nobody: {code} {text}")
    code, text = as_user(rig, NOBODY, "pause", "a", groups=(45003,))
    check_equal(code, 0, f"who may operate operates: {text}")
    event = rig.wait_event("paused", "a")
    check_equal((event["by"]["uid"], event["by"]["gid"]), (NOBODY, NOBODY), "and is named")
    check(event["by"]["pid"] > 0, str(event))
    rig.ok("resume", "a")


@once
@own_rig()
def test_no_roles_but_root(rig):
    check_equal(stat.S_IMODE(os.stat(rig.socket).st_mode), 0o660, "mode of the socket")
    check_equal(stat.S_IMODE(os.stat(rig.state).st_mode), 0o700, "mode of the state")
    os.chmod(rig.dir, 0o711)
    os.chmod(rig.state, 0o711)
    os.chmod(rig.socket, 0o666)  # Even who can connect has no role.
    code, text = as_user(rig, NOBODY, "ps")
    check(code != 0 and "has no role" in text, f"{code} {text}")


def test_who_asked(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    rig.ok("pause", a)
    rig.crash_point()
    rig.ok("resume", a)
    rig.ok("exec", "-d", a, "--", "sleep", "1000")
    rig.ok("update", "--memory", "64m", a)
    rig.ok("kill", "--signal", "USR2", a)
    rig.ok("stop", "-t", "0", a)
    rig.ok("start", a)
    rig.ok("rm", "-f", a)
    asked = {"create", "start", "paused", "resumed", "exec-added", "exec-started", "updated",
             "kill", "delete"}
    seen = set()
    for e in rig.events(container=a):
        if e["type"] in asked:
            check(e.get("by") and e["by"]["uid"] == 0 and e["by"]["pid"] > 0, f"nobody: {e}")
            seen.add(e["type"])
    check_equal(seen, asked, "all of them happened")


def test_remove_tells_the_end(rig):
    a, c = rig.id("a"), rig.id("c")
    rig.run(a, "sh", "-c", "exit 7")
    exit_event = rig.wait_event("exit", a)
    rig.crash_point()
    b = rig.bus()
    request = pb.RemoveRequest(ref=pb.Ref(id=a), request_id=rig.id("r"))
    reply = b.call(b.containers.Remove, request)
    check_equal((reply.exit.exit_code, reply.run, reply.instance),
                (7, 1, exit_event["instance"]), "exit code")
    check_equal(reply.exit.seq, exit_event["seq"], "the settled exit")
    check(reply.exit.exited_at_ns > 0, "its time")
    check_equal(b.call(b.containers.Remove, request), reply, "a repeat hears the same")
    rig.run(c, "sleep", "1000")
    rig.crash_point()
    reply = b.call(b.containers.Remove, pb.RemoveRequest(ref=pb.Ref(id=c), force=True,
                                                         request_id=rig.id("r2")))
    check_equal(reply.exit.signal, 9, "signal")


@once
def test_stats_of_all_in_one_call(rig):
    names = sorted(rig.id(f"s{n}") for n in range(20))
    for name in names:
        rig.run(name, "sleep", "1000")
    rig.ok("run", "-d", "-n", "other", "--name", rig.id("o"), "--rootfs", rig.rootfs, "--",
           "sleep", "1000")
    b = rig.bus()

    def asked(ns):
        reply = b.containers.Stats(pb.StatsRequest(ref=pb.Ref(namespace=ns)), timeout=scaled(30))
        return sorted(s.id for s in reply.stats if s.id.startswith(rig.id("")) and s.pids)
    check_equal(asked(""), names, "one namespace")
    check_equal(asked("other"), [rig.id("o")], "the other")
    check_equal(asked("*"), sorted([*names, rig.id("o")]), "all")


@once
def test_a_slow_step_is_named(rig):
    a = rig.id("a")
    slow = rig.path("slow-runc")
    with open(slow, "w") as f:
        f.write("#!/bin/sh\ncase \" $* \" in *\" run \"*|*\" create \"*) sleep 7;; esac\n"
                "exec /usr/sbin/runc \"$@\"\n")
    os.chmod(slow, 0o755)
    child = rig.spawn("run", "-d", "--runtime", slow, "--name", a, "--rootfs", rig.rootfs, "--",
                      "sleep", "1000")

    def stuck():
        for c in rig.ok("--json", "ps", "-a").objects():
            if c["id"] == a and c.get("stuck"):
                return c["stuck"]
        return None
    check(until(stuck, "it is said").startswith("stuck in creating for "), stuck())
    check_equal(child.wait(timeout=60), 0, "it came to its end")
    check_equal(stuck(), None, "and nothing is stuck any more")
