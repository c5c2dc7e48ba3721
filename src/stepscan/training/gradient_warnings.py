"""Warnings about vanishing and exploding gradients, with the options that would help."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from stepscan.cells.cell import Cell

_MIN_STEPS = 20  # shorter sequences have no long dependencies
_MIN_REACH = 1 / 3  # of the lags measured; a shorter horizon gives a warning
_MAX_CLIPPED = 0.5  # of the updates
_MAX_NORM_RATIO = 10.0  # between two evaluations
_MAX_GROWTH = 100.0  # relative to lag 0


def vanishing_warning(model: nn.Module, metrics: Mapping[str, float]) -> str:
    """A warning if the gradient horizon is much shorter than the sequences; otherwise an empty string.

    Args:
        model: the pattern.
        metrics: those of this evaluation, see `GradientMonitor`.
    """
    steps, reach = metrics.get("gradient_steps", 0.0), metrics.get("gradient_horizon", 0.0)
    if steps < _MIN_STEPS or reach >= _MIN_REACH * steps:
        return ""
    return (
        f"gradients vanish: they fall to 1 % within {reach:.0f} steps, but sequences have up to "
        f"{metrics['sequence_steps']:.0f} steps; dependencies further back are hardly learned. "
        f"{_advice_against_vanishing(model)}"
    )


def _advice_against_vanishing(model: nn.Module) -> str:
    cells = _cells(model)
    schemes = {scheme for _, scheme in cells}
    if "chrono" in schemes:
        return "Try a larger --t-max, --cell transformer, or --residual with more --layers"
    if "identity" in schemes:
        return "Try --cell lstm --initialisation chrono"
    if cells == {("elman", "orthogonal")}:
        return "Try --cell lstm --initialisation chrono, or --initialisation identity"
    if any(name in ("lstm", "layer_norm_lstm", "gru") for name, _ in cells):
        return "Try --initialisation chrono"
    return "Try --cell lstm --initialisation chrono"


def explosion_warning(
    model: nn.Module, metrics: Mapping[str, float], previous_norm: float | None, max_grad_norm: float
) -> str:
    """A warning if gradients grow, or if more than half of the updates were clipped; otherwise an empty string.

    Args:
        model: the pattern.
        metrics: those of this evaluation, see `GradientMonitor`.
        previous_norm: `gradient_norm` at the last evaluation; None at the first.
        max_grad_norm: the setting.
    """
    clipped, norm = metrics.get("clipped", 0.0), metrics.get("gradient_norm", 0.0)
    growth = metrics.get("gradient_growth", 0.0)
    if growth > _MAX_GROWTH:
        problem = f"gradients explode: going back in time they grow by a factor of up to {growth:.0f}"
    elif previous_norm and norm > _MAX_NORM_RATIO * previous_norm:
        problem = f"gradients explode: their norm grew from {previous_norm:.3g} to {norm:.3g} since the last evaluation"
    elif clipped > _MAX_CLIPPED:
        limit = f"--max-grad-norm {max_grad_norm:g}"
        problem = f"gradients are large: {clipped:.0%} of updates were clipped (norm {norm:.3g}, {limit})"
    else:
        return ""
    return f"{problem}. {_advice_against_explosion(model)}"


def _advice_against_explosion(model: nn.Module) -> str:
    cells = _cells(model)
    if ("elman", "identity") in cells:
        return "Try a lower --learning-rate and --max-grad-norm, or --cell lstm, whose gates bound what grows"
    if cells and all(name == "elman" for name, _ in cells):
        return "Try a lower --learning-rate, --max-grad-value 0.1, or --cell lstm"
    if any(name == "layer_norm_lstm" for name, _ in cells):
        return "Try a lower --learning-rate, or --max-grad-value 0.1"
    return "Try a lower --learning-rate, --max-grad-value 0.1, or --cell layer_norm_lstm"


def _cells(model: nn.Module) -> set[tuple[str, str]]:
    """The kinds of cells in a model, each with its initialisation: such as `("elman", "orthogonal")`."""
    return {(cell.registered_name, cell.scheme.kind) for cell in model.modules() if isinstance(cell, Cell)}
