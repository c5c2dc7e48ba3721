"""All numbers of a report, and the same as plain data for JSON."""

from __future__ import annotations

import math
from html import escape
from typing import Any, NamedTuple

import numpy as np

from stepscan.cells.elman import Elman
from stepscan.dynamics.gates import CellStatistics, gate_statistics
from stepscan.dynamics.memory_horizon import MemoryHorizon
from stepscan.dynamics.recurrences import RecurrenceCall
from stepscan.inspection.attention_map import AttentionMap, attention_map
from stepscan.inspection.gradient_flow import GradientFlow, gradient_flow
from stepscan.inspection.saliency import Saliency, saliency
from stepscan.inspection.stability import elman_bound, lyapunov_exponent
from stepscan.inspection.target import InspectionTarget
from stepscan.inspection.units import TEXT_PROPERTIES, hidden_states, text_property, unit_correlations

_MIN_ITEMS = 20  # for a correlation to be meaningful


class RecurrenceReport(NamedTuple):
    """The measurements of one recurrence."""

    name: str
    layer: str  # such as `LSTM(64 → 64)`
    steps: int
    gradient_flow: GradientFlow
    memory_horizons: dict[str, MemoryHorizon]  # by state field
    lyapunov_exponent: float  # nats per step; NaN for a recurrence with a growing cache
    elman_bound: float | None  # σ_max(W_hh) · max|φ′| of an Elman network
    gates: dict[str, CellStatistics]  # by cell; empty for a recurrence without the classic cells
    states: dict[str, np.ndarray]  # [T, H] of the first row, by field


class CorrelatedUnit(NamedTuple):
    """The unit with the strongest correlation with a property of the text."""

    property: str
    recurrence: str
    field: str
    unit: int
    correlation: float
    values: np.ndarray  # [T], its state at each item, in the order of the text


class Report(NamedTuple):
    """What `stepscan.inspection.report` returns."""

    title: str
    about: dict[str, Any]  # settings
    items: list[str]  # the tokens of the first row; empty if they are random
    recurrences: list[RecurrenceReport]
    units: list[CorrelatedUnit]
    saliency: Saliency | None
    attention: AttentionMap | None

    def _repr_html_(self) -> str:
        """The report's page, as a notebook shows it."""
        from stepscan.inspection.report import as_html  # a page is made of reports

        return f'<iframe srcdoc="{escape(as_html(self))}" style="width: 100%; height: 40em; border: 0"></iframe>'


def measure(target: InspectionTarget, *, seed: int = 0) -> Report:
    """Make all measurements that apply to a target.

    Args:
        target: what to inspect.
        seed: seed of the random directions of Lyapunov exponents.
    """
    reports = [_recurrence_report(call, seed) for call in target.recurrences]
    estimator, text = target.estimator, target.text
    task = "" if estimator is None or not text else estimator.task
    return Report(
        target.title,
        target.about,
        target.items,
        reports,
        _correlated_units(reports, target.items) if text else [],
        saliency(estimator, text) if estimator is not None and task == "classify" else None,
        _attention(estimator, text) if task == "translate" else None,
    )


def _recurrence_report(call: RecurrenceCall, seed: int) -> RecurrenceReport:
    flow = gradient_flow(call.layer, call.inputs, state=call.state)
    return RecurrenceReport(
        call.name,
        call.layer.signature,
        int(call.inputs.lengths.max()),
        flow,
        flow.memory_horizons,
        _lyapunov_exponent(call, seed),
        elman_bound(call.layer, call.inputs) if isinstance(call.layer, Elman) else None,
        gate_statistics(call.layer, call.inputs),
        _first_row_states(call),
    )


def _lyapunov_exponent(call: RecurrenceCall, seed: int) -> float:
    try:
        return lyapunov_exponent(call.layer, call.inputs, seed=seed)
    except ValueError:  # a growing cache
        return math.nan


def _first_row_states(call: RecurrenceCall) -> dict[str, np.ndarray]:
    """By field, `[T, H]` in the order of the text."""
    states = hidden_states(call.layer, call.inputs, state=call.state)
    length = int(call.inputs.lengths[0])
    return {name: rows[0, :length][:: -1 if call.is_reversed else 1] for name, rows in states.items()}


def _correlated_units(reports: list[RecurrenceReport], items: list[str]) -> list[CorrelatedUnit]:
    """For each property that varies in the text, the best unit of all recurrences that read the text."""
    pieces, units = [item + separator(items) for item in items], []
    readers = [report for report in reports if not report.name.startswith("decoder")]
    for name in TEXT_PROPERTIES:
        values = text_property(pieces, name)
        if len(items) >= _MIN_ITEMS and np.ptp(values) > 0:
            best = [unit for report in readers for unit in _best_unit(report, name, values)]
            units += sorted(best, key=lambda unit: -abs(unit.correlation))[:1]
    return units


def _best_unit(report: RecurrenceReport, name: str, values: np.ndarray) -> list[CorrelatedUnit]:
    """The unit that correlates best with a property `[T]`; none for a recurrence without hidden states."""
    states = {field: state[None] for field, state in report.states.items()}
    return [
        CorrelatedUnit(name, report.name, *best, report.states[best.field][:, best.unit])
        for best in unit_correlations(states, values)[:1]
    ]


def separator(items: list[str]) -> str:
    """What joins the items of a text: a space, or nothing if they are characters or hold their own white space."""
    return "" if any(item.isspace() for item in items) or max(map(len, items), default=0) <= 1 else " "


def _attention(estimator: Any, text: str) -> AttentionMap | None:
    return None if estimator.attention == "none" else attention_map(estimator, text)


def as_json(report: Report) -> dict[str, Any]:
    """A report as plain data for JSON.

    NaN becomes null, and so does infinity (a memory horizon that was not reached). The maps `[T, T]` and the hidden
    states are omitted; `stepscan.inspection` returns them as arrays.
    """
    return _plain(
        {
            "title": report.title,
            **report.about,
            "recurrences": [_recurrence_as_data(recurrence) for recurrence in report.recurrences],
            "units": [unit._replace(values=np.round(unit.values, 4)) for unit in report.units],
            "saliency": report.saliency,
            "attention": report.attention,
        }
    )


def _recurrence_as_data(report: RecurrenceReport) -> dict[str, Any]:
    flow = {
        name: {"lags": field.lags, "median": field.median, "low": field.low, "high": field.high}
        for name, field in report.gradient_flow.fields.items()
    }
    shapes = {name: list(values.shape) for name, values in report.states.items()}
    return {**report._asdict(), "gradient_flow": flow, "states": shapes}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
