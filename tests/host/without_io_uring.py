"""Runs a program that may not use io_uring: a seccomp filter refuses io_uring_setup (EPERM).

  without_io_uring.py PROGRAM ARGUMENTS...
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
IO_URING_SETUP = 425  # The same number on every architecture.
EPERM = 1


def filter_program():
    """Load the number of the call; is it ours? then an error, else go on."""
    load, equal, ret = 0x20, 0x15, 0x06
    return b"".join(struct.pack("HBBI", *x) for x in (
        (load, 0, 0, 0), (equal, 0, 1, IO_URING_SETUP),
        (ret, 0, 0, 0x00050000 | EPERM), (ret, 0, 0, 0x7fff0000)))


def main():
    program = ctypes.create_string_buffer(filter_program())
    libc = ctypes.CDLL(None, use_errno=True)
    fprog = struct.pack("HxxxxxxP", 4, ctypes.addressof(program))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 \
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(fprog), 0, 0) != 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[1], sys.argv[1:])


main()
