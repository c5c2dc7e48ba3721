"""The model card, README.md of a model folder: the model, its scores, its settings and its use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

import stepscan
from stepscan.estimators.training_history import TrainingHistory
from stepscan.estimators.yardsticks import best_scores
from stepscan.evaluation.yardstick import Yardstick, verdict
from stepscan.wide.model import WideModel


def model_card(
    task: str,
    settings: dict[str, Any],
    model: nn.Module,
    history: list[dict[str, Any]],
    *,
    yardstick: dict[str, Any] | None = None,
    outside_penalty: float = 0.0,
    wide: WideModel | None = None,
    chosen: Collection[str] = (),
) -> str:
    """Markdown with size, training time, validation scores and those of the yardstick, the training, settings and use.

    Args:
        task, settings, model: of the estimator.
        history: the training curve.
        yardstick: a trivial model, as `Yardstick.to_dict`.
        outside_penalty: of O, where tags that mark spans are predicted.
        wide: the wide part.
        chosen: names of the settings that were chosen by the size of the data.
    """
    training = TrainingHistory.from_rows(history)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    scores = "".join(f"| valid_{name} | {value:.4f} |\n" for name, value in best_scores(history).items())
    rows = "".join(
        f"| {name} | {value}{' (chosen by the size of the data)' if name in chosen else ''} |\n"
        for name, value in settings.items()
    )
    texts = training.summary(), _wide_paragraph(wide), _penalty_paragraph(outside_penalty)
    paragraphs = "".join(f"{text}\n\n" for text in texts if text)
    return (
        f"# A Stepscan model: {task}\n\n"
        f"{parameters:,} parameters, trained by Stepscan {stepscan.__version__} for "
        f"{training.seconds:.0f} seconds.\n\n"
        f"## Scores on the validation data\n\n| score | value |\n|---|---|\n{scores}\n"
        f"{_yardstick_paragraph(yardstick, history)}"
        f"{paragraphs}## Settings\n\n| setting | value |\n|---|---|\n{rows}\n"
        "## Use\n\n```python\nimport stepscan as ss\n\nmodel = ss.load('this folder')\n```\n"
    )


def _penalty_paragraph(outside_penalty: float) -> str:
    """The penalty of O, if there is one."""
    if not outside_penalty:
        return ""
    return f"Where tags are predicted, the score of O is lowered by {outside_penalty:g}, for the best F1 of spans."


def _wide_paragraph(wide: WideModel | None) -> str:
    """The shares of network and wide part, if there is one."""
    if wide is None:
        return ""
    deep, linear = wide.shares
    return (
        f"Scores are {deep:g} times those of the network plus {linear:g} times those of a linear model on "
        f"{wide.features.size:,} fixed features."
    )


def _yardstick_paragraph(yardstick: dict[str, Any] | None, history: list[dict[str, Any]]) -> str:
    """The yardstick's scores, if there is one."""
    if yardstick is None:
        return ""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in yardstick["scores"].items())
    warning = verdict(Yardstick.from_dict(yardstick), best_scores(history))
    return f"For comparison, the {yardstick['name']}: {scores}.{f' Note: {warning}.' if warning else ''}\n\n"
