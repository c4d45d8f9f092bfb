"""What a process wrote, byte for byte."""

import os

from rig import check, check_equal, until


def logs(rig, name, *options):
    return rig.ok("logs", *options, name)


def write_file(rig, name, data):
    with open(os.path.join(rig.rootfs, name), "wb") as f:
        f.write(data)
    return "/" + name


def test_both_streams(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo one; echo two >&2; echo three; printf four")
    rig.crash_point()
    rig.ok("wait", a)
    got = logs(rig, a)
    check_equal((got.out, got.err), ("one\nthree\nfour", "two\n"), "logs")
    e = rig.wait_event("exit", a)
    check_equal((e["stdout_bytes"], e["stderr_bytes"], e["io_open"]), (14, 4, False), "counts")


def test_binary_and_no_newline(rig):
    a = rig.id("a")
    data = bytes(range(256)) * 300 + os.urandom(100000) + b"\xff\xfe end"
    path = write_file(rig, a, data)
    rig.run(a, "cat", path)
    rig.crash_point()
    rig.ok("wait", a)
    check(logs(rig, a).raw == data, "every byte is there")
    check_equal(rig.wait_event("exit", a)["stdout_bytes"], len(data), "stdout_bytes")


def test_a_line_of_a_mebibyte_and_longer(rig):
    a = rig.id("a")
    data = b"x" * (1 << 20) + b"\n" + b"y" * (3 << 20) + b"\nend"
    path = write_file(rig, a, data)
    rig.run(a, "cat", path)
    rig.crash_point()
    rig.ok("wait", a)
    check(logs(rig, a).raw == data, "every byte is there")


def test_tail(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; done")
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(logs(rig, a, "--tail", "3").out, "7\n8\n9\n", "--tail 3")
    check_equal(len(logs(rig, a, "--tail", "all").lines()), 9, "--tail all")
    check_equal(len(logs(rig, a, "--tail", "100").lines()), 9, "--tail 100")
    stamped = logs(rig, a, "-t", "--tail", "1").out
    check(stamped.startswith("20") and stamped.endswith(" 9\n"), f"a time in front: {stamped}")


def test_follow_to_the_end(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; printf end")
    child = rig.spawn("logs", "-f", a)
    rig.crash_point()
    out, err = child.communicate(timeout=30)
    check_equal((out, child.returncode), (b"1\n2\n3\n4\n5\n6\nend", 0), f"follow ({err})")


def test_json_of_logs(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo hello; printf '\\377' >&2")
    rig.crash_point()
    rig.ok("wait", a)
    rows = rig.ok("--json", "logs", a).objects()
    out = [r for r in rows if r["stream"] == "stdout"]
    err = [r for r in rows if r["stream"] == "stderr"]
    check_equal(out[0]["data"], "hello\n", "data")
    check_equal(err[0]["data_base64"], "/w==", "data_base64")


def test_the_format_on_disk_is_dockers(rig):
    import json
    a = rig.id("a")
    rig.run(a, "sh", "-c", "echo hello; echo oops >&2")
    rig.crash_point()
    rig.ok("wait", a)
    directory = rig.show(a)["log_dir"]
    rows = []
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name)) as f:
            rows += [json.loads(line) for line in f if line.strip()]
    check_equal(sorted((r["log"], r["stream"]) for r in rows),
                [("hello\n", "stdout"), ("oops\n", "stderr")], "rows")
    check(all(r["time"].endswith("Z") for r in rows), "times")


def test_rotation(rig):
    a = rig.id("a")
    path = write_file(rig, a, b"".join(b"line number %d\n" % i for i in range(60000)))
    rig.run(a, "cat", path, options=("--log-opt", "max-size=256k", "--log-opt", "max-file=3"))
    rig.crash_point()
    rig.ok("wait", a)
    directory = rig.show(a)["log_dir"]
    files = os.listdir(directory)
    check(2 <= len(files) <= 3, f"files: {files}")
    for name in files:
        check(os.path.getsize(os.path.join(directory, name)) <= 256 << 10, f"size of {name}")
    got = logs(rig, a)
    rows = [line for line in got.out.splitlines() if line]
    check_equal(rows[-1], "line number 59999", "the last line")
    first = int(rows[0].rsplit(" ", 1)[1])
    check(first > 0, "the oldest are gone")
    check_equal(rows, [f"line number {i}" for i in range(first, 60000)], "no hole")
    check_equal(rig.wait_event("exit", a)["stdout_bytes"],
                os.path.getsize(os.path.join(rig.rootfs, a)), "bytes are counted")


def test_rotation_loses_nothing_within_its_bounds(rig):
    a = rig.id("a")
    data = b"".join(b"line number %d\n" % i for i in range(60000))
    rig.run(a, "cat", write_file(rig, a, data),
            options=("--log-opt", "max-size=64k,max-file=100"))
    rig.crash_point()
    rig.ok("wait", a)
    check(logs(rig, a).raw == data, "every byte is there")
    check(len(os.listdir(rig.show(a)["log_dir"])) > 2, "there are several files")


def test_full_speed_across_the_crash(rig):
    a = rig.id("a")
    block = bytearray(os.urandom(65535) + b"\n")
    data = bytes(block) * 200
    path = write_file(rig, a, data)
    rig.run(a, "cat", path)
    rig.crash_point()
    rig.ok("wait", a)
    check(logs(rig, a).raw == data, "every byte is there")
    os.unlink(os.path.join(rig.rootfs, a))


def test_a_child_that_outlives_init_keeps_its_words(rig):
    a = rig.id("a")
    rig.run(a, "sh", "-c", "sh -c 'echo child' & wait; echo init")
    rig.crash_point()
    rig.ok("wait", a)
    check_equal(sorted(logs(rig, a).lines()), ["child", "init"], "logs")


def test_logs_of_what_is_not_there(rig):
    done = rig.gantry("logs", rig.id("none"))
    check(done.code in (1, 125) and rig.id("none") in done.err, f"refused: {done!r}")
    a = rig.id("a")
    rig.run(a, "sleep", "1000")
    rig.crash_point()
    done = rig.gantry("logs", a, "nobody")
    check(done.code in (1, 125) and "nobody" in done.err, f"refused: {done!r}")
    check_equal(logs(rig, a).out, "", "an empty log")


def test_a_slow_reader_stops_nobody(rig):
    a = rig.id("a")
    data = os.urandom(16 << 20)
    path = write_file(rig, a, data)
    rig.run(a, "cat", path)
    child = rig.spawn("logs", "-f", a)  # Its stdout is a pipe that nobody reads yet.
    rig.crash_point()
    rig.ok("wait", a)
    until(lambda: rig.ok("ps", "-a"), "ps answers")
    out, _ = child.communicate(timeout=60)
    check(out == data, "and in the end it has all")
    os.unlink(os.path.join(rig.rootfs, a))
