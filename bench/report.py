"""The table and the samples of one run, as files."""

import json
import os

import harness
import plot


def table(b):
    out = []
    figure = None
    for r in b.rows:
        if r["figure"] != figure:
            figure = r["figure"]
            out += ["", f"### {figure}", "",
                    "| what | gantry | target | | beside it |", "| --- | ---: | --- | --- | --- |"]
        value = "not measured" if r["value"] is None else f"{r['value']:.4g} {r['unit']}".strip()
        mark = {True: "met", False: "**missed**", None: ""}[r["met"]]
        cells = [str(x).replace("|", "/").replace("\n", " ")
                 for x in (r["what"], value, r["target"], mark, r["beside"])]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def side_by_side(b):
    """What everybody can do, in columns: median, p90 and p99 in milliseconds."""
    if not b.deeds:
        return ""
    who = [name for name in harness.CONTENDERS if any(name in x for x in b.deeds.values())]
    out = ["", "### side by side (milliseconds)", "", "| deed | | " + " | ".join(who) + " |",
           "| --- | --- |" + " ---: |" * len(who)]
    for deed, samples in b.deeds.items():
        spreads = {name: harness.spread(x) for name, x in samples.items()}
        for part in ("median", "p90", "p99", "n"):
            cells = ["–" if name not in spreads else
                     str(spreads[name][part]) if part == "n" else f"{spreads[name][part]:.2f}"
                     for name in who]
            words = [deed if part == "median" else "", "samples" if part == "n" else part]
            out.append("| " + " | ".join(words + cells) + " |")
    return "\n".join(out) + "\n"


def plots(b, directory):
    """Files with the pictures of this run; their names."""
    names = []
    if b.deeds:
        plot.latencies(os.path.join(directory, "latency.svg"), b.deeds)
        names.append("latency.svg")
    if b.memory:
        plot.memory(os.path.join(directory, "memory.svg"), b.memory)
        names.append("memory.svg")
    return names


def write(b, facts, directory, words):
    os.makedirs(directory, exist_ok=True)
    head = ["# The figures of one run", "",
            f"Made by `bench/run {' '.join(words)}`"
            + (" (quick: few samples)." if b.quick else ".")]
    head += ["", "| | |", "| --- | --- |"] + [f"| {k} | {v} |" for k, v in facts.items()]
    with open(os.path.join(directory, "latest.md"), "w") as f:
        f.write("\n".join(head) + "\n" + side_by_side(b) + table(b))
        f.writelines(f"\n![{name}]({name})\n" for name in plots(b, directory))
    with open(os.path.join(directory, "latest.json"), "w") as f:
        json.dump({"machine": facts, "quick": b.quick, "rows": b.rows, "samples": b.raw,
                   "deeds": b.deeds, "memory_mib": b.memory}, f,
                  indent=1)
        f.write("\n")
