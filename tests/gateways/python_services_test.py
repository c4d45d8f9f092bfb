"""Reflection and health as grpcio's clients use them, over requests that stream.

Usage: python_services_test.py FAKE_SERVER SOURCE_DIR
"""

import os
import queue
import subprocess
import sys
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import bus_python
from bus_python import DEADLINE, BusCase, make_messages

refl = make_messages("reflection")
health = make_messages("health")
VERSIONS = ("v1", "v1alpha")


class Questions:
    """Requests of a stream, given one by one; iteration ends at `close`."""

    def __init__(self):
        self.queue = queue.Queue()

    def put(self, **what):
        self.queue.put(refl.ServerReflectionRequest(**what))

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        question = self.queue.get()
        if question is None:
            raise StopIteration
        return question


class ServicesTest(BusCase):

    def reflection(self, version, requests):
        call = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=refl.ServerReflectionRequest.SerializeToString,
            response_deserializer=refl.ServerReflectionResponse.FromString)
        return call(requests, timeout=DEADLINE)

    def ask(self, **what):
        asked = Questions()
        asked.put(**what)
        asked.close()
        answers = list(self.reflection("v1", asked))
        self.assertEqual(len(answers), 1)
        self.assertEqual(answers[0].original_request, refl.ServerReflectionRequest(**what))
        return answers[0]

    def test_list(self):
        for version in VERSIONS:
            asked = Questions()
            asked.put(list_services="")
            asked.close()
            answer, = self.reflection(version, asked)
            names = [s.name for s in answer.list_services_response.service]
            self.assertEqual(names, sorted(names))
            for name in ("gantry.v1.Containers", "gantry.v1.Events", "grpc.health.v1.Health",
                         "grpc.reflection.v1.ServerReflection",
                         "grpc.reflection.v1alpha.ServerReflection"):
                self.assertIn(name, names)

    def test_a_conversation(self):
        # Each answer before the next question: nothing waits for the end of the requests.
        for version in VERSIONS:
            asked = Questions()
            answers = self.reflection(version, asked)
            for n in range(20):
                asked.put(host=str(n), list_services="*")
                self.assertEqual(next(answers).valid_host, str(n))
            asked.close()
            self.assertEqual(list(answers), [])
            self.assertEqual(answers.code(), grpc.StatusCode.OK)

    def pool_of_all_services(self):
        """A pool made of nothing but what reflection tells."""
        pool = descriptor_pool.DescriptorPool()
        seen = set()
        services = self.ask(list_services="").list_services_response.service
        for service in services:
            files = self.ask(file_containing_symbol=service.name).file_descriptor_response
            for data in reversed(files.file_descriptor_proto):
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                if file.name not in seen:
                    seen.add(file.name)
                    pool.Add(file)
        return pool, [s.name for s in services]

    def test_a_client_of_nothing_but_reflection(self):
        pool, names = self.pool_of_all_services()
        for name in names:
            self.assertGreater(len(pool.FindServiceByName(name).methods), 0)
        method = pool.FindMethodByName("gantry.v1.Containers.Inspect")
        make = message_factory.MessageFactory(pool).GetPrototype
        request, reply = make(method.input_type), make(method.output_type)
        call = self.channel.unary_unary("/gantry.v1.Containers/Inspect",
                                        request_serializer=request.SerializeToString,
                                        response_deserializer=reply.FromString)
        asked = request()
        asked.ref.id = "web"
        self.assertEqual(call(asked, timeout=DEADLINE).summary.id, "web")

    def test_symbols_and_files(self):
        for symbol in ("gantry.v1.Containers", "gantry.v1.Containers.List", "gantry.v1.Exit",
                       "gantry.v1.Exit.oom", "gantry.v1.RUNNING",
                       "grpc.reflection.v1alpha.ErrorResponse",
                       "grpc.health.v1.HealthCheckResponse.ServingStatus"):
            files = self.ask(file_containing_symbol=symbol).file_descriptor_response
            first = descriptor_pb2.FileDescriptorProto.FromString(files.file_descriptor_proto[0])
            self.assertTrue(symbol.startswith(first.package + "."), symbol)
            again = self.ask(file_by_filename=first.name).file_descriptor_response
            self.assertEqual(again, files)

    def test_what_there_is_not(self):
        for what in (dict(file_by_filename="messages/journal.proto"), dict(file_by_filename=""),
                     dict(file_containing_symbol="gantry.journal.Record"),
                     dict(file_containing_symbol="gantry.v1.Nothing"),
                     dict(all_extension_numbers_of_type="gantry.v1.Nothing"),
                     dict(file_containing_extension=refl.ExtensionRequest(
                         containing_type="gantry.v1.Exit", extension_number=3))):
            self.assertEqual(self.ask(**what).error_response.error_code,
                             grpc.StatusCode.NOT_FOUND.value[0], what)
        self.assertEqual(self.ask().error_response.error_code,
                         grpc.StatusCode.INVALID_ARGUMENT.value[0])
        none = self.ask(all_extension_numbers_of_type="gantry.v1.Exit")
        self.assertEqual(none.all_extension_numbers_response.base_type_name, "gantry.v1.Exit")

    def test_broken_question(self):
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with self.assertRaises(grpc.RpcError) as caught:
            list(call(iter([b"\xff\xff\xff"]), timeout=DEADLINE))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_many_questions_before_the_first_answer_is_read(self):
        count = 3000
        asked = Questions()
        for _ in range(count):
            asked.put(file_containing_symbol="gantry.v1.Containers")
        asked.close()
        answers = self.reflection("v1", asked)
        self.info()  # The others are served meanwhile.
        self.assertEqual(sum(1 for _ in answers), count)

    def test_cancel(self):
        asked = Questions()
        asked.put(list_services="")
        answers = self.reflection("v1", asked)
        next(answers)
        answers.cancel()
        asked.close()
        self.info()

    def watch(self, service):
        call = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health.HealthCheckRequest.SerializeToString,
            response_deserializer=health.HealthCheckResponse.FromString)
        return call(health.HealthCheckRequest(service=service), timeout=DEADLINE)

    def test_watch_until_the_end(self):
        status = health.HealthCheckResponse
        whole, unknown = self.watch(""), self.watch("no.such.Service")
        self.assertEqual(next(whole).status, status.SERVING)
        self.assertEqual(next(unknown).status, status.SERVICE_UNKNOWN)
        self.server.process.terminate()
        self.assertEqual(next(whole).status, status.NOT_SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            next(whole)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)


CROWD = """
import os, select, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
crowd = []
for _ in range(200):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    crowd.append(s)
for s in crowd:  # Whoever is let in is greeted with SETTINGS; the others see the end.
    select.select([s], [], [], 20)
held = [s for s in crowd if s.recv(64)]
print(len(held), flush=True)
sys.stdin.read()
"""


@unittest.skipUnless(os.getuid() == 0, "needs root, to be somebody else")
class CrowdTest(BusCase):

    def test_one_user_does_not_keep_the_others_out(self):
        os.chmod(bus_python.WORK, 0o711)
        os.chmod(self.server.path, 0o666)
        crowd = subprocess.Popen([sys.executable, "-c", CROWD, str(self.server.path)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(int(crowd.stdout.readline()), 64)
        channels = [self.connect() for _ in range(80)]  # We may have more than one user.
        for channel in channels:
            stub = bus_python.Stub(channel, "Supervisor")
            self.assertEqual(
                stub.Version(bus_python.pb.VersionRequest(), timeout=DEADLINE).gantry, "fake")
        for channel in channels:
            channel.close()
        crowd.communicate(timeout=DEADLINE)


if __name__ == "__main__":
    bus_python.main()
