"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stepscan.errors import StepscanError

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito 2008
_MARKERS = "osD^vPX"  # so that colour is not all that tells them apart
_ALONG = (("epoch", "passes over the data"), ("seconds", "training time, s"))


def check_drawing() -> None:
    """Raise a `StepscanError` that says what to install, if there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise StepscanError(
            "learning curves are drawn with matplotlib, which is not here: pip install 'stepscan[plots]'"
        )


def draw(rows: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> None:
    """A PNG with the validation score of each row of `compare`, over passes and over seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (along, label) in zip(axes, _ALONG, strict=True):
        for index, row in enumerate(rows):
            score = list(row["curve"][0])[-1]
            axis.plot(
                [point[along] for point in row["curve"]],
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
