#!/usr/bin/python3
"""The shared library of a build with GANTRY_SHARED: its name, its symbols, and programs that are
linked against it where it was installed.

  shared_test.py BUILD
"""

import os
import re
import subprocess
import sys

import installed_test
from checks import check, check_equal
from installed_test import check_attach, check_embed, check_watchers, run

# Whose names a program has no use for: they are not in the headers.
INSIDE = ("actors", "atom", "bus", "cli", "client", "io", "journal", "library", "metrics",
          "reflection", "runtime", "v1")
WANTED = ("gantry::supervisor::start", "gantry::supervisor::connect",
          "gantry::supervisor::attach", "gantry::attachment::detach", "gantry::io_bundle::close",
          "gantry::subscription::stop", "gantry::under_keeper", "gantry::error::text",
          "gantry::name_of", "gantry::from_errno")


def library(installed):
    return os.path.join(os.path.dirname(installed.lib_dir()), "libgantry.so")


def dynamic(path, tag):
    """What the dynamic section of a file says of `tag`."""
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-d", path))


def test_its_name_has_the_version(installed):
    link = library(installed)
    real = os.path.realpath(link)
    version = re.search(r"libgantry\.so\.(\d+\.\d+)\.\d+$", real)
    check(version, f"the file is {real}")
    check_equal(dynamic(link, "SONAME"), [f"libgantry.so.{version.group(1)}"], "soname")
    check(os.path.islink(f"{link}.{version.group(1)}"), "the name that programs ask for is there")


def test_it_shows_our_names_alone(installed):
    shown = []
    for line in run("nm", "-D", "--defined-only", "-C", library(installed)).splitlines():
        kind, name = re.fullmatch(r"[0-9a-f]* *(\S) (.+)", line).groups()
        if kind == "A":  # The name of a version.
            continue
        shown.append(name)
        plain = re.sub(r"^(typeinfo|typeinfo name|vtable|guard variable) for ", "", name)
        check(plain.startswith("gantry::"), f"a name that is not ours: {name}")
        check(plain.split("::")[1] not in INSIDE, f"a name from inside: {name}")
    for name in WANTED:
        check(any(x.startswith(name) for x in shown), f"{name} is not shown")


def test_programs_of_cmake_run_with_it(installed):
    out = installed.by_cmake("-DGANTRY_TARGET=gantry::gantry_shared")
    soname = dynamic(library(installed), "SONAME")
    for name in ("embed", "watch", "attach"):
        needed = dynamic(os.path.join(out, name), "NEEDED")
        check(soname[0] in needed, f"{name} needs {needed}")
        below = [x for x in needed if re.search("caf|protobuf|nghttp2|uring|spdlog", x)]
        check_equal(below, [], f"{name} knows nothing of what is below")
    check_embed(installed, out)
    check_watchers(installed, out)
    check_attach(installed, out)


def test_programs_of_pkg_config_run_with_it(installed):
    out = installed.by_pkg_config()
    check(dynamic(library(installed), "SONAME")[0] in dynamic(os.path.join(out, "embed"), "NEEDED"),
          "-lgantry is the shared one")
    check_embed(installed, out)


if __name__ == "__main__":
    sys.exit(installed_test.main(globals()))
