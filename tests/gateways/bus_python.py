"""What the Python tests of the bus share: the messages, stubs, a running fake_server.

The test's command line: TEST FAKE_SERVER SOURCE_DIR
"""

import importlib
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

FAKE_SERVER, SOURCE_DIR = sys.argv[1:3]
WORK = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bus-py-"))
DEADLINE = 20  # seconds; far beyond what anything here takes


def make_messages(name):
    """Generates the Python module of messages/NAME.proto. (With protoc itself: Debian's
    grpc_tools is too old for `optional` in proto3.)"""
    subprocess.run(["protoc", f"-I{SOURCE_DIR}", f"--python_out={WORK}",
                    f"messages/{name}.proto"], check=True)
    if str(WORK) not in sys.path:
        sys.path.insert(0, str(WORK))
    importlib.invalidate_caches()
    return importlib.import_module(f"messages.{name}_pb2")


pb = make_messages("gantry")


class Stub:
    """The methods of one service, as the generated stubs have them."""

    def __init__(self, channel, service):
        for method in pb.DESCRIPTOR.services_by_name[service].methods:
            make = channel.unary_stream if method.name in ("Follow", "Read") \
                else channel.unary_unary
            setattr(self, method.name,
                    make(f"/gantry.v1.{service}/{method.name}",
                         request_serializer=getattr(pb, method.input_type.name)
                         .SerializeToString,
                         response_deserializer=getattr(pb, method.output_type.name)
                         .FromString))


class Server:
    """A running fake_server."""

    def __init__(self, path):
        self.path = path
        self.process = subprocess.Popen([FAKE_SERVER, str(path)], stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if line != b"ready\n":
            raise RuntimeError(f"the server said {line!r}")

    def publish(self):
        self.process.send_signal(signal.SIGUSR1)

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(status.split("VmRSS:")[1].split()[0])

    def stop(self):
        self.process.terminate()
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.path.unlink()
        return code


def ref(name):
    return pb.Ref(id=name)


def follow(count, on=False):
    return pb.FollowRequest(follow=on, filter=pb.EventFilter(containers=[str(count)]))


class BusCase(unittest.TestCase):
    """A test with a server of its own and a channel to it."""

    def setUp(self):
        self.server = Server(WORK / "bus")
        self.channel = self.connect()
        self.supervisor = Stub(self.channel, "Supervisor")
        self.containers = Stub(self.channel, "Containers")
        self.processes = Stub(self.channel, "Processes")
        self.events = Stub(self.channel, "Events")
        self.logs = Stub(self.channel, "Logs")

    def tearDown(self):
        self.channel.close()
        # 0 also means: no connection and no follower was left behind.
        self.assertEqual(self.server.stop(), 0)

    def connect(self, options=()):
        # A channel of its own each time, not one that the library shares behind our back.
        return grpc.insecure_channel(f"unix:{self.server.path}",
                                     options=[("grpc.use_local_subchannel_pool", 1), *options])

    def info(self):
        return self.supervisor.Info(pb.InfoRequest(), timeout=DEADLINE)

    def wait_for(self, what):
        limit = time.monotonic() + DEADLINE
        while not what():
            self.assertLess(time.monotonic(), limit, "it did not come to pass")


def main():
    try:
        unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
    finally:
        shutil.rmtree(WORK)
