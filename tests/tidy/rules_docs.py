"""The rules of the tree that are about what documents say of tests. Each yields (line number,
what to write instead)."""

import ast
import re

NAMED = re.compile(r"`([^`]+)`")
CASE = re.compile(r'\bTEST_CASE(?:_METHOD)?\(\s*(?:\w+,\s*)?((?:"(?:[^"\\]|\\.)*"\s*)+)')


def cases(path, text):
    """The tests that a file has: names of Catch2, or of Python's functions and methods."""
    if path.endswith(".py"):
        try:
            tree = ast.parse(text)
        except SyntaxError:  # Another rule says so.
            return set()
        return {n.name for n in ast.walk(tree)
                if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}
    return {"".join(re.findall(r'"((?:[^"\\]|\\.)*)"', m)) for m in CASE.findall(text)}


def shown_by_tests(source):
    """Each line of the table in docs/features.md names a test, `FILE::CASE`, that exists."""
    if source.path != "docs/features.md":
        return
    head = True
    for number, line in enumerate(source.lines, 1):
        if not line.startswith("|"):
            head = True
            continue
        if head or re.fullmatch(r"[|:\- ]+", line):  # The names of the columns.
            head = False
            continue
        named = [x for x in NAMED.findall(line.rsplit("|", 2)[-2]) if "::" in x]
        if not named:
            yield number, "name in the last column the test that shows it: `FILE::CASE`"
        for path, _, case in (x.partition("::") for x in named):
            if path not in source.tree:
                yield number, f"name a file that exists: {path} does not"
            elif case not in cases(path, source.read(path)):
                yield number, f"name a test that exists: {path} has no {case!r}"


RULES = (shown_by_tests,)
