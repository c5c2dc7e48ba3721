"""The README.md of a model folder: what the model is, how it scored, how it is used."""

from __future__ import annotations

from typing import Any

from torch import nn

import stepscan
from stepscan.estimators.yardsticks import best_scores
from stepscan.runtime.yardstick import Yardstick, verdict


def model_card(
    task: str,
    settings: dict[str, Any],
    model: nn.Module,
    history: list[dict[str, Any]],
    yardstick: dict[str, Any] | None = None,
) -> str:
    """Markdown: size, training time, validation scores and those of the yardstick, settings, and two lines to use it
    with."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    scores = "".join(f"| valid_{name} | {value:.4f} |\n" for name, value in best_scores(history).items())
    rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
    return (
        f"# A Stepscan model: {task}\n\n"
        f"{parameters:,} parameters, trained by Stepscan {stepscan.__version__} for "
        f"{history[-1]['seconds'] if history else 0:.0f} seconds.\n\n"
        f"## Scores on the validation data\n\n| score | value |\n|---|---|\n{scores}\n"
        f"{_compared(yardstick, history)}"
        f"## Settings\n\n| setting | value |\n|---|---|\n{rows}\n"
        "## Use\n\n```python\nimport stepscan as ss\n\nmodel = ss.load('this folder')\n```\n"
    )


def _compared(yardstick: dict[str, Any] | None, history: list[dict[str, Any]]) -> str:
    """A paragraph about the yardstick, if there is one."""
    if yardstick is None:
        return ""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in yardstick["scores"].items())
    said = verdict(Yardstick.of(yardstick), best_scores(history))
    return f"For comparison, the {yardstick['name']}: {scores}.{f' Note: {said}.' if said else ''}\n\n"
