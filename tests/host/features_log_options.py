"""How a log is kept: formats, rotation by age, packing, reopen, policies, rates; and what of it is
read."""

import os
import shutil
import struct
import time

import grpc

from bus import pb
from rig import check, check_equal, scaled, until


def ref(rig, name):
    return pb.Ref(id=name)


def read(rig, name, **more):
    b = rig.bus()
    return list(b.logs.Read(pb.ReadLogRequest(ref=ref(rig, name), **more), timeout=scaled(30),
                            wait_for_ready=True))


def text_of(chunks, stream=1):
    return b"".join(c.data for c in chunks if c.stream == stream)


def files_of(rig, name):
    directory = rig.show(name)["log_dir"]
    return {n: os.path.join(directory, n) for n in sorted(os.listdir(directory))}


def write_file(rig, name, data):
    with open(os.path.join(rig.rootfs, name), "wb") as f:
        f.write(data)
    return "/" + name


def binary():
    return bytes(range(256)) * 300 + os.urandom(200000) + b"\xff\xfe end"


def test_cri(rig):
    a = rig.id("a")
    data = binary()
    rig.run(a, "sh", "-c", f"cat {write_file(rig, a, data)}; echo oops >&2",
            options=("--log-driver", "cri"))
    rig.crash_point()
    rig.ok("wait", a)
    check(rig.ok("logs", a).raw == data, "every byte is there")
    check_equal(rig.ok("logs", a).err, "oops\n", "stderr")
    check_equal(rig.wait_event("exit", a)["stdout_bytes"], len(data), "stdout_bytes")
    joined = b""
    with open(files_of(rig, a)["log.000001"], "rb") as f:
        for line in f.read().split(b"\n")[:-1]:
            when, stream, tag, rest = line.split(b" ", 3)
            check(when.endswith(b"Z") and stream in (b"stdout", b"stderr") and tag in b"FP", line)
            if stream == b"stdout":
                joined += rest + (b"\n" if tag == b"F" else b"")
    check(joined == data, "as Kubernetes reads it")


def test_raw(rig):
    a = rig.id("a")
    data = binary()
    rig.run(a, "sh", "-c", f"cat {write_file(rig, a, data)}; sleep 0.3; echo oops >&2; sleep 0.3; "
            "printf more", options=("--log-driver", "raw"))
    rig.crash_point()
    rig.ok("wait", a)
    check(rig.ok("logs", a).raw == data + b"more", "every byte is there")
    check_equal(rig.ok("logs", a).err, "oops\n", "stderr")
    files = files_of(rig, a)
    check_equal(sorted(files), ["log.000001", "log.000001.idx"], "files")
    with open(files["log.000001"], "rb") as f:
        check(f.read() == data + b"oops\nmore", "the bytes as they are")
    with open(files["log.000001.idx"], "rb") as f:
        entries = list(struct.iter_unpack("=Qq", f.read()))
    check_equal(entries[-1][0] // 2, len(data) + 9, "the index goes to the end")
    check_equal([e[0] % 2 for e in entries].count(1), 1, "one write of stderr")
    check(all(abs(e[1] / 1e9 - time.time()) < 100 for e in entries), "times")


def test_raw_rotation_and_tail(rig):
    a = rig.id("a")
    data = b"".join(b"line number %d\n" % i for i in range(60000))
    rig.run(a, "cat", write_file(rig, a, data),
            options=("--log-driver", "raw", "--log-opt", "max-size=64k,max-file=100"))
    rig.crash_point()
    rig.ok("wait", a)
    check(rig.ok("logs", a).raw == data, "every byte is there")
    sizes = [os.path.getsize(p) for n, p in files_of(rig, a).items() if not n.endswith(".idx")]
    check(len(sizes) > 10 and max(sizes) <= 65536, f"sizes {sizes}")
    check_equal(rig.ok("logs", "--tail", "2", a).lines(),
                ["line number 59998", "line number 59999"], "--tail")


def test_complete_files_are_packed(rig):
    a = rig.id("a")
    data = b"".join(b"line number %d\n" % i for i in range(60000))
    path = write_file(rig, a, data)
    rig.run(a, "sh", "-c", f"cat {path}; echo end; sleep 1000",
            options=("--log-opt", "max-size=256k,max-file=100,compress=true"))
    rig.crash_point()

    def packed():
        names = [n for n in files_of(rig, a) if ".tmp." not in n]
        return len(names) > 5 and all(n.endswith(".zst") for n in names[:-1])
    until(packed, "the complete ones are packed")
    check(rig.ok("logs", a).raw == data + b"end\n", "every byte is there")
    check_equal(rig.ok("logs", "--tail", "30000", a).lines()[0], "line number 30001", "--tail")
    rig.ok("rm", "-f", a)


def test_a_file_that_is_old_is_followed_by_a_new_one(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "while read x; do echo $x; done", options=("-i", "--log-opt",
                                                                       "max-age=1s"))
    b = rig.bus()

    def say(word, offset):
        b.call(b.processes.WriteStdin, pb.WriteStdinRequest(ref=ref(rig, a), data=word,
                                                            offset=offset))
    say(b"one\n", 0)
    until(lambda: rig.ok("logs", a).out == "one\n", "the first word")
    rig.crash_point()
    time.sleep(1.1)
    say(b"two\n", 4)
    until(lambda: rig.ok("logs", a).out == "one\ntwo\n", "the second word")
    check_equal(list(files_of(rig, a)), ["log.000001", "log.000002"], "files")
    rig.ok("rm", "-f", a)


def test_reopen(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done")
    b = rig.bus()
    until(lambda: files_of(rig, a), "a file")
    first = files_of(rig, a)["log.000001"]
    until(lambda: os.path.getsize(first) > 0, "bytes")
    taken = first + ".taken"
    os.rename(first, taken)
    rig.crash_point()  # The next gantryd finds no file where it stood, and begins another.
    reply = b.call(b.logs.Reopen, pb.ReopenLogRequest(ref=ref(rig, a)))
    size = os.path.getsize(taken)
    check(reply.path.endswith("log.%06d" % reply.file) and reply.file > 1, f"{reply}")
    until(lambda: os.path.exists(reply.path) and os.path.getsize(reply.path) > 500, "it goes on")
    check_equal(os.path.getsize(taken), size, "the old one is left alone")
    later = sorted(path for name, path in files_of(rig, a).items() if path != taken)
    text = "".join(open(path).read() for path in [taken] + later)
    numbers = [int(line.split('"')[3][:-2]) for line in text[:text.rindex("\n")].splitlines()]
    check_equal(numbers, list(range(1, len(numbers) + 1)), "no word is lost or doubled")
    e = rig.wait_event("log-reopened", a)
    check_equal(e["by"]["uid"], 0, "who asked")
    rig.ok("kill", a)
    rig.ok("wait", a)
    try:
        b.call(b.logs.Reopen, pb.ReopenLogRequest(ref=ref(rig, a)))
        check(False, "a complete log cannot be reopened")
    except grpc.RpcError as x:
        check("complete" in x.details(), x.details())


def cat_lines(rig, a, count, options):
    """Numbered lines through a log with a rate; them, and the exit."""
    data = b"".join(b"line number %08d\n" % i for i in range(count))
    path = write_file(rig, a, data)
    rig.run(a, "cat", path, options=("--log-opt", options))
    rig.crash_point()
    rig.ok("wait", a)
    os.unlink(os.path.join(rig.rootfs, a))
    return data, rig.wait_event("exit", a)


def test_a_log_over_its_rate_drops_and_counts(rig):
    a = rig.id("a")
    began = time.monotonic()
    data, e = cat_lines(rig, a, 400000, "rate=64k,when-full=drop-oldest")
    check(time.monotonic() - began < scaled(60), "the writer did not wait")
    until(lambda: rig.ok("logs", a).raw.endswith(data[-20:]), "the newest are kept")
    got = rig.ok("logs", a).raw
    # Only a slow machine may not log all that lay in the pipe within the limit.
    if scaled(1) == 1 or not e["io_open"]:
        check_equal(e["stdout_bytes"], len(got), "stdout_bytes")
        check_equal(e["stdout_bytes"] + e["stdout_dropped"], len(data), "kept and dropped")
        listed = [c for c in rig.ok("--json", "ps", "-a").objects() if c["id"] == a][0]
        check_equal(listed["log_dropped"], e["stdout_dropped"], "what ps says of it")
    check(len(got) < len(data), "something was dropped")
    rows = got.splitlines()
    numbers = [int(r.rsplit(b" ", 1)[1]) for r in rows]
    check(all(len(r) == 20 for r in rows) and numbers == sorted(numbers), "whole lines, in order")
    check_equal(numbers[-1], 399999, "the newest are kept")
    check(rig.events("log-dropped", container=a), "an event says so")


def test_a_log_over_its_rate_keeps_the_oldest(rig):
    a = rig.id("a")
    _, e = cat_lines(rig, a, 400000, "rate=64k,when-full=drop-newest")
    numbers = [int(r.rsplit(b" ", 1)[1]) for r in rig.ok("logs", a).raw.splitlines()]
    check_equal(numbers[:1000], list(range(1000)), "what came first is kept")
    check(numbers == sorted(numbers) and len(numbers) < 400000, "in order, and not all")
    check(e["stdout_dropped"] > 0 and rig.events("log-dropped", container=a), f"told: {e}")


def test_a_directory_removed_under_its_feet(rig):
    """What lay in it is gone; a file that is closed by then (10 s after its last line) is followed
    by a new one."""
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo first; sleep 15; echo later; sleep 1000")
    until(lambda: rig.ok("logs", a).out == "first\n", "the first line")
    where = rig.show(a)["log_dir"]
    shutil.rmtree(where)
    rig.crash_point()
    until(lambda: "later" in rig.ok("logs", a).out, "it logs on")
    check("first" not in rig.ok("logs", a).out, "what was removed is gone")
    check_equal(os.stat(where).st_mode & 0o777, 0o700, "nobody else looks into it")


def test_a_log_over_its_rate_makes_the_writer_wait(rig):
    a = rig.id("a")
    data, e = cat_lines(rig, a, 30000, "rate=200k,burst=100k")
    check_equal((e["exit_code"], e["stdout_dropped"]), (0, 0), f"nothing was dropped: {e}")
    # Only a slow machine may not log all that lay in the pipe within the limit.
    slow = scaled(1) > 1
    check(e["stdout_bytes"] == len(data) or (slow and e["io_open"]), f"the count: {e}")
    until(lambda: rig.ok("logs", a).raw == data, "every byte is there", 30 if slow else 0)


def test_what_is_read_of_it(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo red; echo green >&2; sleep 0.5; echo blue; echo reddish; "
            "head -c 3000000 /dev/zero | tr '\\0' x; echo red-end")
    rig.crash_point()
    rig.ok("wait", a)
    every = read(rig, a)
    blue = next(c for c in every if c.data == b"blue\n")
    check_equal(text_of(read(rig, a, until_ns=blue.time_ns)), b"red\n", "until")
    check(text_of(read(rig, a, since_ns=blue.time_ns)).startswith(b"blue\nreddish\n"), "since")
    check_equal([c.data for c in read(rig, a, stream=2)], [b"green\n"], "stream")
    found = read(rig, a, grep="red")
    check_equal(text_of(found)[:12], b"red\nreddish\n", "grep")
    check(text_of(found).endswith(b"xred-end\n"), "a line in pieces is found by its end")
    seqs = [c.seq for c in every if c.data]
    check_equal(seqs, sorted(set(seqs)), "seq grows")
    pieces = [c for c in every if c.data.startswith(b"x")]
    check(len(pieces) >= 3 and len({c.line for c in pieces}) == 1, "pieces of one line")
    again = read(rig, a, cursor=pieces[0].cursor)
    check_equal(again[0].line, pieces[0].line, "also behind a cursor")
    b = rig.bus()
    try:
        list(b.logs.Read(pb.ReadLogRequest(ref=ref(rig, a), cursor="1:2:3"), timeout=scaled(30)))
        check(False, "half a cursor is refused")
    except grpc.RpcError as x:
        check_equal(x.code(), grpc.StatusCode.INVALID_ARGUMENT, "half a cursor")


def test_a_follower_is_told_of_a_new_file(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo line number $i; done",
            options=("--log-opt", "max-size=64k"))
    rig.crash_point()
    chunks = []
    cursor = ""
    for _ in range(20):
        try:
            b = rig.bus()
            for c in b.logs.Read(pb.ReadLogRequest(ref=ref(rig, a), follow=True, cursor=cursor),
                                 timeout=scaled(30), wait_for_ready=True):
                chunks.append(c)
                cursor = c.cursor or cursor
            break
        except grpc.RpcError as x:
            check_equal(x.code(), grpc.StatusCode.UNAVAILABLE, "a crash, nothing else")
    check_equal(text_of(chunks).count(b"\n"), 4000, "lines")
    check("rotated" in [c.notice for c in chunks], "it is told of a new file")


def test_bad_options(rig):
    rig.crash_point()
    for options, word in ((("--log-driver", "paper"), "paper"),
                          (("--log-opt", "rate=1"), "rate"),
                          (("--log-opt", "burst=1m"), "burst"),
                          (("--log-opt", "when-full=maybe"), "maybe"),
                          (("--log-opt", "max-age=1ms"), "max_age"),
                          (("--log-opt", "compress=perhaps"), "perhaps")):
        done = rig.gantry("run", "-d", "--name", rig.id("a"), *options, "--rootfs", rig.rootfs,
                          "--", "true")
        check(done.code in (1, 125) and word in done.err, f"refused: {options} {done!r}")
    check_equal(rig.state_of(rig.id("a")), None, "nothing is left")
