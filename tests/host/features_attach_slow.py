"""Attached clients that read slower than the process writes."""

from bus import pb
from features_attach import Client, make
from marks import once
from rig import check, check_equal, until


def test_a_slow_client_that_drops(rig):
    a = rig.id("a")
    size = 24 << 20
    make(rig, a, "sh", "-c", f"read x; head -c {size} /dev/zero", with_stdin=True)
    slow = Client(rig, a, slow=pb.AttachOpen.DROP, queue_bytes=64 << 10)
    fast = Client(rig, a, input=True)
    slow.wait_opened()
    fast.wait_opened()
    slow.paused.clear()
    fast.type(b"\n")
    fast.wait_end()
    check_equal(len(fast.out[1]), size, "the other client gets all of it")
    slow.paused.set()
    slow.wait_end()
    lost = sum(g.bytes for g in slow.gaps)
    check(lost > 0, "it was too slow")
    check_equal(len(slow.out[1]) + lost, size, "bytes and gaps together")


test_a_slow_client_that_drops.once = True  # A restart makes it a client that catches up.


@once
def test_who_dropped_is_told_and_hears_what_comes_later(rig):
    a = rig.id("a")
    size = 24 << 20
    make(rig, a, "sh", "-c", f"read x; head -c {size} /dev/zero; read x; printf later; read x",
         with_stdin=True)
    slow = Client(rig, a, slow=pb.AttachOpen.DROP, queue_bytes=64 << 10)
    fast = Client(rig, a, input=True)
    slow.wait_opened()
    fast.wait_opened()
    slow.paused.clear()
    fast.type(b"\n")
    until(lambda: len(fast.out[1]) == size, "the other client gets all of it")
    slow.paused.set()

    def known():
        return len(slow.out[1]) + sum(g.bytes for g in slow.gaps)
    until(lambda: known() == size, "it is told, although nothing more comes")
    check(slow.gaps, "it was too slow")
    fast.type(b"\n")
    until(lambda: slow.out[1].endswith(b"later"), "it hears what comes later")
    fast.type(b"\n")
    slow.wait_end()
    check_equal(known(), size + len("later"), "bytes and gaps together")


def test_a_slow_client_that_holds_the_process(rig):
    a = rig.id("a")
    size = 24 << 20
    make(rig, a, "sh", "-c", f"read x; head -c {size} /dev/zero", with_stdin=True)
    slow = Client(rig, a, input=True, patience_ns=20 * 10**9, queue_bytes=64 << 10)
    slow.wait_opened()
    slow.paused.clear()
    slow.type(b"\n")
    until(lambda: rig.show(a)["processes"], "it runs")
    check_equal(rig.state_of(a), "running", "the process waits for it")
    rig.crash_point()
    slow.paused.set()
    slow.wait_end()
    check_equal((len(slow.out[1]), slow.gaps), (size, []), "it gets all of it")


def test_a_slow_client_loses_patience(rig):
    a = rig.id("a")
    size = 24 << 20
    make(rig, a, "sh", "-c", f"read x; head -c {size} /dev/zero", with_stdin=True)
    slow = Client(rig, a, input=True, patience_ns=10**8, queue_bytes=64 << 10)
    slow.wait_opened()
    slow.paused.clear()
    slow.type(b"\n")
    check_equal(rig.ok("wait", a).out, "0\n", "the process ends although nobody reads")
    slow.paused.set()
    slow.wait_end()
    lost = sum(g.bytes for g in slow.gaps)
    check(lost > 0, "it was told")
    check_equal(len(slow.out[1]) + lost, size, "bytes and gaps together")


test_a_slow_client_loses_patience.once = True
