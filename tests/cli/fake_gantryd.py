"""A scripted gantryd: grpcio over a unix socket, with stubs made from messages/gantry.proto.

It runs in a process of its own, so that it can die by SIGKILL in the middle of a call. What
it did is in its book, a file, which its successor reads: so a script knows what was done.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent import futures


def load_stubs(source, where):
    """Makes and imports the messages; returns their module. (protoc itself is used: the one
    in Debian's grpcio-tools is too old for `optional`.)"""
    if not os.path.exists(os.path.join(where, "messages")):
        subprocess.run(["protoc", "-I", source, "--python_out", where, "messages/gantry.proto"],
                       check=True, cwd=source)
    sys.path.insert(0, where)
    return importlib.import_module("messages.gantry_pb2")


def add_service(server, grpc, pb, name, servant):
    """Registers the methods of `servant` as service `name`, by the descriptor."""
    handlers = {}
    for method in pb.DESCRIPTOR.services_by_name[name].methods:
        deed = getattr(servant, method.name, None)
        if deed is None:
            continue
        make = (grpc.unary_stream_rpc_method_handler if method.server_streaming
                else grpc.unary_unary_rpc_method_handler)
        handlers[method.name] = make(
            deed, request_deserializer=getattr(pb, method.input_type.name).FromString,
            response_serializer=getattr(pb, method.output_type.name).SerializeToString)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(f"gantry.v1.{name}", handlers),))


class Book:
    """Requests and facts, one file, so that they survive the death of the server."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()

    def note(self, kind, **facts):
        with self.lock, open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps({"kind": kind, **facts}) + "\n")

    def notes(self, kind=None):
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8") as f:
            return [n for n in map(json.loads, f) if kind is None or n["kind"] == kind]


class Fake:
    """What the services have in common."""

    def __init__(self, pb, book, grpc):
        self.pb, self.book, self.grpc = pb, book, grpc

    def fail(self, context, status, code, message):
        context.set_trailing_metadata((("gantry-code", code),))
        context.abort(getattr(self.grpc.StatusCode, status), message)

    def die_once(self, where):
        """Ends this process as kill -9 would, the first time it comes here."""
        if not self.book.notes("died-" + where):
            self.book.note("died-" + where)
            os.kill(os.getpid(), signal.SIGKILL)


def line(i):
    return f"line {i:06d}\n".encode()


LINES = 3000


def supervisor(fake):
    pb = fake.pb

    class Supervisor:
        def Version(self, request, context):
            return pb.VersionReply(gantry="9.9.9", api="v1", runtime="/usr/sbin/runc",
                                   runtime_version="runc version 1.1.5", kernel="6.1", cgroup="v2",
                                   journal_format=1, keeper_protocol=1, io="io_uring")

        def Info(self, request, context):
            return pb.InfoReply(pid=77, keeper_pid=76, keeper_state="alive", epoch=3, seq=100,
                                fds=20, fd_limit=1024, containers=2, running=1,
                                state_dir="/run/gantry", root_dir="/var/lib/gantry")

        def DiskUse(self, request, context):
            return pb.DiskUseReply(journal_bytes=1 << 20, journal_files=2, containers=[
                pb.ContainerDisk(namespace="default", id="web", log_files=3, log_bytes=2048,
                                 bundle_bytes=4096)])

    return Supervisor()


def container(pb, name, **more):
    # 2**53 + 1 is no double: a printer that goes through one is found out.
    return pb.Container(namespace="default", id=name, instance=2**53 + 1, run=1,
                        command=["sh", "-c", "echo \"hi\""], created_at_ns=1_700_000_000_123456789,
                        runtime="/usr/sbin/runc", **more)


def containers(fake):
    pb = fake.pb
    ended = pb.Exit(signal=9, oom=True, oom_level="container", exited_at_ns=1_700_000_009_000000001)

    class Containers:
        def Create(self, request, context):
            first = not fake.book.notes("create")
            fake.book.note("create", id=request.ref.id, request_id=request.request_id,
                           start=request.start, args=list(request.spec.args),
                           env=list(request.spec.env), memory=request.spec.resources.memory_bytes,
                           nano_cpus=request.spec.resources.nano_cpus,
                           pids=request.spec.resources.pids_limit, rootfs=request.spec.rootfs,
                           labels=dict(request.spec.labels), rm=request.spec.remove_on_exit,
                           stdin=request.spec.with_stdin)
            if request.ref.id == "lost" and first:
                fake.die_once("create")
            if request.ref.id == "taken":
                fake.fail(context, "ALREADY_EXISTS", "already_exists",
                          "container \"taken\": the name is in use (choose another — 100 %)")
            if request.spec.args and request.spec.args[0] == "/missing":
                fake.fail(context, "NOT_FOUND", "command_not_found", "no such command: /missing")
            if request.spec.args and request.spec.args[0] == "/etc/passwd":
                fake.fail(context, "FAILED_PRECONDITION", "not_executable", "not executable")
            return pb.CreateReply(instance=42, pid=1234, seq=101, process_serial=5)

        def Wait(self, request, context):
            fake.book.note("wait", id=request.ref.id, instance=request.instance,
                           process=request.process)
            if request.ref.id == "lost":
                fake.die_once("wait")
            if request.ref.id == "gone":
                fake.fail(context, "NOT_FOUND", "not_found", "no container \"gone\"")
            if request.ref.id == "patient":
                # Ends when it has been signalled, like a shell's `trap`.
                while not [n for n in fake.book.notes("kill") if n["id"] == "patient"]:
                    if not context.is_active():
                        return None
                    threading.Event().wait(0.01)
                return pb.WaitReply(exit=pb.Exit(signal=15), instance=42)
            if request.ref.id == "killed":
                return pb.WaitReply(exit=ended, instance=42, run=1)
            if request.ref.id == "reader":
                while not fake.book.notes("close-stdin"):
                    threading.Event().wait(0.01)
            code = 7 if request.ref.id in ("seven", "lost") else 0
            return pb.WaitReply(exit=pb.Exit(exit_code=code), instance=42, run=1)

        def Kill(self, request, context):
            fake.book.note("kill", id=request.ref.id, process=request.process,
                           signal=request.signal, all=request.all)
            return pb.KillReply(seq=110)

        def List(self, request, context):
            fake.book.note("list", filter=" ".join(str(request.filter).split()))
            if request.namespace == "late":
                fake.die_once("list")
            reply = pb.ListReply(cursor=pb.Cursor(epoch=3, seq=100))
            reply.containers.append(container(pb, "web", state=pb.RUNNING, pid=4242,
                                              started_at_ns=1_700_000_001_000000000))
            if request.all:
                reply.containers.append(container(pb, "old", state=pb.STOPPED, exit=ended))
            return reply

        def Inspect(self, request, context):
            if request.ref.id == "gone":
                fake.fail(context, "NOT_FOUND", "not_found", "no container \"gone\"")
            return pb.ContainerDetail(summary=container(pb, request.ref.id, state=pb.RUNNING),
                                      config_json='{ "ociVersion": "1.0.2",\n "x": [ ] }')

        def Stop(self, request, context):
            fake.book.note("stop", id=request.ref.id, timeout_ns=request.timeout_ns,
                           given=request.HasField("timeout_ns"))
            return pb.StopReply(exit=pb.Exit(exit_code=0))

        def Update(self, request, context):
            fake.book.note("update", id=request.ref.id, memory=request.resources.memory_bytes,
                           pids=request.resources.pids_limit)
            return pb.UpdateReply(seq=111)

        def Remove(self, request, context):
            if request.ref.id == "gone":
                fake.fail(context, "NOT_FOUND", "not_found", "no container \"gone\"")
            fake.book.note("remove", id=request.ref.id, force=request.force)
            return pb.RemoveReply(seq=112)

        def Stats(self, request, context):
            return pb.StatsReply(stats=[pb.Stats(
                namespace="default", id="web", cpu_usage_ns=2**63 + 5, memory_bytes=3 << 20,
                raw={"memory.current": "3145728\n"})])

        def Top(self, request, context):
            return pb.TopReply(processes=[pb.TopProcess(pid=9, ppid=1, command="evil \x1b[2J",
                                                        process="init", state="S")])

    return Containers()


def processes(fake):
    pb = fake.pb

    class Processes:
        def Exec(self, request, context):
            fake.book.note("exec", id=request.ref.id, args=list(request.spec.args),
                           process=request.process)
            return pb.ExecReply(process=request.process or "exec-1", pid=55, seq=120, instance=42)

        def WriteStdin(self, request, context):
            # A small pipe that takes an odd piece, or nothing, and a server that dies.
            taken = b"".join(bytes.fromhex(n["data"]) for n in fake.book.notes("stdin"))
            if len(taken) > 100_000:
                fake.die_once("stdin")
            turn = len(fake.book.notes("stdin-turn"))
            fake.book.note("stdin-turn")
            fresh = request.data[len(taken) - request.offset:][:0 if turn % 3 == 0 else 30_001]
            fake.book.note("stdin", data=fresh.hex())
            if turn % 5 == 4:
                fake.die_once(f"stdin-answer-{len(taken) > 50_000}")
            return pb.WriteStdinReply(offset=len(taken) + len(fresh))

        def CloseStdin(self, request, context):
            fake.book.note("close-stdin", request_id=request.request_id)
            return pb.CloseStdinReply()

    return Processes()


def events(fake):
    pb = fake.pb

    def one(seq):
        event = pb.Event(seq=seq, epoch=3, time_ns=1_700_000_000_000000000 + seq, type="start",
                         namespace="default", container="web", instance=42, run=1, process="init",
                         pid=1234, cause=seq - 1, by=pb.By(uid=1000, gid=100, pid=7))
        if seq % 10 == 0:
            event.type = "exit"
            event.exit.CopyFrom(pb.Exit(signal=9, oom=True, stdout_bytes=2**40, io_open=True))
            event.ClearField("by")
        return pb.FollowItem(event=event)

    class Events:
        def Follow(self, request, context):
            fake.book.note("follow", given=request.HasField("since"), epoch=request.since.epoch,
                           seq=request.since.seq, list=request.list, follow=request.follow,
                           types=list(request.filter.types), namespace=request.filter.namespace)
            if request.list:
                yield pb.FollowItem(container=container(pb, "web", state=pb.RUNNING))
                fake.die_once("list-half")
                yield pb.FollowItem(listed=pb.Cursor(epoch=3, seq=100))
            for seq in range(max(request.since.seq, 100) + 1, 141):
                yield one(seq)
                if seq == 120 and request.filter.namespace == "dying":
                    # What was handed to grpcio is on the wire when the peer has read it.
                    threading.Event().wait(0.2)
                    fake.die_once("events")

    return Events()


def logs(fake):
    pb = fake.pb

    class Logs:
        def Read(self, request, context):
            fake.book.note("read", id=request.ref.id, cursor=request.cursor, tail=request.tail,
                           follow=request.follow, instance=request.instance,
                           process=request.process)
            if request.ref.id == "binary":
                yield pb.LogChunk(stream=1, data=b"\xff\x00ok\n", time_ns=1, cursor="1")
                yield pb.LogChunk(stream=2, data=b"half a ", time_ns=2, cursor="2")
                yield pb.LogChunk(stream=2, data=b"cut line\nnext", time_ns=3, cursor="3")
                yield pb.LogChunk(stream=2, data=b"last", time_ns=4, cursor="4", missing_files=2)
                return
            if request.ref.id == "cuts":
                for i in range(int(request.cursor or 0), 24):
                    yield pb.LogChunk(stream=1 + i % 2, data=line(i) * (1 + i % 5 * 400), time_ns=i,
                                      cursor=str(i + 1))
                return
            if request.ref.id == "loud":
                piece = b"x" * 65_536
                for i in range(1600):
                    yield pb.LogChunk(stream=1, data=piece, time_ns=1, cursor=str(i + 1))
                return
            if request.ref.id != "lost":
                yield pb.LogChunk(stream=1, data=b"out\n", time_ns=1, cursor="1")
                yield pb.LogChunk(stream=2, data=b"err\n", time_ns=2, cursor="2")
                return
            for i in range(int(request.cursor or 0), LINES):
                yield pb.LogChunk(stream=1, data=line(i), time_ns=i, cursor=str(i + 1))
                if i in (700, 1900):
                    threading.Event().wait(0.05)
                    fake.die_once(f"logs-{i}")

    return Logs()


def main():
    socket_path, source, stubs_dir, book_path = sys.argv[1:5]
    pb = load_stubs(source, stubs_dir)
    import grpc
    fake = Fake(pb, Book(book_path), grpc)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    for name, servant in (("Supervisor", supervisor), ("Containers", containers),
                          ("Processes", processes), ("Events", events), ("Logs", logs)):
        add_service(server, grpc, pb, name, servant(fake))
    server.add_insecure_port("unix:" + socket_path)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
