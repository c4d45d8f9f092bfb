"""What a program gets from the bus beyond what the command line shows: pids in the answers,
processes with limits of their own, several clients at once."""

import json
import os
import threading

from bus import Stubs, connect, pb
from rig import Broken, check, check_equal, read_text, scaled, until


def ref(name):
    return pb.Ref(id=name)


def make(rig, name, *args, start=False, **spec):
    b = rig.bus()
    return b.call(b.containers.Create, pb.CreateRequest(
        ref=ref(name), start=start, request_id=name + "-create",
        spec=pb.ContainerSpec(rootfs=rig.rootfs, args=args, **spec)))


def execute(rig, name, process, *args, **spec):
    b = rig.bus()
    return b.call(b.processes.Exec, pb.ExecRequest(
        ref=ref(name), process=process, request_id=f"{name}-{process}",
        spec=pb.ProcessSpec(args=args, **spec)))


def command_line(pid):
    return read_text(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")


def test_every_start_answers_a_pid(rig):
    a, b = rig.id("a"), rig.bus()
    created = make(rig, a, "sleep", "1000").pid
    check_equal(rig.init_pid(a), created, "pid of a created init")
    rig.crash_point()
    started = b.call(b.containers.Start, pb.StartRequest(ref=ref(a), request_id=a + "-start"))
    check_equal(started.pid, created, "the init that was created is the one that runs")
    until(lambda: command_line(started.pid) == ["sleep", "1000"], "its command runs")
    done = execute(rig, a, "other", "sleep", "2000")
    check_equal((done.process, command_line(done.pid)), ("other", ["sleep", "2000"]), "exec")
    check_equal({p["id"]: p["pid"] for p in rig.show(a)["processes"]},
                {"init": started.pid, "other": done.pid}, "pids in inspect")
    top = b.call(b.containers.Top, pb.TopRequest(ref=ref(a)))
    group = os.path.dirname(rig.cgroup_file(a, "pids", "cgroup.procs"))
    inside = {int(x) for directory, _, _ in os.walk(group)
              for x in read_text(os.path.join(directory, "cgroup.procs")).split()}
    check_equal({p.pid for p in top.processes}, inside, "pids in top, and in the cgroup")
    check_equal({p.process: p.pid for p in top.processes},
                {"init": started.pid, "other": done.pid}, "whose they are")


def test_a_client_may_leave_the_exec_id_to_gantry(rig):
    a = rig.id("a")
    make(rig, a, "sleep", "1000", start=True)
    rig.crash_point()
    names = {execute(rig, a, "", "sleep", "1000").process}
    b = rig.bus()
    names.add(b.call(b.processes.Exec, pb.ExecRequest(
        ref=ref(a), spec=pb.ProcessSpec(args=["sleep", "1000"]))).process)
    check(len(names) == 2 and "" not in names and "init" not in names, f"two names: {names}")
    check_equal({p["id"] for p in rig.show(a)["processes"]}, names | {"init"}, "in inspect")


def status_of(pid):
    lines = read_text(f"/proc/{pid}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_an_exec_with_rights_and_limits_of_its_own(rig):
    a = rig.id("a")
    make(rig, a, "sleep", "1000", start=True)
    init = status_of(rig.init_pid(a))
    check_equal(init["NoNewPrivs"], "1", "init may gain no rights")
    rig.crash_point()
    limit = pb.Rlimit(type="RLIMIT_CORE", soft=7000, hard=8000)
    pid = execute(rig, a, "e", "sleep", "1000", capabilities=["CAP_KILL", "CAP_CHOWN"],
                  rlimits=[limit], no_new_privileges=False).pid
    own = status_of(pid)
    check_equal(int(own["CapEff"], 16), 1 << 5 | 1 << 0, "CAP_KILL and CAP_CHOWN, no other")
    check(int(init["CapEff"], 16) != int(own["CapEff"], 16), "init has others")
    check_equal(own["NoNewPrivs"], "0", "no_new_privileges")
    core = [x.split() for x in read_text(f"/proc/{pid}/limits").splitlines() if "core file" in x]
    check_equal(core[0][4:6], ["7000", "8000"], "RLIMIT_CORE")


def test_inspect_shows_what_was_asked_for(rig):
    a = rig.id("a")
    make(rig, a, "sleep", "1000", env=["A=b"], labels={"x": "y"})
    rig.crash_point()
    d = rig.show(a)
    check_equal((d["exit"], d["processes"][0]["exit"]), (None, None), "no exit before the end")
    rig.ok("start", a)
    execute(rig, a, "e", "sleep", "2000", env=["C=d"], workdir="/tmp", user="1:2")
    d = rig.show(a)
    check_equal((d["spec"]["args"], d["spec"]["env"], d["spec"]["labels"]),
                (["sleep", "1000"], ["A=b"], {"x": "y"}), "spec")
    check_equal(d["config"]["process"]["args"], ["sleep", "1000"], "the OCI config as started")
    e = [p for p in d["processes"] if p["id"] == "e"][0]
    check_equal([e[k] for k in ("args", "env", "workdir", "user", "exit")],
                [["sleep", "2000"], ["C=d"], "/tmp", "1:2", None], "spec of the exec")
    rig.ok("kill", a)
    rig.ok("wait", a)
    check_equal({p["id"]: p["exit"]["signal"] for p in rig.show(a)["processes"]},
                {"init": 9, "e": 9}, "how they ended")


def follow(rig, heard, ready):
    """One client: it hears events over a connection of its own, until told the last."""
    channel = connect(rig.socket)
    try:
        stream = Stubs(channel).events.Follow(pb.FollowRequest(list=True, follow=True),
                                              timeout=scaled(60), wait_for_ready=True)
        for item in stream:
            if item.WhichOneof("item") == "listed":
                ready.set()
            elif item.WhichOneof("item") == "event":
                heard.append((item.event.seq, item.event.type, item.event.container))
                if item.event.type == "delete" and item.event.container == rig.id("last"):
                    return
    finally:
        channel.close()


def one_life(rig, name, errors):
    """Another client: a container's whole life."""
    channel = connect(rig.socket)
    try:
        b = Stubs(channel)
        b.call(b.containers.Create, pb.CreateRequest(
            ref=ref(name), start=True, request_id=name,
            spec=pb.ContainerSpec(rootfs=rig.rootfs, args=["sh", "-c", "exit 6"])))
        end = b.call(b.containers.Wait, pb.WaitRequest(ref=ref(name)))
        check_equal(end.exit.exit_code, 6, f"exit code of {name}")
        b.call(b.containers.Remove, pb.RemoveRequest(ref=ref(name), request_id=name + "-rm"))
    except Exception as e:
        errors.append(f"{name}: {e}")
    finally:
        channel.close()


def test_several_clients_at_once(rig):
    """Two listen, four work: each gets its own answers, and both listeners the same events."""
    heard, errors = ([], []), []
    ready = [threading.Event(), threading.Event()]
    listeners = [threading.Thread(target=follow, args=(rig, h, r)) for h, r in zip(heard, ready)]
    for t in listeners:
        t.start()
    check(all(r.wait(30) for r in ready), "both listen")
    workers = [threading.Thread(target=one_life, args=(rig, rig.id(f"c{i}"), errors))
               for i in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    one_life(rig, rig.id("last"), errors)
    check_equal(errors, [], "what went wrong")
    for t in listeners:
        t.join()
    check_equal(heard[0], heard[1], "what both heard")
    for i in range(4):
        check_equal([kind for _, kind, who in heard[0] if who == rig.id(f"c{i}")],
                    ["create", "start", "exit", "delete"], "the life of one")
    rig.crash_point()
    check_equal([e["seq"] for e in rig.events() if e["seq"] in {h[0] for h in heard[0]}],
                [h[0] for h in heard[0]], "the events are kept")


def test_a_closed_handle_leaves_nothing(rig):
    """Clients that hang up in the middle of a wait, a follow and a log cost nothing afterwards."""
    a, b = rig.id("a"), rig.bus()
    make(rig, a, "sleep", "1000", start=True)
    rig.crash_point()
    rig.ok("ps")
    fds = rig.ok("--json", "info").objects()[0]["fds"]
    channel = connect(rig.socket)
    other = Stubs(channel)
    calls = [other.containers.Wait.future(pb.WaitRequest(ref=ref(a)), timeout=scaled(60))
             for _ in range(20)]
    calls += [other.events.Follow(pb.FollowRequest(follow=True), timeout=scaled(60))
              for _ in range(20)]
    calls += [other.logs.Read(pb.ReadLogRequest(ref=ref(a), follow=True), timeout=scaled(60))
              for _ in range(20)]
    other.call(other.containers.List, pb.ListRequest())  # Behind all of those.
    check(not any(c.done() for c in calls), "they wait")
    for c in calls[::2]:
        c.cancel()
    other.call(other.containers.List, pb.ListRequest())
    channel.close()
    until(lambda: rig.ok("--json", "info").objects()[0]["fds"] <= fds, "descriptors come back")
    check_equal(b.call(b.containers.Inspect, pb.InspectRequest(ref=ref(a))).summary.id, a,
                "others are served")


def hear(child, kind):
    """The next event of this type that a follower prints."""
    for line in child.stdout:
        e = json.loads(line)
        if e["type"] == kind:
            return e
    raise Broken(f"the stream ended before {kind}")


def test_events_are_told_live(rig):
    """Pause, resume and an OOM kill are heard while the container goes on."""
    a = rig.id("a")
    rig.run(a, "sh", "-c", f"while [ ! -e /tmp/{a} ]; do sleep 0.05; done; tail /dev/zero; "
            f"rm /tmp/{a}; sleep 1000", options=("-m", "16m"))
    rig.crash_point()
    pid = rig.init_pid(a)
    child = rig.spawn("--json", "events", "-f", "--since", "0", "--filter", f"container={a}")
    check_equal(hear(child, "start")["pid"], pid, "pid of start")
    rig.ok("pause", a)
    check_equal(hear(child, "paused")["pid"], pid, "pid of paused")
    rig.ok("resume", a)
    check_equal(hear(child, "resumed")["pid"], pid, "pid of resumed")
    rig.ok("exec", a, "--", "touch", f"/tmp/{a}")
    check_equal(hear(child, "oom")["pid"], pid, "pid of oom")
    check_equal(rig.state_of(a), "running", "init lives when the OOM is told")
    child.kill()
