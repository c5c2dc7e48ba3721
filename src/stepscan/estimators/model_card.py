"""The README.md of a model folder: what the model is, how it scored, how it is used."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

import stepscan
from stepscan.estimators.course import Course
from stepscan.estimators.yardsticks import best_scores
from stepscan.runtime.wide.scores import Wide
from stepscan.runtime.yardstick import Yardstick, verdict


def model_card(
    task: str,
    settings: dict[str, Any],
    model: nn.Module,
    history: list[dict[str, Any]],
    *,
    yardstick: dict[str, Any] | None = None,
    wide: Wide | None = None,
    chosen: Collection[str] = (),
) -> str:
    """Markdown: size, training time, validation scores and those of the yardstick, how it was trained, settings, and
    two lines to use it with.

    Args:
        chosen: the settings that were chosen by the data's size.
    """
    course = Course.of(history)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    scores = "".join(f"| valid_{name} | {value:.4f} |\n" for name, value in best_scores(history).items())
    rows = "".join(
        f"| {name} | {value}{' (chosen by the size of the data)' if name in chosen else ''} |\n"
        for name, value in settings.items()
    )
    parts = "".join(f"{text}\n\n" for text in (course.described(), _joined(wide)) if text)
    return (
        f"# A Stepscan model: {task}\n\n"
        f"{parameters:,} parameters, trained by Stepscan {stepscan.__version__} for "
        f"{course.seconds:.0f} seconds.\n\n"
        f"## Scores on the validation data\n\n| score | value |\n|---|---|\n{scores}\n"
        f"{_compared(yardstick, history)}"
        f"{parts}## Settings\n\n| setting | value |\n|---|---|\n{rows}\n"
        "## Use\n\n```python\nimport stepscan as ss\n\nmodel = ss.load('this folder')\n```\n"
    )


def _joined(wide: Wide | None) -> str:
    """What the network and the wide part count, if there is one."""
    if wide is None:
        return ""
    deep, linear = wide.shares
    return (
        f"Scores are {deep:g} times those of the network and {linear:g} times those of a linear model on "
        f"{wide.features.size:,} fixed features."
    )


def _compared(yardstick: dict[str, Any] | None, history: list[dict[str, Any]]) -> str:
    """A paragraph about the yardstick, if there is one."""
    if yardstick is None:
        return ""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in yardstick["scores"].items())
    said = verdict(Yardstick.from_dict(yardstick), best_scores(history))
    return f"For comparison, the {yardstick['name']}: {scores}.{f' Note: {said}.' if said else ''}\n\n"
