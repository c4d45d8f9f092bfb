"""The rules of the tree that are about every text. Each yields (line number, what to write)."""

import os
import re

# Word (a regular expression, any case) and what to write instead.
WORDS = {
    r"white-?list": "allow list",
    r"black-?list": "deny list",
    r"\bto" r"do\b": "an issue, or the code itself",
    r"\bfix" r"me\b": "an issue, or the code itself",
    r"\bx" r"xx\b": "an issue, or the code itself",
    # The text speaks of gantry alone.
    r"\bcl" r"aude\b": "nothing",
    r"\banth" r"ropic\b": "nothing",
    r"\bcop" r"ilot\b": "nothing",
    r"\b(?:chat)?g" r"pt\b": "nothing",
    r"\bl" r"lms?\b": "nothing",
    r"\bfa" r"rm-": "nothing",
    r"\bai-gen" r"erated\b": "nothing",
    r"\bsuba" r"gents?\b": "nothing",
    r"\bsession's hel" r"per": "nothing",
}
ANY_WORD = re.compile("|".join(f"({w})" for w in WORDS), re.I)


def words(source):
    """Words that the tree does without."""
    if ANY_WORD.search(source.text) is None:
        return
    for number, line in enumerate(source.lines, 1):
        for m in ANY_WORD.finditer(line):
            yield number, f"for {m.group(0)} write {list(WORDS.values())[m.lastindex - 1]}"


def clean_ends(source):
    """No blank at the end of a line, and a newline at the end of a file."""
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip():
            yield number, "take away the blanks at the end of the line"
    if source.text and not source.text.endswith("\n"):
        yield len(source.lines), "end the file with a newline"
    elif source.text.endswith("\n\n"):
        yield len(source.lines) - 1, "end the file with one newline"


def no_tabs(source):
    """Tabs stand in Makefiles and in Go only."""
    if os.path.basename(source.path).startswith("Makefile") or source.path.endswith(".go"):
        return
    for number, line in enumerate(source.lines, 1):
        if "\t" in line:
            yield number, "write spaces"


LINK = re.compile(r"\]\(([^()\s]+)\)")


def living_links(source):
    """What a document links to is in the tree."""
    if not source.path.endswith(".md"):
        return
    folder = os.path.dirname(source.path)
    for number, line in enumerate(source.lines, 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            path = os.path.normpath(os.path.join(folder, target.split("#")[0]))
            if path not in source.tree and path not in source.folders:
                yield number, f"link to what exists: {target} does not"


def runnable_scripts(source):
    """A script has a shebang and may be executed; nothing else may."""
    shebang = source.text.startswith("#!")
    in_scripts = source.top == "scripts" and not source.path.endswith((".txt", ".py", ".md"))
    if in_scripts and not shebang:
        yield 1, "begin the script with a shebang"
    if (in_scripts or shebang) and not source.executable:
        yield 1, "make the script executable (chmod +x, git update-index --chmod=+x)"
    if source.executable and not shebang:
        yield 1, "begin with a shebang, or do not make it executable"


RULES = (words, clean_ends, no_tabs, living_links, runnable_scripts)
