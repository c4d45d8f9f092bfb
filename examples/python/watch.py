#!/usr/bin/python3
"""Watches a supervisor over gRPC: its containers as they are, then every event.

  watch.py SOCKET PROTO_DIR [EVENTS]

PROTO_DIR holds messages/gantry.proto (installed: PREFIX/share/gantry). Needs protoc and
python3-grpcio; the stubs are made on the fly.
"""

import importlib
import subprocess
import sys
import tempfile

import grpc


def load_messages(proto_dir, into):
    subprocess.run(["protoc", f"-I{proto_dir}", f"--python_out={into}", "messages/gantry.proto"],
                   check=True)
    sys.path.insert(0, into)
    return importlib.import_module("messages.gantry_pb2")


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 64
    left = int(sys.argv[3]) if len(sys.argv) == 4 else -1
    with tempfile.TemporaryDirectory() as work:
        pb = load_messages(sys.argv[2], work)
        with grpc.insecure_channel(f"unix:{sys.argv[1]}") as channel:
            follow = channel.unary_stream(
                "/gantry.v1.Events/Follow",
                request_serializer=pb.FollowRequest.SerializeToString,
                response_deserializer=pb.FollowItem.FromString)
            request = pb.FollowRequest(follow=True, list=True,
                                       filter=pb.EventFilter(namespace="*"))
            for item in follow(request):
                if item.HasField("container"):
                    state = pb.State.Name(item.container.state).lower()
                    print("container", item.container.id, state)
                elif item.HasField("listed"):
                    print("events from here on")
                elif item.HasField("event"):
                    print(item.event.seq, item.event.type, item.event.container)
                    left -= 1
                sys.stdout.flush()
                if left == 0:
                    return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
