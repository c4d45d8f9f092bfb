"""The bus by python3-grpcio, from our .proto alone: a client that shares no code with gantry."""

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc  # noqa: E402

from checks import scaled  # noqa: E402

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICES = ("Supervisor", "Containers", "Processes", "Events", "Logs")


def make_messages():
    """Generates the Python module of messages/gantry.proto, with protoc itself."""
    work = tempfile.mkdtemp(prefix="gantry-proto-")
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    subprocess.run(["protoc", f"-I{SOURCE}", f"--python_out={work}", "messages/gantry.proto"],
                   check=True)
    sys.path.insert(0, work)
    return importlib.import_module("messages.gantry_pb2")


pb = make_messages()


def connect(path):
    return grpc.insecure_channel(
        f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1),
                                 ("grpc.initial_reconnect_backoff_ms", 50),
                                 ("grpc.min_reconnect_backoff_ms", 50)])


class Stub:
    """The methods of one service."""

    def __init__(self, channel, service):
        for method in pb.DESCRIPTOR.services_by_name[service].methods:
            make = channel.stream_stream if method.name == "Attach" \
                else channel.unary_stream if method.name in ("Follow", "Read") \
                else channel.unary_unary
            call = make(f"/gantry.v1.{service}/{method.name}",
                        request_serializer=getattr(pb, method.input_type.name).SerializeToString,
                        response_deserializer=getattr(pb, method.output_type.name).FromString)
            setattr(self, method.name, call)


class Stubs:
    """Every service of a channel; `call` repeats what a crash of gantryd has cut off."""

    def __init__(self, channel):
        for service in SERVICES:
            setattr(self, service.lower(), Stub(channel, service))

    @staticmethod
    def call(method, request, tries=50):
        for attempt in range(tries):
            try:
                return method(request, timeout=scaled(30), wait_for_ready=True)
            except grpc.RpcError as e:
                if e.code() != grpc.StatusCode.UNAVAILABLE or attempt + 1 == tries:
                    raise
        raise AssertionError("unreachable")
