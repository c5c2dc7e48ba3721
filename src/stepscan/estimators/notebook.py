"""The HTML representation of an estimator in a notebook: settings, scores and training curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stepscan.options import settings_of

_WIDTH, _HEIGHT = 420, 120  # pixels of the curve


def as_html(estimator: Any) -> str:
    """A fragment of HTML, without scripts or external resources."""
    options = settings_of(type(estimator))
    changed = {n: v for n, v in estimator.get_params().items() if n in options and v != options[n].default}
    tables = [_table("Settings", changed or {"": "all by default"})]
    fitted = vars(estimator)
    if chosen := fitted.get("chosen_"):
        tables.append(_table("Chosen by data size", chosen))
    history = fitted.get("history_", [])
    curve = _curve(history) if history else "<p>Not trained yet.</p>"
    return f"<div><strong>{type(estimator).__name__}</strong>{''.join(tables)}{curve}</div>"


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(f'{value:g}' if isinstance(value, float) else str(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<details open><summary>{title}</summary><table>{rows}</table></details>"


def _curve(history: Sequence[Mapping[str, Any]]) -> str:
    """The validation score over updates; without validation data, the training loss."""
    names = [name for name in history[0] if name.startswith("valid_")] or ["train_loss"]
    points = [(row["updates"], row[names[0]]) for row in history if names[0] in row]
    (x_low, x_high), (y_low, y_high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    across, up = _WIDTH / max(x_high - x_low, 1), _HEIGHT / ((y_high - y_low) or 1)
    line = " ".join(f"{across * (x - x_low):.1f},{up * (y_high - y):.1f}" for x, y in points)
    best = [row for row in history if row["best"]] or history[-1:]
    scores = ", ".join(f"{name.removeprefix('valid_')} {best[-1][name]:.4f}" for name in names)
    label = escape(names[0].replace("valid_", "validation ").replace("_", " "))
    return (
        f"<p>{label}, {y_low:.4g} to {y_high:.4g}, over {x_high:,} updates; best: {escape(scores)}</p>"
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 8}" viewBox="-4 -4 {_WIDTH + 8} {_HEIGHT + 8}" role="img" '
        f'aria-label="{label} over updates"><polyline points="{line}" fill="none" stroke="currentColor" '
        'stroke-width="1.5"/></svg>'
    )
