#!/usr/bin/python3
"""Starts a program as a service manager with socket units does (sd_listen_fds(3)).

  hand_over.py NUMBER,NUMBER... NAME:NAME... PROGRAM [ARGUMENT]...

The descriptors become 3, 4, …; "-" instead of the names leaves LISTEN_FDNAMES out. A variable that
is set already stays as it is.
"""

import fcntl
import os
import sys


def main():
    numbers = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 100) for n in sys.argv[1].split(",") if n]
    for i, number in enumerate(numbers):
        os.dup2(number, 3 + i)
    os.closerange(3 + len(numbers), 256)
    os.environ.setdefault("LISTEN_PID", str(os.getpid()))
    os.environ.setdefault("LISTEN_FDS", str(len(numbers)))
    if sys.argv[2] != "-":
        os.environ["LISTEN_FDNAMES"] = sys.argv[2]
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
