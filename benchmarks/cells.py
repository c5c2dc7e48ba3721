"""Every cell on three published sets, at equal parameters and in equal time: the table and plot of docs/which-cell.md.

    python benchmarks/cells.py --data FOLDER --work FOLDER [--seconds 15] [--plot docs/images/cells.png]

Runs `stepscan compare` six times, half an hour of one core, and keeps each comparison under --work; those that are
there are not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt

from stepscan.cells.catalogue import cell_names
from stepscan.contract import Recurrence
from stepscan.registry import registered_classes

FIRST = "lstm"  # sets the number of parameters
WAYS = ("parameters", "time")


class Set(NamedTuple):
    """A published set: its name, the files below the data folder, options, and the options at equal parameters."""

    name: str
    task: str
    train: str
    valid: str
    options: tuple[str, ...]
    passes: int
    factor: float  # from the metric to what is shown


SETS = (
    Set(
        "Shakespeare, nats",
        "generate",
        "tinyshakespeare/input.txt.gz",
        "",
        ("--hidden-size", "256", "--layers", "2"),
        1,
        1.0,
    ),
    Set(
        "EWT, accuracy, %",
        "tag",
        "ud_english_ewt/en_ewt-ud-train.conllu.gz",
        "ud_english_ewt/en_ewt-ud-dev.conllu.gz",
        (),
        2,
        100.0,
    ),
    Set("SST-2, accuracy, %", "classify", "sst/stsa.binary.train.gz", "sst/stsa.binary.dev", (), 3, 100.0),
)
Rows = dict[str, dict[str, Any]]


def cells() -> list[str]:
    """All that can go one step at a time, the first one first."""
    causal = [name for name in cell_names() if issubclass(registered_classes()[name], Recurrence)]
    return sorted(causal, key=lambda name: (name != FIRST, name))


def compared(one: Set, way: str, arguments: argparse.Namespace) -> Rows:
    """The rows of `stepscan compare` by cell."""
    folder = arguments.work / f"{one.task}-{way}"
    if not (folder / "comparison.json").exists():
        how = ("--epochs", str(one.passes)) if way == "parameters" else ("--time-budget", str(arguments.seconds))
        files = ["--train", arguments.data / one.train]
        files += ["--valid", arguments.data / one.valid] if one.valid else []
        command = [sys.executable, "-m", "stepscan", "compare", one.task, *files, *one.options, *how, "--equal", way]
        command += ["--cells", ",".join(cells()), "--seed", "0", "--out", folder, "--quiet"]
        subprocess.run(list(map(str, command)), check=True)
    return {row["cell"]: row for row in json.loads((folder / "comparison.json").read_text())}


def table(found: dict[tuple[str, str], Rows]) -> str:
    """In Markdown: for each set the score at equal parameters and in equal time; bytes and time in the generator."""
    sets = " | ".join(f"{one.name}: equal parameters | equal time" for one in SETS)
    lines = [f"| cell | {sets} | state, bytes | step, µs |", "|---|" + "---|" * (2 * len(SETS) + 2)]
    generator = found[SETS[0].name, "time"]
    for name in cells():
        scores = [
            f"{found[one.name, way][name]['score'] * one.factor:.{3 - (one.factor > 1) * 2}f}"
            for one in SETS
            for way in WAYS
        ]
        cost = generator[name]
        lines.append(f"| `{name}` | {' | '.join(scores)} | {cost['state_bytes']:,} | {cost['step_microseconds']:.1f} |")
    return "\n".join(lines)


def plot(found: dict[tuple[str, str], Rows], target: Path) -> None:
    """For each set, the scores of all cells at equal parameters and in equal time."""
    names = cells()[::-1]
    figure, plots = plt.subplots(1, len(SETS), figsize=(12, 5.5), sharey=True, layout="constrained")
    for axes, one in zip(plots, SETS, strict=True):
        for way, marker in zip(WAYS, "os", strict=True):
            rows = found[one.name, way]
            scores = [rows[name]["score"] * one.factor for name in names]
            axes.plot(
                scores, range(len(names)), marker, fillstyle="none" if way == "time" else "full", label=f"equal {way}"
            )
        axes.set(xlabel=one.name, yticks=range(len(names)), yticklabels=names)
        axes.grid(axis="y", linewidth=0.3)
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(WAYS))
    figure.savefig(target, dpi=110)


def main() -> None:
    """Compare, then print the table and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=15, help="for each cell, in equal time")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = {(one.name, way): compared(one, way, arguments) for one in SETS for way in WAYS}
    print(table(found))
    if arguments.plot:
        plot(found, arguments.plot)


if __name__ == "__main__":
    main()
