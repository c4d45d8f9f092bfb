#!/usr/bin/python3
"""Chaos: kill -9 of gantryd, again and again, under a mixed load of real containers; then
proof that nothing is lost, doubled or left behind.

  tests/host/chaos.py BIN_DIR [--kills N] [--seed S] [--pause-ms MS]

Workers create, exec, stop, kill and remove containers; writers print at full speed, in blocks
of 64 KiB and in single lines, and some of them end while gantryd is down. At the end: every
process's exit is there exactly once with the right code, every log is byte for byte what was
written, and no command of the client failed.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import Broken, Rig, check, check_equal, check_stream, process_state, until  # noqa: E402

BLOCK_MIB = 24


class Load:
    """What runs while gantryd is killed, and what it expects to be found afterwards."""

    def __init__(self, rig, seed):
        self.rig, self.seed = rig, seed
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.trouble = []
        self.exits = {}  # (container, process) → code, or None with a signal
        self.counts = {"containers": 0, "execs": 0, "log_bytes": 0, "calls": 0}

    def call(self, *args, codes=(0,), patience=60):
        answer = self.rig.gantry(*args, patience=patience)
        with self.lock:
            self.counts["calls"] += 1
        check(answer.code in codes, f"a command failed: {answer!r}")
        return answer

    def expect(self, name, process, code, signal=0):
        with self.lock:
            self.exits[(name, process)] = (code, signal)
            self.counts["containers" if process == "init" else "execs"] += 1

    def add_bytes(self, n):
        with self.lock:
            self.counts["log_bytes"] += n

    def guard(self, f, *args):
        """Runs a worker; what goes wrong in it is kept."""
        try:
            f(*args)
        except Broken as e:
            with self.lock:
                self.trouble.append(f"{f.__name__}: {e}")
        except Exception:
            with self.lock:
                self.trouble.append(f"{f.__name__}: {traceback.format_exc(limit=-3)}")

    # -- short lives ---------------------------------------------------------------------

    def lives(self, number):
        dice = random.Random(self.seed * 1000 + number)
        turn = 0
        while not self.over.is_set():
            turn += 1
            deed = dice.choice((self.ends_by_itself, self.is_killed, self.is_stopped,
                                self.has_execs, self.is_created_first, self.runs_in_front))
            deed(f"w{number}-{turn}", dice)

    def ends_by_itself(self, name, dice):
        code = dice.randrange(256)
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "sh", "-c",
                  f"echo {name}; sleep 0.{dice.randrange(4)}; exit {code}")
        check_equal(self.call("wait", name).out, f"{code}\n", f"wait of {name}")
        check_equal(self.call("logs", name).out, f"{name}\n", f"log of {name}")
        self.call("rm", name)
        self.expect(name, "init", code)

    def is_killed(self, name, dice):
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "sleep", "1000")
        self.call("kill", name)
        check_equal(self.call("wait", name).out, "137\n", f"wait of {name}")
        self.call("rm", name)
        self.expect(name, "init", None, 9)

    def is_stopped(self, name, dice):
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "sh", "-c",
                  "trap 'exit 3' TERM; echo up; while :; do sleep 0.03; done")
        until(lambda: self.call("logs", name).out == "up\n", f"{name} is up")
        if dice.random() < 0.3:
            self.call("pause", name)
        self.call("stop", name)
        check_equal(self.call("wait", name).out, "3\n", f"wait of {name}")
        self.call("rm", name)
        self.expect(name, "init", 3)

    def has_execs(self, name, dice):
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "sleep", "1000")
        for i in range(dice.randrange(1, 4)):
            code = dice.randrange(100)
            done = self.call("exec", "--id", f"e{i}", name, "--", "sh", "-c",
                             f"echo {name}; exit {code}", codes=(code,))
            check_equal(done.out, f"{name}\n", f"output of exec e{i} of {name}")
            self.expect(name, f"e{i}", code)
        self.call("rm", "-f", name)
        self.expect(name, "init", None, 9)

    def is_created_first(self, name, dice):
        self.call("create", "--name", name, "--rootfs", self.rig.rootfs, "--", "sh", "-c",
                  "exit 5")
        self.call("start", name)
        check_equal(self.call("wait", name).out, "5\n", f"wait of {name}")
        self.call("rm", name)
        self.expect(name, "init", 5)

    def runs_in_front(self, name, dice):
        done = self.call("run", "--rm", "--name", name, "--rootfs", self.rig.rootfs, "--", "sh",
                         "-c", f"echo {name}; exit 6", codes=(6,))
        check_equal(done.out, f"{name}\n", f"output of {name}")
        self.expect(name, "init", 6)

    # -- writers ---------------------------------------------------------------------------

    def writers(self, number):
        turn = 0
        while not self.over.is_set():
            turn += 1
            name = f"log{number}-{turn}"
            if (turn + number) % 2:
                self.block_writer(name)
            else:
                self.line_writer(name)

    def block_writer(self, name):
        """Blocks of 64 KiB, at full speed, of a file whose content we know."""
        path = os.path.join(self.rig.dir, "rootfs", "data")
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "dd",
                  "if=/data", "bs=64k", "status=none")
        check_equal(self.call("wait", name, patience=120).out, "0\n", f"wait of {name}")
        with open(path, "rb") as f:
            self.compare(name, f.read())
        self.expect(name, "init", 0)

    def line_writer(self, name):
        """One write a line, to both streams in turn."""
        self.call("run", "-d", "--name", name, "--rootfs", self.rig.rootfs, "--", "sh", "-c",
                  "i=0; while [ $i -lt 4000 ]; do echo \"line $i\"; echo \"other $i\" >&2; "
                  "i=$((i+1)); done; printf end")
        check_equal(self.call("wait", name, patience=120).out, "0\n", f"wait of {name}")
        wanted = "".join(f"line {i}\n" for i in range(4000)) + "end"
        answer = self.compare(name, wanted.encode())
        check_equal(answer.err, "".join(f"other {i}\n" for i in range(4000)), f"stderr of {name}")
        self.expect(name, "init", 0)

    def compare(self, name, wanted):
        answer = self.call("logs", name, patience=120)
        if answer.raw != wanted:
            at = next((i for i, (a, b) in enumerate(zip(answer.raw, wanted)) if a != b),
                      min(len(answer.raw), len(wanted)))
            raise Broken(f"the log of {name} differs at byte {at}: {len(answer.raw)} bytes, "
                         f"{len(wanted)} were written; {answer.raw[at:at + 40]!r} in place of "
                         f"{wanted[at:at + 40]!r}")
        self.add_bytes(len(wanted))
        shown = self.rig.show(name)["exit"]
        check_equal(shown["stdout_bytes"], len(wanted), f"stdout_bytes of {name}")
        self.call("rm", name)
        return answer


def make_data(rig):
    """Random bytes with newlines here and there, and without one at the end."""
    chunk = hashlib.sha512(b"gantry").digest() * 1024
    block = bytearray(chunk)
    for i in range(99, len(block), 100):
        block[i] = 10
    block[-1] = 33
    with open(os.path.join(rig.dir, "rootfs", "data"), "wb") as f:
        for _ in range(BLOCK_MIB * 16):
            f.write(block)


def kill_and_end_while_down(rig, load, number):
    """Kills gantryd and holds the keeper, so that nobody starts another; meanwhile a container
    writes its last words and ends. Then the keeper may go on."""
    name, gate = f"down-{number}", f"gate-{number}"
    fifo = os.path.join(rig.rootfs, gate)
    os.mkfifo(fifo)
    load.call("run", "-d", "--name", name, "--rootfs", rig.rootfs, "--", "sh", "-c",
              f"echo begins; read x < /{gate}; i=0; while [ $i -lt 300 ]; do echo last $i; "
              "i=$((i+1)); done; printf over; exit 11")
    until(lambda: load.call("logs", name).out == "begins\n", f"{name} has begun")
    pid = rig.init_pid(name)
    rig.pause_keeper()
    try:
        rig.kill_daemon()
        with open(fifo, "w") as f:
            f.write("go\n")
        until(lambda: process_state(pid) == "Z", f"{name} ends while gantryd is down")
    finally:
        rig.resume_keeper()
    load.expect(name, "init", 11)

    def afterwards():
        check_equal(load.call("wait", name).out, "11\n", f"wait of {name}")
        load.compare(name, ("begins\n" + "".join(f"last {i}\n" for i in range(300))
                            + "over").encode())
    return afterwards


def check_promises(rig, load):
    events = rig.events()
    check_stream(events)
    seen = {}
    for e in events:
        if e["type"] == "exit":
            seen.setdefault((e["container"], e["process"]), []).append(
                (e["exit_code"], e["signal"]))
    for who, wanted in load.exits.items():
        check_equal(seen.get(who), [wanted], f"exits of {who}")
    crashes = [e for e in events if e["type"] == "supervisor-started"
               and e["details"].get("cause") == "crash"]
    for e in crashes:
        check_equal(e["details"].get("previous_signal"), "9", "the signal that ended gantryd")
    return len(events), sum(len(x) for x in seen.values())


def chaos(rig, options):
    load = Load(rig, options.seed)
    dice = random.Random(options.seed)
    make_data(rig)
    threads = [threading.Thread(target=load.guard, args=(load.lives, i)) for i in range(3)]
    threads += [threading.Thread(target=load.guard, args=(load.writers, i)) for i in range(2)]
    for t in threads:
        t.start()
    times, down = [], 0
    try:
        for i in range(options.kills):
            load.over.wait(dice.uniform(0.3, 1.7) * options.pause_ms / 1000)
            if load.trouble:
                break
            if i % 5 == 4:
                kill_and_end_while_down(rig, load, i)()
                down += 1
                continue
            rig.kill_daemon()
            began = time.monotonic()
            rig.ok("ps", patience=60)
            times.append(time.monotonic() - began)
    finally:
        load.over.set()
        for t in threads:
            t.join()
    for what in load.trouble:
        print("FAILED: " + what)
        for e in rig.events():
            if e["container"] and e["container"] in what.replace("'", " ").split():
                print("    " + json.dumps({k: v for k, v in e.items() if v}))
    check(not load.trouble, f"{len(load.trouble)} workers failed")
    events, exits = check_promises(rig, load)
    rig.check_clean()
    rig.check_end()
    print(f"kills of gantryd           {rig.crashes}")
    print(f"ended while it was down    {down}, with the true status and their last words")
    print(f"kill to first answer       median {sorted(times)[len(times) // 2] * 1000:.0f} ms, "
          f"longest {max(times) * 1000:.0f} ms (with the client's own start)")
    print(f"commands                   {load.counts['calls']}, all succeeded")
    print(f"containers, execs          {load.counts['containers']}, {load.counts['execs']}")
    print(f"exits, events              {exits}, {events}: none lost, none doubled")
    print(f"log bytes compared         {load.counts['log_bytes']:,}: none lost, none doubled")
    print("leftovers                  0")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir")
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--pause-ms", type=int, default=700, help="between two kills, about")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    rig = Rig(options.bin_dir, linger=None)
    trouble = None
    try:
        rig.start()
        chaos(rig, options)
    except (Broken, subprocess.TimeoutExpired) as e:
        trouble = str(e)
        print(f"FAILED: {trouble}\n-- gantryd's log --")
        print("\n".join(line for line in rig.daemon_log().splitlines()
                        if "slow" not in line and "serves epoch" not in line)[-4000:])
    finally:
        rig.close()
    print(f"took {time.monotonic() - began:.0f} s")
    print("0 passed, 1 failed" if trouble else "1 passed, 0 failed")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
