"""Plots of learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stepscan.errors import StepscanError

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito 2008
_MARKERS = "osD^vPX"  # so that curves do not only differ in colour
_X_AXES = (("epoch", "epochs"), ("seconds", "training time, s"))


def check_matplotlib() -> None:
    """Raise a `StepscanError` if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise StepscanError("learning curves need matplotlib, which is not installed: pip install 'stepscan[plots]'")


def plot_learning_curves(rows: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> None:
    """Write a PNG with the validation score of each row of `compare`, over epochs and over seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (name, label) in zip(axes, _X_AXES, strict=True):
        for index, row in enumerate(rows):
            score = list(row["curve"][0])[-1]
            axis.plot(
                [point[name] for point in row["curve"]],
                [point[score] for point in row["curve"]],
                color=_COLOURS[index % len(_COLOURS)],
                marker=_MARKERS[index % len(_MARKERS)],
                markersize=5,
                label=f"{row['cell']} {row['hidden_size']} ({row['parameters']:,} parameters)",
            )
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel(rows[0]["metric"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
