"""The bus as a client sees it that shares no code with it: grpcio.

Usage: python_client_test.py FAKE_SERVER SOURCE_DIR
"""

import os
import threading

import grpc

import bus_python
from bus_python import DEADLINE, WORK, BusCase, Server, Stub, follow, pb, ref


class BusTest(BusCase):

    def test_unary(self):
        reply = self.supervisor.Version(pb.VersionRequest(), timeout=DEADLINE)
        self.assertEqual((reply.gantry, reply.api), ("fake", "v1"))
        detail = self.containers.Inspect(pb.InspectRequest(ref=ref("web")), timeout=DEADLINE)
        self.assertEqual(detail.message, f"{os.getuid()}/{os.getgid()}/{os.getpid()}")

    def test_error_with_code_and_trailers(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.containers.Inspect(pb.InspectRequest(ref=ref("missing")), timeout=DEADLINE)
        error = caught.exception
        self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(error.details(), "no such container: „missing“ (100%) "
                                          "(look at the list: gantry list)")
        trailers = dict(error.trailing_metadata())
        self.assertEqual(trailers["gantry-code"], "not_found")
        self.assertEqual(trailers["gantry-cure"], "look at the list: gantry list")

    def test_unknown_method(self):
        call = self.channel.unary_unary("/gantry.v1.Containers/Explode")
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"", timeout=DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIn("/gantry.v1.Containers/Explode", caught.exception.details())

    def test_broken_request(self):
        call = self.channel.unary_unary("/gantry.v1.Containers/Inspect")
        with self.assertRaises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff\xff", timeout=DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_compressed_request(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.processes.WriteStdin(pb.WriteStdinRequest(data=bytes(10000)), timeout=DEADLINE,
                                      compression=grpc.Compression.Gzip)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_ten_thousand_events(self):
        seqs = [item.event.seq for item in self.events.Follow(follow(10000), timeout=DEADLINE)]
        self.assertEqual(seqs, list(range(1, 10001)))

    def test_follow_hears_what_is_published(self):
        call = self.events.Follow(follow(3, on=True), timeout=DEADLINE)
        self.assertEqual([next(call).event.seq for _ in range(3)], [1, 2, 3])
        for seq in (4, 5):
            self.server.publish()
            item = next(call)
            self.assertEqual((item.event.seq, item.event.type), (seq, "published"))
        call.cancel()

    def test_slow_reader_is_bounded_and_loses_nothing(self):
        total = 100_000
        call = self.events.Follow(follow(f"{total}:300"), timeout=DEADLINE * 3)
        self.assertEqual(next(call).event.seq, 1)
        self.wait_for(self.stands_still)
        self.assertLess(self.info().seq, total // 2)
        self.assertLess(self.server.rss_kib(), 64 * 1024)
        self.assertEqual([item.event.seq for item in call], list(range(2, total + 1)))

    def stands_still(self):
        first = self.info().seq
        # Fifty calls take some milliseconds, in which an unbounded source would draw more.
        for _ in range(50):
            self.info()
        return self.info().seq == first

    def test_cancel_ends_the_follower(self):
        call = self.events.Follow(follow(0, on=True), timeout=DEADLINE)
        self.wait_for(lambda: self.info().running == 1)
        call.cancel()
        self.wait_for(lambda: self.info().running == 0)

    def test_deadline(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.containers.Wait(pb.WaitRequest(ref=ref("hang")), timeout=0.05)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.events.Follow(follow(1, on=True), timeout=0.05))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.wait_for(lambda: self.info().running == 0)

    def test_message_limit(self):
        limit = 4 << 20
        with self.assertRaises(grpc.RpcError) as caught:
            self.processes.WriteStdin(pb.WriteStdinRequest(data=bytes(limit + 1)),
                                      timeout=DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        size = limit - 100
        reply = self.processes.WriteStdin(pb.WriteStdinRequest(data=bytes(size)),
                                          timeout=DEADLINE)
        self.assertEqual(reply.offset, size)

    def test_large_reply(self):
        reply = self.containers.List(pb.ListRequest(namespace="1000:3000"), timeout=DEADLINE)
        self.assertEqual(len(reply.containers), 1000)
        self.assertGreater(reply.ByteSize(), 3_000_000)

    def test_half_close(self):
        # A client that streams its request, and closes its side long before the answer.
        call = self.channel.stream_unary(
            "/gantry.v1.Containers/Inspect",
            request_serializer=pb.InspectRequest.SerializeToString,
            response_deserializer=pb.ContainerDetail.FromString)
        go = threading.Event()

        def requests():
            go.wait(DEADLINE)
            yield pb.InspectRequest(ref=ref("web"))

        future = call.future(requests(), timeout=DEADLINE)
        self.assertFalse(future.done())
        go.set()
        self.assertEqual(future.result(DEADLINE).summary.id, "web")

    def test_many_streams_at_once(self):
        calls = [self.events.Follow(follow(100), timeout=DEADLINE) for _ in range(200)]
        futures = [self.containers.Inspect.future(pb.InspectRequest(ref=ref(f"c{n}")),
                                                  timeout=DEADLINE) for n in range(500)]
        for n, future in enumerate(futures):
            self.assertEqual(future.result(DEADLINE).summary.id, f"c{n}")
        for call in calls:
            self.assertEqual([item.event.seq for item in call], list(range(1, 101)))

    def test_log(self):
        request = pb.ReadLogRequest(ref=ref("web"), tail=3000)
        chunks = list(self.logs.Read(request, timeout=DEADLINE))
        self.assertEqual(sum(len(c.data) for c in chunks), 3_000_000)

    def test_many_connections(self):
        channels = [self.connect() for _ in range(50)]
        for channel in channels:
            self.assertEqual(
                Stub(channel, "Supervisor").Version(pb.VersionRequest(), timeout=DEADLINE).gantry,
                "fake")
        for channel in channels:
            channel.close()

    def test_reconnect(self):
        follower = self.events.Follow(follow(1, on=True), timeout=DEADLINE)
        self.assertEqual(next(follower).event.seq, 1)
        self.assertEqual(self.server.stop(), 0)
        with self.assertRaises(grpc.RpcError) as caught:
            next(follower)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.server = Server(WORK / "bus")
        reply = self.supervisor.Version(pb.VersionRequest(), timeout=DEADLINE,
                                        wait_for_ready=True)
        self.assertEqual(reply.gantry, "fake")


if __name__ == "__main__":
    bus_python.main()
