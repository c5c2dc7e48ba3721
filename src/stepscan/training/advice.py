"""What watched gradients mean, in words, and which option would help."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from stepscan.cells.cell import Cell

_LONG = 20  # steps: in shorter sequences nothing is far away
_FAR_BELOW = 1 / 3  # of the length: a horizon that is less
_OFTEN = 0.5  # of the updates
_GROWN = 10.0  # times the norm of the stretch before
_GROWING = 100.0  # times the gradient at lag 0


def vanishing(model: nn.Module, figures: Mapping[str, float]) -> str:
    """A sentence if the horizon lies far below the sequences' length; else nothing."""
    steps, reach = figures.get("gradient_steps", 0.0), figures.get("gradient_horizon", 0.0)
    if steps < _LONG or reach >= _FAR_BELOW * steps:
        return ""
    length = figures["sequence_steps"]
    return (
        f"gradients vanish: {reach:.0f} steps back they are down to 1 %, but sequences have up to {length:.0f} steps; "
        f"what lies further back is hardly learned. {_against_vanishing(model)}"
    )


def _against_vanishing(model: nn.Module) -> str:
    begun = {(cell.registered_name, cell.initialisation.kind) for cell in model.modules() if isinstance(cell, Cell)}
    kinds = {kind for _, kind in begun}
    if "chrono" in kinds:
        return "Try a larger --t-max, --cell transformer, or --residual with more --layers"
    if "identity" in kinds:
        return "Try --cell lstm --initialisation chrono"
    if begun == {("elman", "orthogonal")}:
        return "Try --cell lstm --initialisation chrono, or --initialisation identity"
    if any(name in ("lstm", "layer_norm_lstm", "gru") for name, _ in begun):
        return "Try --initialisation chrono"
    return "Try --cell lstm --initialisation chrono"


def explosion(model: nn.Module, figures: Mapping[str, float], norm_before: float | None, max_grad_norm: float) -> str:
    """A sentence if more than half of the updates were clipped, or gradients grow; else nothing.

    Args:
        model: the pattern.
        figures: of this evaluation.
        norm_before: `gradient_norm` of the last one.
        max_grad_norm: as set.
    """
    clipped, norm = figures.get("clipped", 0.0), figures.get("gradient_norm", 0.0)
    growth = figures.get("gradient_growth", 0.0)
    if growth > _GROWING:
        what = f"gradients explode: they grow on their way back, up to {growth:.0f} times"
    elif norm_before and norm > _GROWN * norm_before:
        what = f"gradients explode: their norm grew from {norm_before:.3g} to {norm:.3g}"
    elif clipped > _OFTEN:
        limit = f"--max-grad-norm {max_grad_norm:g}"
        what = f"gradients are large: {clipped:.0%} of updates were clipped, norm {norm:.3g}, {limit}"
    else:
        return ""
    return f"{what}. {_against_explosion(model)}"


def _against_explosion(model: nn.Module) -> str:
    begun = {(cell.registered_name, cell.initialisation.kind) for cell in model.modules() if isinstance(cell, Cell)}
    if ("elman", "identity") in begun:
        return "Try a lower --learning-rate and --max-grad-norm, or --cell lstm, whose gates bound what grows"
    if begun and all(name == "elman" for name, _ in begun):
        return "Try a lower --learning-rate, --max-grad-value 0.1, or --cell lstm"
    if any(name == "layer_norm_lstm" for name, _ in begun):
        return "Try a lower --learning-rate, or --max-grad-value 0.1"
    return "Try a lower --learning-rate, --max-grad-value 0.1, or --cell layer_norm_lstm"
