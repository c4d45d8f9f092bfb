"""containerd over its gRPC, as a program would use it: no client is started for a call."""

import importlib
import json
import os
import subprocess
import sys

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
NAMESPACE = (("containerd-namespace", "default"),)


def load_messages(where):
    subprocess.run(["protoc", "-I", HERE, "--python_out", where, "containerd.proto"], check=True)
    sys.path.insert(0, where)
    return importlib.import_module("containerd_pb2")


class Api:
    def __init__(self, address, work):
        self.pb = load_messages(work)
        self.channel = grpc.insecure_channel(
            f"unix://{address}", options=[("grpc.default_authority", "localhost")])
        config = json.loads(subprocess.run(["runc", "spec", "--bundle", work], check=True)
                            and open(os.path.join(work, "config.json")).read())
        self.config = config

    def call(self, service, method, request, reply=None, patience=60):
        reply = reply or self.pb.Nothing
        ask = self.channel.unary_unary(
            f"/containerd.services.{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString)
        return ask(request, timeout=patience, metadata=NAMESPACE)

    def task(self, method, name, process="", reply=None):
        return self.call("tasks.v1.Tasks", method,
                         self.pb.TaskRequest(container_id=name, exec_id=process), reply)

    def process_of(self, args):
        return dict(self.config["process"], terminal=False, args=list(args))

    def create(self, name, rootfs, *args):
        """A container and its task; the pid of its init, which has not begun."""
        pb = self.pb
        config = dict(self.config, root={"path": rootfs}, process=self.process_of(args))
        config["linux"] = dict(config["linux"], cgroupsPath=f"/default/{name}")
        spec = pb.Any(type_url=SPEC, value=json.dumps(config).encode())
        self.call("containers.v1.Containers", "Create", pb.CreateContainerRequest(
            container=pb.Container(id=name, runtime=pb.Runtime(name="io.containerd.runc.v2"),
                                   spec=spec)))
        return self.call("tasks.v1.Tasks", "Create", pb.CreateTaskRequest(container_id=name),
                         pb.CreateTaskResponse).pid

    def start(self, name):
        self.task("Start", name)

    def wait(self, name, process=""):
        return self.task("Wait", name, process, self.pb.WaitResponse).exit_status

    def delete(self, name):
        self.call("tasks.v1.Tasks", "Delete", self.pb.TaskRequest(container_id=name))
        self.call("containers.v1.Containers", "Delete", self.pb.DeleteContainerRequest(id=name))

    def exec(self, name, process, *args):
        """Another process in it; answers when that has exited and is forgotten."""
        pb = self.pb
        spec = pb.Any(type_url=PROCESS, value=json.dumps(self.process_of(args)).encode())
        self.call("tasks.v1.Tasks", "Exec",
                  pb.ExecRequest(container_id=name, exec_id=process, spec=spec))
        self.task("Start", name, process)
        self.wait(name, process)

    def exits(self):
        """The ids of containers and processes that exit, as the stream of events brings them."""
        follow = self.channel.unary_stream(
            "/containerd.services.events.v1.Events/Subscribe",
            request_serializer=self.pb.SubscribeRequest.SerializeToString,
            response_deserializer=self.pb.Envelope.FromString)
        return follow(self.pb.SubscribeRequest(filters=['topic=="/tasks/exit"']),
                      metadata=NAMESPACE)

    def exited(self, envelope):
        return self.pb.TaskExit.FromString(envelope.event.value).id

    def close(self):
        self.channel.close()
