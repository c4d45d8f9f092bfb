"""The event stream: fields, causes, cursors, filters, and request ids that are remembered."""

import os
import signal
import time

import grpc

from bus import pb
from rig import check, check_equal, process_state, scaled, stamp, until

FIELDS = ("seq", "epoch", "time", "type", "namespace", "container", "instance", "run", "process",
          "pid", "cause", "by")


def create(rig, name, *args, **spec):
    b = rig.bus()
    request = pb.CreateRequest(ref=pb.Ref(id=name), start=True, request_id=name + "-create",
                               spec=pb.ContainerSpec(rootfs=rig.rootfs, args=args, **spec))
    return request, b.call(b.containers.Create, request)


def test_fields(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "exit 3")
    rig.crash_point()
    rig.ok("wait", a)
    for e in rig.events(container=a):
        for field in FIELDS:
            check(field in e, f"{field} in {e}")
        check(e["time"].endswith("Z") and len(e["time"]) == 30, f"the time has ns: {e['time']}")
    e = rig.wait_event("exit", a)
    for field in ("exit_code", "signal", "oom", "stdout_bytes", "stderr_bytes", "io_open"):
        check(field in e, f"{field} in {e}")
    for kind in ("create", "start", "exit"):
        x = rig.wait_event(kind, a)
        check_equal((x["process"], x["pid"]), ("init", e["pid"]), f"process and pid of {kind}")
    check(e["pid"] > 0, "pid")


def test_the_time_of_an_exit_is_that_of_the_death(rig):
    """Not the time at which gantryd hears of it, which is held up here."""
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    pid, gantryd = rig.init_pid(a), rig.alive_pid()
    os.kill(gantryd, signal.SIGSTOP)
    before = stamp(time.time_ns())
    os.kill(pid, signal.SIGKILL)
    until(lambda: process_state(pid) is None, "its keeper has reaped it")
    dead = stamp(time.time_ns())
    rig.crash_point()
    if not rig.crash:
        os.kill(gantryd, signal.SIGCONT)
    e = rig.wait_event("exit", a)
    check(before <= e["exited_at"] <= dead < e["time"], f"between {before} and {dead}: {e}")


def test_the_chain_of_causes(rig):
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    rig.ok("stop", "-t", "0", a)
    events = {e["seq"]: e for e in rig.events()}
    create_event = [e for e in events.values() if e["type"] == "create" and e["container"] == a][0]
    start = [e for e in events.values() if e["type"] == "start" and e["container"] == a][0]
    check_equal(start["cause"], create_event["seq"], "cause of start")
    end = rig.wait_event("exit", a)
    check(end["cause"] > start["seq"], f"cause of exit: {end}")
    kill = events.get(end["cause"])
    check(kill and kill["type"] == "kill" and kill["container"] == a, f"the exit's cause is {kill}")
    check(kill["cause"] > start["seq"], f"the kill's cause is the stop: {kill}")


def test_since_a_cursor(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "true")
    rig.ok("wait", a)
    mark = rig.wait_event("exit", a)
    rig.run(b, "true")
    rig.crash_point()
    rig.ok("wait", b)
    since = f"{mark['epoch']}:{mark['seq']}"
    found = rig.ok("--json", "events", "--since", since).objects()
    check(all(e["seq"] > mark["seq"] for e in found), "only later ones")
    check(not [e for e in found if e["container"] == a and e["type"] == "exit"], "not again")
    check([e for e in found if e["container"] == b and e["type"] == "exit"], "the later exit")


def test_follow_is_whole_across_a_crash(rig):
    a = rig.id("a")
    child = rig.spawn("--json", "events", "-f", "--since", "0")
    for i in range(4):
        rig.run(f"{a}{i}", "true")
        rig.ok("wait", f"{a}{i}")
        if i == 1:
            rig.crash_point()
    last = rig.wait_event("exit", f"{a}3")
    seen = []
    import json
    for line in child.stdout:
        seen.append(json.loads(line))
        if seen[-1]["seq"] == last["seq"]:
            break
    child.kill()
    wanted = [e["seq"] for e in rig.events() if e["seq"] <= last["seq"]]
    check_equal([e["seq"] for e in seen], wanted, "numbers")


def test_list_and_follow_in_one_call(rig):
    a, c = rig.id("a"), rig.id("c")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    b = rig.bus()
    rig.ok("ps")
    stream = b.events.Follow(pb.FollowRequest(list=True, follow=True), wait_for_ready=True,
                             timeout=scaled(30))
    listed, cursor = [], None
    for item in stream:
        kind = item.WhichOneof("item")
        if kind == "container":
            listed.append(item.container.id)
        elif kind == "listed":
            cursor = item.listed
            break
    check(a in listed, f"{a} in {listed}")
    rig.run(c, "true")
    for item in stream:
        check_equal(item.WhichOneof("item"), "event", "an event")
        check(item.event.seq > cursor.seq, "behind the list")
        if item.event.type == "exit" and item.event.container == c:
            break
    stream.cancel()


def test_filters(rig):
    a, b = rig.id("a"), rig.id("b")
    rig.run(a, "true")
    rig.run(b, "true")
    rig.crash_point()
    rig.ok("wait", a, b)
    found = rig.ok("--json", "events", "--since", "0", "--filter", "type=exit", "--filter",
                   f"container={a}").objects()
    check_equal([(e["type"], e["container"]) for e in found], [("exit", a)], "filtered")
    done = rig.gantry("events", "--since", "0", "--filter", "nonsense=1")
    check(done.code in (1, 125) and "nonsense" in done.err, f"refused: {done!r}")


def test_a_repeated_create_gets_the_first_answer(rig):
    a = rig.id("a")
    request, first = create(rig, a, "sleep", "1000")
    rig.crash_point()
    b = rig.bus()
    again = b.call(b.containers.Create, request)
    check_equal(again, first, "the answer to a repeat")
    check_equal(len(rig.events("create", container=a)), 1, "creates")
    try:
        b.call(b.containers.Create, pb.CreateRequest(ref=pb.Ref(id=a), spec=request.spec,
                                                     request_id=a + "-other"))
        check(False, "another request is refused")
    except grpc.RpcError as e:
        check_equal(e.code(), grpc.StatusCode.ALREADY_EXISTS, "status")
        check(a in e.details(), e.details())


def test_a_repeated_kill_and_remove(rig):
    a = rig.id("a")
    create(rig, a, "sleep", "1000")
    b = rig.bus()
    kill = pb.KillRequest(ref=pb.Ref(id=a), signal="KILL", request_id=a + "-kill")
    first = b.call(b.containers.Kill, kill)
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(b.call(b.containers.Kill, kill), first, "the answer to a repeated kill")
    check_equal(len(rig.events("kill", container=a)), 1, "kills")
    remove = pb.RemoveRequest(ref=pb.Ref(id=a), request_id=a + "-remove")
    first = b.call(b.containers.Remove, remove)
    rig.crash_point()
    check_equal(b.call(b.containers.Remove, remove), first, "the answer to a repeated remove")
    check_equal(len(rig.events("delete", container=a)), 1, "deletes")


def test_a_request_id_is_for_one_request(rig):
    a = rig.id("a")
    create(rig, a, "sleep", "1000")
    rig.crash_point()
    b = rig.bus()
    try:
        b.call(b.containers.Kill, pb.KillRequest(ref=pb.Ref(id=a), request_id=a + "-create"))
        check(False, "refused")
    except grpc.RpcError as e:
        check_equal(e.code(), grpc.StatusCode.INVALID_ARGUMENT, "status")
    check_equal(rig.state_of(a), "running", "it lives")


def test_a_failed_create_says_why_again(rig):
    a = rig.id("a")
    answers = []
    for _ in range(2):
        try:
            create(rig, a, "/nowhere")
            check(False, "refused")
        except grpc.RpcError as e:
            answers.append((e.code(), e.details(), dict(e.trailing_metadata()).get("gantry-code")))
        rig.crash_point()
    check_equal(answers[1], answers[0], "the answer to a repeat")
    check("/nowhere" in answers[0][1], str(answers))
    check_equal(len(rig.events("create-failed", container=a)), 1, "failures")


def test_the_supervisors_own_life(rig):
    before = rig.ok("--json", "info").objects()[0]
    rig.crash_point()
    until(lambda: rig.alive_pid(), "it lives")
    starts = rig.events("supervisor-started")
    check_equal(starts[0]["details"]["cause"], "first", "cause")
    check(starts[0]["details"]["version"], "version")
    if rig.crash:
        check_equal((starts[-1]["details"]["cause"], starts[-1]["details"]["previous_signal"]),
                    ("crash", "9"), "cause")
        after = rig.ok("--json", "info").objects()[0]
        check(after["generation"] > before["generation"], "generation")
        check_equal(after["epoch"], before["epoch"], "epoch")
