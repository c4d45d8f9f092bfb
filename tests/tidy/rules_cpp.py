"""The rules of the tree that are about C++. Each yields (line number, what to write instead)."""

import ast
import re

from source import arguments, functions

LINES_PER_FUNCTION = 70
LINES_PER_FILE = 400
COLUMNS = 100

# What a folder may include besides itself; the longest prefix of a path decides.
FLOORS = ["messages", "io", "runtime", "actors", "gateways", "library", "apps"]
MAY_USE = {
    "gateways/client": ("messages/",),
    "apps/gantryd": ("messages/", "io/", "runtime/", "actors/", "gateways/"),
    "apps/gantry": ("messages/", "io/", "runtime/", "gateways/client/"),
    "apps/keeper": ("messages/", "io/arena", "io/keeper_wire", "io/keeper_socket"),
}


def _home(path):
    homes = [h for h in MAY_USE if path.startswith(h + "/")]
    return homes[0] if homes else path.split("/")[0]


def floors(source):
    """Includes go downwards only."""
    home = _home(source.path)
    if not source.is_cpp or home not in MAY_USE and home not in FLOORS:
        return
    if home in MAY_USE:
        allowed = MAY_USE[home]
    else:
        allowed = tuple(f + "/" for f in FLOORS[:FLOORS.index(home)])
    for number, path in source.includes():
        own = "/" not in path or path.startswith(home + "/")
        if not own and not path.startswith(allowed):
            yield number, f"{home} may include itself and {', '.join(allowed)}; not {path}"


# Installed from messages/, under these names.
SHARED_WORDS = {"include/gantry/error.hpp", "include/gantry/result.hpp"}


def public_headers(source):
    """What is installed includes itself and the standard library, nothing else."""
    if source.top != "include" or source.path in SHARED_WORDS:
        return
    for number, line in enumerate(source.lines, 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)', line)
        if m and (m.group(1) == '"' or not re.fullmatch(r"gantry/\w+\.hpp|\w+", m.group(2))):
            yield number, f"a public header does not include {m.group(2)}"


def own_header_first(source):
    """x.cpp and x_test.cpp include x.hpp first: so the header proves that it stands alone."""
    if not source.path.endswith(".cpp") or source.top == "bench":
        return
    own = source.path[:-4] + ".hpp"
    if source.path.startswith("tests/"):
        own = re.sub(r"_test\.hpp$", ".hpp", own)
        places = (own, own[len("tests/"):], own.replace("tests/cli/", "apps/gantry/"),
                  own.replace("tests/keeper/", "apps/keeper/"))
    else:
        places = (own,)
    found = [p for p in places if source.tree and p in source.tree]
    includes = re.findall(r'^\s*#\s*include\s+([<"][^>"]+)', source.text, re.M)
    first = includes[0][1:] if includes else ""
    if found and first not in found and first != found[0].rsplit("/", 1)[-1]:
        number = next((n for n, x in enumerate(source.lines, 1) if "#include" in x), 1)
        yield number, f'include "{found[0]}" first'


def pragma_once(source):
    """A header says #pragma once."""
    if source.is_header and "#pragma once" not in source.text:
        yield 1, "begin the header with #pragma once"


def documented(source):
    """A class of the libraries says what it is, in a /// comment."""
    if not source.is_header or source.top not in ("include", *LIBRARY_FOLDERS[1:]):
        return
    inside = ""
    for at, line in enumerate(source.lines):
        if m := re.match(r"namespace (\w*)", line):
            inside = m.group(1)
        named = re.match(r"(?:class|struct)\s+(?:\[\[\w+\]\]\s*)?([\w:]+)[^;(]*\{", line)
        if not named or "detail" in inside:
            continue
        above = at - 1
        while above >= 0 and source.lines[above].startswith("template"):
            above -= 1
        if above < 0 or not re.match(r"\s*///", source.lines[above]):
            yield at + 1, f"say above {named.group(1)} what it is, in a /// comment"


def short_functions(source):
    """A function has at most 70 lines."""
    if source.is_cpp:
        spans = functions(source)
    elif source.is_python:
        try:
            tree = ast.parse(source.text)
        except SyntaxError as e:
            yield e.lineno or 1, f"write Python that parses: {e.msg}"
            return
        # A class that a function makes is counted by its own functions.
        spans = ((n.lineno, n.end_lineno - sum(c.end_lineno - c.lineno for c in n.body
                                               if isinstance(c, ast.ClassDef)))
                 for n in ast.walk(tree)
                 if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    else:
        return
    for first, last in spans:
        if last - first + 1 > LINES_PER_FUNCTION:
            yield first, (f"{last - first + 1} lines: split the function into thoughts of at "
                          f"most {LINES_PER_FUNCTION}")


def short_files(source):
    """A file of code has at most 400 lines."""
    count = source.text.count("\n")
    if (source.is_cpp or source.is_python) and count > LINES_PER_FILE:
        yield count, f"{count} lines: split the file by theme, at most {LINES_PER_FILE}"


def short_lines(source):
    """A line of code has at most 100 columns, but for tables that clang-format leaves alone."""
    if not (source.is_cpp or source.is_python or source.path.endswith((".proto", ".cmake"))):
        return
    table = False
    for number, line in enumerate(source.lines, 1):
        table = "clang-format off" in line or table and "clang-format on" not in line
        if len(line) > COLUMNS and not table:
            yield number, f"{len(line)} columns: break the line before {COLUMNS}"


LIBRARY_FOLDERS = ("messages", "io", "runtime", "actors", "gateways", "library")
LUCK = re.compile(r"\b(?:sleep_for|sleep_until|usleep)\s*\(|::sleep\s*\(")
EVERYWHERE = {
    r"\bstrcpy\s*\(": "copy a std::string or std::string_view, or memcpy a checked length",
    r"\bstrcat\s*\(": "join std::strings, or memcpy checked lengths",
    r"(?<!\w)(?:std::)?sprintf\s*\(": "use snprintf, or a std::string",
    r"(?<![\w.>:& ])(?:std::|::)?system\s*\(|(?<!\w)(?:std)?::system\s*\(": "spawn the program by its argument vector",
    r"\bpopen\s*\(": "spawn the program by its argument vector",
    r"\[=[\],]": "spell out what the lambda captures",
}
LIBRARIES = {
    r"\bstd::(?:j?thread|async)\b(?!::)": "let the loop do it: the libraries have no threads",
    r"(?<![\w.>])(?:std::)?f?printf\s*\(": "log it, or return the text",
    r"\bstd::c(?:out|err)\b": "log it, or return the text",
    r"\bspdlog::(?:trace|debug|info|warn|error|critical|set_\w+|(?:set_)?default_logger)\s*\(":
      "use io::log_info, log_warn or log_error: spdlog's default logger is not ours",
}


def no_luck(source):
    """A test does not sleep: it waits for an event, with a deadline."""
    if source.is_cpp and source.top != "bench":
        for m in LUCK.finditer(source.code):
            yield source.line_of(m.start()), "wait for the event itself, with a deadline"


def banned_calls(source):
    """Calls that the tree does without."""
    if not source.is_cpp:
        return
    banned = dict(EVERYWHERE)
    if source.top in LIBRARY_FOLDERS:
        banned.update(LIBRARIES)
    for pattern, instead in banned.items():
        for m in re.finditer(pattern, source.code):
            yield source.line_of(m.start()), instead


OPENERS = re.compile(r"(?<![\w.>:])(?:::(?:open|openat|socket|socketpair|memfd_create|dup3)"
                     r"|(?:::)?(?:accept4|pipe2|eventfd|signalfd|timerfd_create|epoll_create1"
                     r"|inotify_init1))\s*\(")
LEAKERS = re.compile(r"(?<![\w.>:)\]])::(accept|pipe|dup|creat|epoll_create|inotify_init)\s*\(")


def close_on_exec(source):
    """A descriptor is born close-on-exec, unless a comment on its line says `inherited`."""
    if not source.is_cpp or source.is_test:
        return
    code = source.code
    for m in OPENERS.finditer(code):
        before = code[code.rfind("\n", 0, m.start()) + 1:m.start()]
        if re.search(r"\b(?:int|fd|result<\w+>)\s+$", before): # Declares a function.
            continue
        line = source.lines[source.line_of(m.start()) - 1]
        if "CLOEXEC" not in arguments(code, m.end() - 1) and "inherited" not in line:
            yield source.line_of(m.start()), "pass the call's CLOEXEC flag"
    for m in LEAKERS.finditer(code):
        yield source.line_of(m.start()), f"use the form of {m.group(1)} that takes CLOEXEC"


RULES = (floors, public_headers, own_header_first, pragma_once, documented, short_functions,
         short_files, short_lines, no_luck, banned_calls, close_on_exec)
