#!/usr/bin/python3
"""The checker's own tests: for each rule texts that break it, and texts that do not."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from source import Source
import tidy

LONG_BODY = "\n".join("  step();" for _ in range(69)) # 71 with its braces.
SHEBANG = "#!/bin/sh\n"
TREE = {"io/x.hpp", "docs/there.md", "README.md", "tests/a_test.cpp", "tests/b.py"}
TESTS = {
    "tests/a_test.cpp": 'TEST_CASE("an a", "[b]") {\n}\nTEST_CASE_METHOD(rig, "a long "\n'
                        '  "name") {\n}\n// TEST_CASE\n',
    "tests/b.py": "def test_b():\n    pass\ndef helper():\n    pass\n",
}
FEATURES = "| what | test |\n| --- | --- |\n| it is `x` | {} |\n"

# Rule: [(path, text that breaks it)], [(path, text that does not)].
CASES = {
    "floors": (
        [("io/x.cpp", '#include "runtime/bundle.hpp"\n'),
         ("gateways/client/x.cpp", '#include "io/loop.hpp"\n'),
         ("apps/keeper/x.cpp", '#include "io/loop.hpp"\n'),
         ("apps/gantry/x.cpp", '#include "actors/front.hpp"\n'),
         ("messages/x.hpp", '#include "io/fd.hpp"\n')],
        [("actors/x.cpp", '#include "runtime/a.hpp"\n#include "actors/b.hpp"\n'),
         ("gateways/client/x.cpp", '#include "messages/check.hpp"\n'),
         ("apps/keeper/x.cpp", '#include "io/arena.hpp"\n#include "keeper.hpp"\n'),
         ("tests/io/x_test.cpp", '#include "apps/gantry/a.hpp"\n')]),
    "public_headers": (
        [("include/gantry/x.hpp", '#include "messages/error.hpp"\n'),
         ("include/gantry/x.hpp", "#include <caf/all.hpp>\n"),
         ("include/gantry/x.hpp", "#include <sys/stat.h>\n")],
        [("include/gantry/x.hpp", "#include <gantry/error.hpp>\n#include <vector>\n"),
         ("io/x.hpp", "#include <caf/all.hpp>\n")]),
    "own_header_first": (
        [("io/x.cpp", '#include <vector>\n#include "io/x.hpp"\n'),
         ("tests/io/x_test.cpp", '#include <catch2/catch.hpp>\n#include "io/x.hpp"\n')],
        [("io/x.cpp", '#include "io/x.hpp"\n#include <vector>\n'),
         ("io/other.cpp", "#include <vector>\n")]),
    "pragma_once": ([("io/x.hpp", "struct x;\n")],
                    [("io/x.hpp", "#pragma once\n"), ("io/x.cpp", "int x;\n")]),
    "documented": (
        [("io/x.hpp", "class x {\n};\n"),
         ("io/x.hpp", "// Not enough.\nstruct x : y {\n};\n"),
         ("actors/x.hpp", "\ntemplate <class T>\nclass x final {\n};\n")],
        [("io/x.hpp", "/// A thing.\nclass x {\n};\n"),
         ("io/x.hpp", "/// A thing.\ntemplate <class T>\nclass x {\n};\n"),
         ("io/x.hpp", "class x;\n"),
         ("tests/sim/x.hpp", "class x {\n};\n")]),
    "short_functions": (
        [("io/x.cpp", f"namespace a {{\nvoid f() {{\n{LONG_BODY}\n}}\n}}\n"),
         ("io/x.cpp", f"struct s {{\n  s() : a_{{1}}, b_(2) {{\n{LONG_BODY}\n  }}\n}};\n"),
         ("io/x.cpp", f'TEST_CASE("a {{ b") {{\n{LONG_BODY}\n}}\n'),
         ("tests/x.py", "def f():\n" + "    step()\n" * 70)],
        [("io/x.cpp", f"void f() {{\n{LONG_BODY.partition(chr(10))[2]}\n}}\n"),
         ("io/x.cpp", f"const int all[] = {{\n{LONG_BODY}\n}};\n"),
         ("io/x.cpp", f"constexpr std::array all{{\n{LONG_BODY}\n}};\n"),
         ("io/x.cpp", f"MACRO(a)\n\nnamespace a {{\n{LONG_BODY}\n}}\n"),
         ("io/x.cpp", "void f() { g('{'); h(\"{\"); /* { */ } // {\n" + "int x;\n" * 80),
         ("tests/x.py", "def f():\n" + "    step()\n" * 69),
         ("tests/x.py", "def f():\n  class c:\n" + "    a = 1\n" * 90 + "  return c\n")]),
    "short_files": ([("io/x.cpp", "\n" * 401), ("tests/x.py", "\n" * 401)],
                    [("io/x.cpp", "\n" * 400), ("docs/x.md", "\n" * 900)]),
    "short_lines": ([("io/x.cpp", "x" * 101), ("messages/x.proto", "x" * 101)],
                    [("io/x.cpp", "µ" * 100), ("io/x.cpp", "// clang-format off\n" + "x" * 101),
         ("docs/x.md", "x" * 300)]),
    "no_luck": (
        [("tests/x.cpp", "std::this_thread::sleep_for(1ms);"), ("tests/x.cpp", "::sleep(1);"),
         ("io/x.cpp", "usleep(5);")],
        [("tests/x.cpp", "r.sleep(1); // ::sleep(1)"), ("tests/x.cpp", 'run("sleep 5");')]),
    "banned_calls": (
        [("io/x.cpp", "strcpy(a, b);"), ("tests/x.cpp", "std::sprintf(a, b);"),
         ("apps/gantry/x.cpp", "int r = ::system(a);"), ("io/x.cpp", "popen(a);"),
         ("io/x.cpp", "auto f = [=] { };"), ("io/x.cpp", "auto f = [=, &b] { };"),
         ("runtime/x.cpp", "std::thread t;"), ("actors/x.cpp", "spdlog::warn(a);"), ("io/x.cpp", "std::printf(a);")],
        [("io/x.cpp", "std::snprintf(a, sizeof a, b);"), ("io/x.cpp", "std::thread::id a;"),
         ("bench/x.cpp", "std::printf(a);"), ("io/x.cpp", "auto f = [&a, this] { };"),
         ("io/x.cpp", "host.system().spawn();"), ("io/x.cpp", "/* popen(a) */")]),
    "close_on_exec": (
        [("io/x.cpp", "int f = ::open(path, O_RDONLY);"),
         ("io/x.cpp", "auto f = ::socket(a(b),\n  SOCK_STREAM, 0);"),
         ("io/x.cpp", "f = eventfd(0, EFD_NONBLOCK);"), ("io/x.cpp", "::pipe(both);"),
         ("io/x.cpp", "f = ::dup(1);")],
        [("io/x.cpp", "int f = ::open(path,\n  O_RDONLY | O_CLOEXEC);"),
         ("io/x.cpp", "f = ::open(path, O_RDWR); // inherited: it is stdin"),
         ("io/x.cpp", "f = sys.open(path, O_RDONLY);"), ("io/x.hpp", "virtual int eventfd();"),
         ("io/x.cpp", "int file::open(int x);"), ("tests/x.cpp", "::pipe(both);")]),
    "words": (
        [("a.md", "a white" "list"), ("a.cpp", "// TO" "DO: later"), ("a.py", "# XX" "X")],
        [("a.md", "an allow list"), ("a.cpp", 'mkdtemp("/tmp/XXXXXX")')]),
    "clean_ends": ([("a.md", "a \n"), ("a.md", "a"), ("a.md", "a\n\n")],
                   [("a.md", "a\n"), ("a.md", "")]),
    "no_tabs": ([("io/x.cpp", "\tint x;\n")], [("Makefile", "all:\n\ttrue\n"), ("x.go", "\tx()\n")]),
    "living_links": (
        [("docs/a.md", "see [b](gone.md)\n"), ("README.md", "[b](there.md)\n")],
        [("docs/a.md", "see [b](there.md#part) and [c](../README.md)\n"),
         ("README.md", "[b](https://example.org/x) [c](docs) [d](#part)\n")]),
    "runnable_scripts": (
        [("scripts/x", "true\n", True), ("scripts/x", SHEBANG, False),
         ("tests/x.py", "#!/usr/bin/env python3\n", False), ("io/x.cpp", "int x;\n", True)],
        [("scripts/x", SHEBANG, True), ("scripts/list.txt", "a\n", False),
         ("io/x.cpp", "int x;\n", False)]),
    "shown_by_tests": (
        [("docs/features.md", FEATURES.format(text)) for text in (
            "`tests/a_test.cpp::[b]`", "`tests/b.py::helper`", "`tests/c.py::test_b`", "none",
            "`tests/a_test.cpp`", "`tests/b.py::test_b`, `tests/b.py::test_c`")],
        [("docs/features.md", FEATURES.format(text)) for text in (
            "`tests/a_test.cpp::an a`", "`tests/a_test.cpp::a long name`",
            "`tests/b.py::test_b`, `tests/a_test.cpp::an a`")]
        + [("docs/there.md", FEATURES.format("none")), ("docs/features.md", "no table\n")]),
}


def found(rule, case):
    source = Source(*case)
    source.tree, source.folders, source.read = TREE, {"docs", "io", "tests"}, TESTS.get
    return list(rule(source))


def main():
    passed = failed = 0
    for rule in tidy.RULES:
        wrong, right = CASES[rule.__name__]
        for case in wrong + right:
            good = bool(found(rule, case)) == (case in wrong)
            passed += good
            failed += not good
            if not good:
                print(f"{rule.__name__}: {'silent about' if case in wrong else 'blames'} "
                      f"{case[0]}: {case[1][:200]!r}: {found(rule, case)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
