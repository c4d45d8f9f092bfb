"""The table and the samples of one run, as files."""

import json
import os


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


def write(b, facts, directory, words):
    os.makedirs(directory, exist_ok=True)
    head = ["# The figures of one run", "",
            f"Made by `bench/run {' '.join(words)}`"
            + (" (quick: few samples)." if b.quick else ".")]
    head += ["", "| | |", "| --- | --- |"] + [f"| {k} | {v} |" for k, v in facts.items()]
    with open(os.path.join(directory, "latest.md"), "w") as f:
        f.write("\n".join(head) + "\n" + table(b))
    with open(os.path.join(directory, "latest.json"), "w") as f:
        json.dump({"machine": facts, "quick": b.quick, "rows": b.rows, "samples": b.raw}, f,
                  indent=1)
        f.write("\n")
