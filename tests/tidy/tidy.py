#!/usr/bin/python3
"""The rules of the tree, as a test.

  tests/tidy/tidy.py [ROOT]

Prints each breach as `file:line: rule: what to write instead`. Each rule is one check; the last
line counts them: "N passed, N failed".
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_cpp
import rules_docs
import rules_text
from source import Source

LEFT_OUT = {".git", "build", "__pycache__", "out", "crashes", "corpus", "results"}
RULES = rules_cpp.RULES + rules_text.RULES + rules_docs.RULES


def files(root):
    """Every text file of the tree, as paths relative to its root."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in LEFT_OUT)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith(".pyc") and not os.path.islink(path) and os.path.isfile(path):
                yield os.path.relpath(path, root)


def text_of(root, path):
    with open(os.path.join(root, path), encoding="utf-8", newline="") as f:
        return f.read()


def sources(root):
    """The files as the rules see them; what is no text is left out."""
    tree = set(files(root))
    folders = {os.path.dirname(p) for p in tree}
    folders |= {"/".join(f.split("/")[:n]) for f in folders for n in range(1, 1 + f.count("/"))}
    for path in sorted(tree):
        full = os.path.join(root, path)
        try:
            text = text_of(root, path)
        except UnicodeDecodeError:
            continue
        source = Source(path, text, os.access(full, os.X_OK))
        source.tree, source.folders = tree, folders
        source.read = lambda other: text_of(root, other)
        yield source


def breaches(rule, source):
    """What one rule says of one file, ready to print."""
    return [f"{source.path}:{line}: {rule.__name__}: {instead}" for line, instead in rule(source)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "..")
    all_sources = list(sources(root))
    failed = 0
    for rule in RULES:
        found = [b for s in all_sources for b in breaches(rule, s)]
        failed += bool(found)
        print("".join(b + "\n" for b in found), end="")
    if not any(s.is_cpp for s in all_sources):
        print(f"{root}: no C++ found: is this the root of the tree?")
        failed = len(RULES)
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
