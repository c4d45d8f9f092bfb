"""Plots as SVG, of nothing but text: latencies as distributions, memory against containers."""

import math
import statistics
from xml.sax.saxutils import escape

COLORS = {"floor": "#888888", "gantry": "#0b6e4f", "embedded": "#08a045",
          "containerd": "#3366cc", "dockerd": "#cc6600", "podman": "#993399"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 320, 64, 130, 36, 44


class Plot:
    """One panel with axes of its own; `x` and `y` are (least, most, logarithmic)."""

    def __init__(self, title, x, y, x_words, y_words):
        self.x, self.y = x, y
        self.parts = [text(LEFT, 20, title, "start", 14)]
        self.names = 0
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for value in ticks(*x):
            at = self.place(value, 0)[0]
            self.parts.append(line([(at, TOP), (at, bottom)], "#dddddd"))
            self.parts.append(text(at, bottom + 16, shown(value)))
        for value in ticks(*y):
            at = self.place(0, value)[1]
            self.parts.append(line([(LEFT, at), (right, at)], "#dddddd"))
            self.parts.append(text(LEFT - 6, at + 4, shown(value), "end"))
        self.parts.append(text((LEFT + right) / 2, HEIGHT - 10, x_words))
        self.parts.append(text(LEFT - 6, TOP - 16, y_words, "end"))

    def place(self, x, y):
        return (LEFT + share(x, *self.x) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - share(y, *self.y) * (HEIGHT - TOP - BOTTOM))

    def curve(self, name, points, note=""):
        color = COLORS.get(name, "#000000")
        self.parts.append(line([self.place(*p) for p in points], color, 2))
        at = TOP + 12 + 34 * self.names
        self.names += 1
        self.parts.append(text(WIDTH - RIGHT + 10, at, name, "start", 12, color))
        self.parts.append(text(WIDTH - RIGHT + 10, at + 14, note, "start", 11))


def share(value, least, most, logarithmic):
    if logarithmic:
        value, least, most = (math.log10(max(v, 1e-9)) for v in (value, least, most))
    return min(1.0, max(0.0, (value - least) / ((most - least) or 1)))


def ticks(least, most, logarithmic):
    if logarithmic:
        out = [m * 10.0 ** e for e in range(-3, 7) for m in (1, 2, 5)]
    else:
        step = 10.0 ** math.floor(math.log10(max(most - least, 1e-9)))
        step *= 0.5 if (most - least) / step < 4 else 1
        out = [least + step * i for i in range(int((most - least) / step) + 1)]
    return [v for v in out if least <= v <= most]


def shown(value):
    return f"{value:.3f}".rstrip("0").rstrip(".")


def text(x, y, words, anchor="middle", size=11, color="#222222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'fill="{color}">{escape(words)}</text>')


def line(points, color, width=1):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>'


def write(path, plots):
    height = HEIGHT * max(len(plots), 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>']
    for number, plot in enumerate(plots):
        out += [f'<g transform="translate(0 {number * HEIGHT})">', *plot.parts, "</g>"]
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n</svg>\n")


def latencies(path, deeds):
    """`deeds`: title → who → samples in ns. A curve goes up to the share of samples below."""
    plots = []
    for title, by_whom in deeds.items():
        every = [ns / 1e6 for samples in by_whom.values() for ns in samples]
        x = (min(every) * 0.8, max(every) * 1.2, True)
        plot = Plot(title, x, (0, 1, False), "milliseconds", "share")
        for who, samples in by_whom.items():
            ordered = sorted(ns / 1e6 for ns in samples)
            points = [(ordered[0], 0.0)]
            for i, ms in enumerate(ordered):
                points += [(ms, i / len(ordered)), (ms, (i + 1) / len(ordered))]
            plot.curve(who, points, f"median {statistics.median(ordered):.2f} ms")
        plots.append(plot)
    write(path, plots)


def memory(path, by_whom):
    """`by_whom`: who → count of containers → MiB of the daemon and all that belongs to it."""
    most_x = max(n for points in by_whom.values() for n in points)
    most_y = max(mib for points in by_whom.values() for mib in points.values())
    plot = Plot("Memory (PSS) of the supervisor and what it has beside containers",
                (0, most_x, False), (0, most_y * 1.05, False), "idle containers", "MiB")
    for who, points in by_whom.items():
        ordered = sorted(points.items())
        # The first ones bring code and buffers in that all share.
        first = ordered[1] if len(ordered) > 2 else ordered[0]
        slope = (ordered[-1][1] - first[1]) / max(ordered[-1][0] - first[0], 1)
        plot.curve(who, ordered, f"{slope * 1024:.0f} KiB each")
    write(path, [plot])
