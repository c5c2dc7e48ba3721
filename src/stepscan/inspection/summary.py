"""The summary of a report in words: its first paragraph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stepscan.inspection.html import written
from stepscan.inspection.measurement import RecurrenceReport, Report

_EXPLODING = 10.0  # a gradient so many times that at lag 0


def summary(report: Report) -> str:
    """What a report shows, in words: memory horizons, and whether gradients explode."""
    first, *others = [_vanishing(recurrence) for recurrence in report.recurrences]
    start = first.replace("it ", "the gradient of an output with respect to earlier states ", 1)
    sentences = [f"{start[0].upper()}{start[1:]}{''.join(f'; {other}' for other in others)}."]
    sentences += [text for r in report.recurrences for text in (_exploding(r), _bounded(r)) if text]
    return " ".join(sentences)


def _vanishing(report: RecurrenceReport) -> str:
    """Such as `in the LSTM it falls to 1 % after 13 steps (h) and after 21 steps (c)`."""
    falls = [
        f"after {_steps(horizon.one_percent)} ({name})"
        for name, horizon in report.memory_horizons.items()
        if math.isfinite(horizon.one_percent)
    ]
    lasts = [name for name, horizon in report.memory_horizons.items() if not math.isfinite(horizon.one_percent)]
    clauses = [f"falls to 1 % {_and(falls)}"] if falls else []
    if lasts:
        clauses.append(f"does not fall to 1 % within the {_steps(report.steps - 1)} measured ({', '.join(lasts)})")
    return f"in {_display_name(report)} it {' and '.join(clauses)}"


def _exploding(report: RecurrenceReport) -> str:
    fields = report.gradient_flow.fields.items()
    growing = [name for name, field in fields if float(np.nanmax(field.median, initial=0.0)) > _EXPLODING]
    if not growing:
        return ""
    return f"In {_display_name(report)} the gradient explodes ({_and(growing)}): it grows with the lag."


def _bounded(report: RecurrenceReport) -> str:
    if report.elman_bound is None:
        return ""
    name, factor = _display_name(report), written(report.elman_bound)
    if report.elman_bound <= 1.001:
        return f"In {name} a step multiplies the gradient by at most {factor}, so it cannot explode."
    return f"In {name} a step multiplies the gradient by up to {factor}."


def _display_name(report: RecurrenceReport) -> str:
    """`the LSTM`, or with its place in a model `the encoder forward LSTM`."""
    kinds = {"elman": "Elman network", "lstm": "LSTM", "gru": "GRU"}
    *path, kind = report.name.split()
    return f"the {' '.join([*path, kinds.get(kind, kind)])}"


def _steps(count: float) -> str:
    rounded = max(1, round(count))
    return "1 step" if rounded == 1 else f"{rounded} steps"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
