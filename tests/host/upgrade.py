#!/usr/bin/python3
"""One version of gantry takes over from another: the same containers, nothing lost.

  tests/host/upgrade.py OLD_BIN NEW_BIN

OLD_BIN and NEW_BIN are the `bin` directories of two builds. gantryd and its keeper of OLD_BIN
run containers of every kind; then the programs on disk are those of NEW_BIN, and gantryd is
killed (once) or ends in order (once). The keeper stays the old one, as on a real upgrade.
"""

import os
import sys
import time

from features_adoption import check_all_work, picture, some_of_each
from rig import Broken, Rig, check, check_equal, until

LINES = 'i=0; while :; do i=$((i+1)); echo "line $i"; usleep 1000; done'


def replace_programs(link, to):
    """As a package manager does it: in one moment there are others."""
    os.symlink(os.path.abspath(to), link + ".new")
    os.rename(link + ".new", link)


def check_lines(rig, name):
    """Every line that the writer has written, once, in order."""
    got = rig.ok("logs", name, patience=60).lines()
    check_equal(got, [f"line {i + 1}" for i in range(len(got))], "lines of the writer")
    return len(got)


def take_over(rig, link, new, how):
    some_of_each(rig)
    writer = rig.id("writer")
    rig.run(writer, "sh", "-c", LINES, options=("--restart", "on-failure:3"))
    rig.ok("exec", "-d", "--id", "chatty", writer, "--", "sh", "-c", LINES)
    until(lambda: check_lines(rig, writer) > 20, "the writer writes")
    before = picture(rig)
    seen = check_lines(rig, writer)
    replace_programs(link, new)
    if how == "crash":
        rig.kill_daemon()
        until(lambda: rig.alive_pid() and rig.answers(), "the new gantryd answers")
    else:
        rig.stop_daemon()
        time.sleep(0.1)  # Let the writers fill the pipes meanwhile: the more to lose.
        rig.start_again()
    program = os.path.realpath(f"/proc/{rig.alive_pid()}/exe")
    check_equal(program, os.path.realpath(os.path.join(new, "gantryd")), "the program that runs")
    check_equal(picture(rig), before, "ps")
    until(lambda: check_lines(rig, writer) > seen + 20, "the writer's lines go on")
    rig.ok("kill", writer)
    check_equal(rig.ok("wait", writer).out, "137\n", "wait of the writer")
    check_lines(rig, writer)
    check_all_work(rig)
    rig.check_clean()
    rig.check_end()


def run(old, new, how):
    rig = Rig(old, linger=None)
    link = os.path.join(rig.dir, "bin")
    os.symlink(os.path.abspath(old), link)
    rig.bin_dir = link
    rig.prefix = how + "-"
    try:
        rig.start()
        take_over(rig, link, new, how)
        print(f"ok      {how}: taken over", flush=True)
        return True
    except Broken as e:
        print(f"FAILED  {how}: {e}\n-- gantryd's log --\n{rig.daemon_log()[-4000:]}", flush=True)
        return False
    finally:
        rig.close()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    done = [run(sys.argv[1], sys.argv[2], how) for how in ("crash", "in-order")]
    print(f"{sum(done)} passed, {len(done) - sum(done)} failed")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
