"""pictures.py RESULTS FOLDER: draws the pictures from the raw numbers."""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "path", "font.size": 11, "axes.spines.top": False, "axes.spines.right": False})

import matplotlib.pyplot as plt

from figures import COPIES, FLOOR, LUA, NATIVE, NONE, NOOP, OURS, SIZES
from report import KINDS, Figures

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = {NATIVE: "#999999", NOOP: "#56B4E9", LUA: "#E69F00", FLOOR: "#CC79A7", OURS: "#0072B2", NONE: "#000000"}
NAMES = {FLOOR: "floor: the calls alone"}


def main():
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    figures = Figures(results)
    caption = f"{results['machine'].strip()}; {results['date']}"
    save(per_copy(figures), caption + ". Bars: median of the rounds; lines: their range.", folder / "per-copy.svg")
    save(allowlist(figures), caption + ". Points: median of the rounds; lines: their range.", folder / "allowlist.svg")


def per_copy(figures):
    figure, axes = plt.subplots(figsize=(8, 4.5))
    subjects = (NATIVE, FLOOR, OURS, NOOP, LUA)
    width = 0.8 / len(subjects)
    for index, subject in enumerate(subjects):
        kinds = [kind for kind in KINDS if figures.copy(subject, kind)]
        series = [figures.copy(subject, kind) for kind in kinds]
        places = [KINDS.index(kind) + (index - 2) * width for kind in kinds]
        medians = [statistics.median(values) for values in series]
        bars = axes.bar(places, medians, width * 0.94, yerr=ranges(series), color=COLOURS[subject], label=NAMES.get(subject, subject), error_kw={"lw": 1, "ecolor": "#333333"})
        tops = [max(values) for values in series]
        for bar, median, top in zip(bars, medians, tops):
            axes.annotate(f"{median:.1f}", (bar.get_x() + bar.get_width() / 2, max(top, 0)), (0, 2), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(KINDS)), ["request without Origin", "from an allowed origin", "from a stranger"])
    axes.set_ylabel("µs of CPU per request and copy")
    axes.set_title(f"What one copy of a filter costs ({COPIES} in a chain)", loc="left")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, loc="upper left", ncols=3)
    return figure


def allowlist(figures):
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for subject, marker in ((NATIVE, "s"), (OURS, "o")):
        series = [figures.whole(subject, count) for count in SIZES]
        medians = [statistics.median(values) for values in series]
        axes.errorbar(SIZES, medians, yerr=ranges(series), color=COLOURS[subject], label=subject, marker=marker, capsize=3)
        place = (-26, -4) if subject == NATIVE else (0, 8)
        axes.annotate(f"{medians[-1]:,.0f} µs", (SIZES[-1], medians[-1]), place, textcoords="offset points", ha="center", fontsize=9)
    without = statistics.median(figures.whole(NONE, 1))
    axes.axhline(without, color=COLOURS[NONE], lw=1, ls="--", label=NONE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(SIZES, [f"{count:,}" for count in SIZES])
    axes.set_yticks([10, 100, 1_000], ["10", "100", "1,000"])
    axes.set_xlabel("allowed origins")
    axes.set_ylabel("µs of CPU per request, all of Envoy")
    axes.set_title("A whole request from the last origin of the list", loc="left")
    axes.legend(frameon=False)
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    return figure


def ranges(series):
    """Below and above the medians."""
    medians = [statistics.median(values) for values in series]
    return [[m - min(v) for m, v in zip(medians, series)], [max(v) - m for m, v in zip(medians, series)]]


def save(figure, caption, path):
    figure.text(0.01, 0.01, caption, fontsize=7, color="#555555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    # No date of its own: the caption has it.
    figure.savefig(path, facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
