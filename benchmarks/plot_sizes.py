"""The plot of `stepscan bench sizes` in docs/performance.md: speed against length, batch and hidden size.

stepscan bench sizes --json > sizes.json
python benchmarks/plot_sizes.py sizes.json docs/images/sizes.png
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt

AXES = {"T": "longest row (H = 64, B = 8)", "B": "rows (H = 128, T = 64)", "H": "hidden size (B = 32, T = 32)"}


def main(source: str, target: str) -> None:
    machine, *rows = map(json.loads, Path(source).read_text().splitlines())
    machine = machine["machine"]
    measured = [(_shape(row["name"]), row) for row in rows]
    fixed = {"T": ("64", "8", None), "B": ("128", None, "64"), "H": (None, "32", "32")}
    figure, plots = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
    for plot, (axis, label) in zip(plots, AXES.items(), strict=True):
        for cell, colour in (("LSTM", "C0"), ("GRU", "C1"), ("Elman", "C2")):
            lines = [
                (int(dict(zip("HBT", shape, strict=True))[axis]), row)
                for (name, *shape), row in measured
                if name == cell
                and all(fixed_size in (None, size) for fixed_size, size in zip(fixed[axis], shape, strict=True))
            ]
            lines.sort(key=lambda line: line[0])
            sizes = [size for size, _ in lines]
            plot.plot(sizes, [row["gflops"] for _, row in lines], colour, marker="o", label=cell)
            best = [row["gflops"] / min(row["ratios"].values()) for _, row in lines]
            plot.plot(sizes, best, colour, linestyle=":", marker=".", label=f"{cell}, PyTorch (best)")
        plot.axhline(machine["peak_gflops"], color="black", linewidth=1, label="multiply-adds in registers")
        plot.set(xscale="log", yscale="log", xlabel=label)
        plot.set_xticks(sizes, map(str, sizes), rotation=45)
        plot.minorticks_off()
    plots[0].set_ylabel("GF/s, forward and backward")
    plots[-1].legend(fontsize=7)
    figure.suptitle(f"{machine['processor']}, {machine['instruction_set']}, {machine['threads']} threads")
    figure.savefig(target, dpi=110)


def _shape(name: str) -> tuple[str, ...]:
    """Cell, H, B and T of a row, as strings."""
    found = re.match(r"(\w+) H=(\d+) B=(\d+) T=(\d+)", name)
    if found is None:
        raise SystemExit(f"expected a row of `stepscan bench sizes`, named such as LSTM H=64 B=8 T=100, got {name!r}")
    return found.groups()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    arguments = parser.parse_args()
    main(arguments.source, arguments.target)
