"""A file of the tree as the rules see it: its text, and its C++ without comments and literals."""

import re
from pathlib import PurePosixPath

# A comment, a raw string, a string or a character: what the rules about code must not read.
QUIET = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.S)


def _blank(match):
    """The same number of lines, and a literal stays a literal."""
    text = match.group(0)
    lines = "\n" * text.count("\n")
    if text.startswith("/"):
        return lines
    return '""' + lines if text[0] in 'R"' else "' '"


class Source:
    """One file: `path` is relative to the root of the tree."""

    def __init__(self, path, text, executable=False):
        self.path = str(path)
        self.text = text
        self.executable = executable
        self.lines = text.split("\n")
        self.is_header = self.path.endswith(".hpp")
        self.is_cpp = self.is_header or self.path.endswith(".cpp")
        self.is_python = self.path.endswith(".py") or bool(re.match(r"#!.*python3\n", text))
        self.top = PurePosixPath(self.path).parts[0]
        self.is_test = self.top in ("tests", "bench")
        self._code = None

    @property
    def code(self):
        """The C++ with comments gone and literals empty; line numbers stay."""
        if self._code is None:
            self._code = QUIET.sub(_blank, self.text)
        return self._code

    def line_of(self, offset):
        """The line number of an offset in `code`."""
        return self.code.count("\n", 0, offset) + 1

    def includes(self):
        """(line number, path) of every include in quotes."""
        for number, line in enumerate(self.lines, 1):
            if m := re.match(r'\s*#\s*include\s+"([^"]+)"', line):
                yield number, m.group(1)


def arguments(code, opening):
    """What stands between the parenthesis at `opening` and its partner."""
    depth = 0
    for at in range(opening, len(code)):
        if code[at] == "(":
            depth += 1
        elif code[at] == ")":
            depth -= 1
            if depth == 0:
                return code[opening + 1:at]
    return code[opening + 1:]


# What may stand before the brace of a scope that holds functions, but is none.
SCOPE = re.compile(r"(?:^|[\n>])\s*(?:(?:inline|export)\s+)?"
                   r"(?:namespace\b|class\b|struct\b|union\b|enum\b|extern\s*\"\")[^()]*$")


def functions(source):
    """(first line, last line) of every function body, lambdas inside it included."""
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: "\n" * m.group(0).count("\n"),
                  source.code, flags=re.M)
    inside = 0 # Braces open within the function or table at hand; 0: between functions.
    table = False
    begun = head = 0 # Where the text before the next brace begins.
    for at, c in enumerate(code):
        if inside:
            inside += (c == "{") - (c == "}")
            if not inside:
                if not table:
                    yield code.count("\n", 0, begun) + 1, code.count("\n", 0, at) + 1
                head = at + 1
        elif c == "{":
            before = code[head:at].strip()
            if not SCOPE.search(before):
                inside = 1
                table = before.endswith("=") or bool(before) and "(" not in before
                begun = head + len(code[head:at]) - len(code[head:at].lstrip())
            head = at + 1
        elif c in ";}":
            head = at + 1
