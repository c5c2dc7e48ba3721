"""All numbers of a report, and the same as plain data for JSON."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stepscan.cells.elman import Elman
from stepscan.inspection.attention import Attention, attention
from stepscan.inspection.gates import GateStatistics, gates
from stepscan.inspection.gradient_flow import GradientFlow, flow
from stepscan.inspection.horizon import Horizon, elman_bound, lyapunov
from stepscan.inspection.saliency import Saliency, saliency
from stepscan.inspection.subject import Part, Subject
from stepscan.inspection.units import PROPERTIES, hidden_states, properties, tracking

_FEWEST = 20  # items, for a correlation to say something


class PartFigures(NamedTuple):
    """What was found in one recurrence."""

    name: str
    layer: str  # such as `LSTM(64 → 64)`
    steps: int
    flow: GradientFlow
    horizons: dict[str, Horizon]  # by state field
    lyapunov: float  # nats a step; NaN where there is none
    bound: float | None  # an Elman network's σ_max(W_hh)·max|φ′|
    gates: dict[str, GateStatistics]  # by part; empty where there are no gates
    states: dict[str, np.ndarray]  # [T, H] of the first row, by field


class Tracked(NamedTuple):
    """The unit that goes most closely with a property of the text."""

    property: str
    part: str
    field: str
    unit: int
    correlation: float
    values: np.ndarray  # [T], the unit's, in the text's order


class Examination(NamedTuple):
    """What a report shows."""

    title: str
    about: dict[str, Any]
    items: list[str]  # of the first row; none if they are random
    parts: list[PartFigures]
    tracked: list[Tracked]
    saliency: Saliency | None
    attention: Attention | None


def examine(subject: Subject, *, seed: int = 0) -> Examination:
    """Measure everything there is to be measured of a subject.

    Args:
        seed: of the random directions that gradients and Lyapunov exponents start with.
    """
    parts = [_of_part(part, seed) for part in subject.parts]
    tracked = _tracked(parts, subject.items) if subject.text else []
    estimator, text = subject.estimator, subject.text
    reads = estimator is not None and estimator.task == "classify" and text
    found = saliency(estimator, text) if reads else None
    looked = _attention(estimator, text)
    return Examination(subject.title, subject.about, subject.items, parts, tracked, found, looked)


def _of_part(part: Part, seed: int) -> PartFigures:
    found = flow(part.layer, part.inputs, state=part.state)
    return PartFigures(
        part.name,
        part.layer.described,
        int(part.inputs.lengths.max()),
        found,
        found.horizons,
        _lyapunov(part, seed),
        elman_bound(part.layer, part.inputs) if isinstance(part.layer, Elman) else None,
        gates(part.layer, part.inputs),
        _states(part),
    )


def _lyapunov(part: Part, seed: int) -> float:
    try:
        return lyapunov(part.layer, part.inputs, seed=seed)
    except ValueError:  # a cache grows
        return math.nan


def _states(part: Part) -> dict[str, np.ndarray]:
    """Of the first row, in the order of the text."""
    found = hidden_states(part.layer, part.inputs, state=part.state)
    length = int(part.inputs.lengths[0])
    return {name: rows[0, :length][:: -1 if part.backwards else 1] for name, rows in found.items()}


def _tracked(parts: list[PartFigures], items: list[str]) -> list[Tracked]:
    """For each property that changes in the text, the best unit of all recurrences that read it."""
    pieces, found = [item + between(items) for item in items], []
    for name in PROPERTIES:
        target = properties(pieces, name)
        if len(items) < _FEWEST or np.ptp(target) == 0:
            continue
        best = [
            Tracked(name, part.name, one.field, one.unit, one.correlation, part.states[one.field][:, one.unit])
            for part in parts
            if not part.name.startswith("decoder")
            for one in tracking({field: values[None] for field, values in part.states.items()}, target)[:1]
        ]
        found += sorted(best, key=lambda one: -abs(one.correlation))[:1]
    return found


def between(items: list[str]) -> str:
    """What stands between the items of a text: nothing if they are characters or pieces with their own spaces."""
    return "" if any(item.isspace() for item in items) or max(map(len, items), default=0) <= 1 else " "


def _attention(estimator: Any, text: str) -> Attention | None:
    if estimator is None or estimator.task != "translate" or not text or estimator.attention == "none":
        return None
    return attention(estimator, text)


def as_json(found: Examination) -> dict[str, Any]:
    """The numbers as plain data: no NaN (null), no infinity (null: not within what was measured); maps `[T, T]` and
    hidden states are left out, for `stepscan.inspection` gives them as arrays."""
    return _plain(
        {
            "title": found.title,
            **found.about,
            "parts": [_part_as_data(part) for part in found.parts],
            "units": [one._replace(values=np.round(one.values, 4)) for one in found.tracked],
            "saliency": found.saliency,
            "attention": found.attention,
        }
    )


def _part_as_data(part: PartFigures) -> dict[str, Any]:
    fields = {
        name: {"lags": one.lags, "median": one.median, "low": one.low, "high": one.high}
        for name, one in part.flow.fields.items()
    }
    return {**part._asdict(), "flow": fields, "states": {name: list(x.shape) for name, x in part.states.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
