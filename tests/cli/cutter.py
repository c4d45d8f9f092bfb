"""A connection that breaks at a chosen place."""

import contextlib
import os
import socket
import threading

import fake_gantryd


class Cutter:
    """A way to a server that breaks once: behind so many of the server's frames, or so many
    bytes into the next one. Afterwards it holds."""

    def __init__(self, path, server, frames, more):
        self.server, self.frames, self.more = server, frames, more
        self.has_cut = False
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(path)
        self.door.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            threading.Thread(target=self.copy, args=(client, server), daemon=True).start()
            if self.has_cut or self.frames is None:
                self.copy(server, client)
            else:
                self.cut(server, client)
            for s in (client, server):  # A close alone would wait for the other thread.
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
                s.close()

    @staticmethod
    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self, server, client):
        have = b""
        for _ in range(self.frames):  # RFC 9113, 4.1: three bytes of length, nine in all.
            while len(have) < 9 or len(have) < 9 + int.from_bytes(have[:3], "big"):
                data = server.recv(65536)
                if not data:
                    return
                have += data
            whole = 9 + int.from_bytes(have[:3], "big")
            client.sendall(have[:whole])
            have = have[whole:]
        left = self.more
        while left > len(have):
            client.sendall(have)
            left -= len(have)
            have = server.recv(65536)
            if not have:
                return
        client.sendall(have[:left])
        self.has_cut = True

    def close(self):
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()


class CutTests:
    """Of the program, whose test has them beside its own."""

    def test_a_connection_cut_at_any_frame_loses_and_doubles_nothing(self):
        out = b"".join(fake_gantryd.line(i) * (1 + i % 5 * 400) for i in range(0, 24, 2))
        err = b"".join(fake_gantryd.line(i) * (1 + i % 5 * 400) for i in range(1, 24, 2))
        cuts = 0
        for more in (0, 5, 700):  # At a frame's end, in the next one's head, in its body.
            for frames in range(1, 200):
                path = os.path.join(self.where, f"cut-{frames}-{more}.sock")
                way = Cutter(path, self.daemon.socket, frames, more)
                done = self.gantry("--socket", path, "run", "--name", "cuts", "--rootfs", "/srv",
                                   "x")
                way.close()
                self.assertEqual((done.stdout == out, done.stderr == err), (True, True),
                                 f"cut behind {frames} frames and {more} bytes: "
                                 f"{len(done.stdout)} of {len(out)}, {done.stderr[:300]}")
                cuts += way.has_cut
                if not way.has_cut:
                    break
        self.assertGreater(cuts, 60)
