"""A strict reader of OpenMetrics 1.0 and of Prometheus's text format 0.0.4, for tests: what it
takes, Prometheus takes."""

import math
import re

from checks import check, check_equal

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def labels_of(text):
    out, at = {}, 0
    while text and at < len(text):
        m = LABEL.match(text, at)
        check(m, f"labels: {text!r} at {at}")
        check(m.group(1) not in out, f"label {m.group(1)} twice: {text!r}")
        out[m.group(1)] = (m.group(2).replace("\\n", "\n").replace('\\"', '"')
                           .replace("\\\\", "\\"))
        at = m.end()
        check(m.group(3) == "" or at < len(text), f"a comma at the end: {text!r}")
    return out


def check_histogram(name, samples):
    """Each series of it: buckets in order, never falling, +Inf last and equal to the count."""
    series = {}
    for suffix, labels, value in samples:
        rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(rest, []).append((suffix, labels, value))
    for rest, all_of in series.items():
        buckets = [(float(x["le"].replace("+Inf", "inf")), v) for s, x, v in all_of
                   if s == "_bucket"]
        check(buckets, f"{name}{rest} has no buckets")
        check_equal(sorted(buckets), buckets, f"{name}{rest}: buckets in order, none falling")
        check_equal(len({b for b, _ in buckets}), len(buckets), f"{name}{rest}: limits once")
        check_equal(buckets[-1][0], math.inf, f"{name}{rest}: the last bucket")
        single = {s: v for s, _, v in all_of if s != "_bucket"}
        check_equal(single.get("_count"), buckets[-1][1], f"{name}{rest}: its count")
        check(single.get("_sum", -1) >= 0, f"{name}{rest}: its sum")


class Metrics:
    """A parsed text."""

    def __init__(self, text, openmetrics):
        self.types = {}
        self.samples = {}  # family: [(suffix, labels, value)]
        self.openmetrics = openmetrics
        check(text.endswith("\n"), "the last line has an end")
        lines = text[:-1].split("\n")
        if openmetrics:
            check_equal(lines.pop(), "# EOF", "the last line")
        check("# EOF" not in lines, "# EOF elsewhere")
        family, seen = None, set()
        for line in lines:
            if line.startswith("#"):
                family = self.describe(line, family, seen)
            else:
                self.take(line, family, seen)
        for name, kind in self.types.items():
            if kind == "histogram":
                check_histogram(name, self.samples.get(name, []))

    def describe(self, line, family, seen):
        m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        check(m, f"a line of description: {line!r}")
        word, name, rest = m.groups()
        if word == "HELP":
            check(name not in seen, f"family {name} comes twice")
            check("\\" not in re.sub(r'\\[\\n"]', "", rest), f"escapes in {line!r}")
            seen.add(name)
            return name
        check_equal(name, family, "TYPE stands behind its HELP")
        check(rest in SUFFIXES, f"type: {line!r}")
        if rest == "counter":
            check(name.endswith("_total") != self.openmetrics, f"name of a counter: {name}")
        self.types[name] = rest
        return name

    def take(self, line, family, seen):
        m = SAMPLE.fullmatch(line)
        check(m, f"a sample: {line!r}")
        check(family in self.types, f"a sample without a type: {line!r}")
        kind = self.types[family]
        base = family[:-6] if kind == "counter" and not self.openmetrics else family
        suffix = m.group(1)[len(base):]
        check(m.group(1).startswith(base) and suffix in SUFFIXES[kind],
              f"{line!r} does not belong to {kind} {family}")
        labels = labels_of(m.group(2))
        key = (m.group(1), tuple(sorted(labels.items())))
        check(key not in seen, f"the same sample twice: {line!r}")
        seen.add(key)
        value = float(m.group(3))
        check(math.isfinite(value) and (kind == "gauge" or value >= 0), f"value: {line!r}")
        if suffix in ("_bucket", "_count"):
            check_equal(value, int(value), f"a whole number: {line!r}")
        self.samples.setdefault(base, []).append((suffix, labels, value))

    def value(self, name, **wanted):
        """The one sample of a counter or gauge that has these labels."""
        found = [v for _, labels, v in self.samples.get(name, [])
                 if wanted.items() <= labels.items()]
        check_equal(len(found), 1, f"samples of {name} with {wanted}")
        return found[0]

    def count(self, name, **wanted):
        """The count of a histogram."""
        return sum(v for suffix, labels, v in self.samples.get(name, [])
                   if suffix == "_count" and wanted.items() <= labels.items())
