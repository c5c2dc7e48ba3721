"""The README.md of a model folder: what the model is, how it scored, how it is used."""

from __future__ import annotations

from typing import Any

from torch import nn

import stepscan


def model_card(task: str, settings: dict[str, Any], model: nn.Module, history: list[dict[str, Any]]) -> str:
    """Markdown: size, training time, validation scores, settings, and two lines to use it with."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    best = [row for row in history if row["best"]][-1:]
    scores = "".join(f"| {k} | {v:.4f} |\n" for row in best for k, v in row.items() if k.startswith("valid_"))
    rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
    return (
        f"# A Stepscan model: {task}\n\n"
        f"{parameters:,} parameters, trained by Stepscan {stepscan.__version__} for "
        f"{history[-1]['seconds'] if history else 0:.0f} seconds.\n\n"
        f"## Scores on the validation data\n\n| score | value |\n|---|---|\n{scores}\n"
        f"## Settings\n\n| setting | value |\n|---|---|\n{rows}\n"
        "## Use\n\n```python\nimport stepscan as ss\n\nmodel = ss.load('this folder')\n```\n"
    )
