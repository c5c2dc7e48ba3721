"""The sections of a report: each a plot, a legend and a table of the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stepscan.inspection.drawing import SERIES, Curve, curves, heat, histogram
from stepscan.inspection.escaping import escape
from stepscan.inspection.examination import Examination, PartFigures, between
from stepscan.inspection.gates import QUANTILES, GateStatistics
from stepscan.inspection.page import Section, coloured, pair, table, written

_LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_MARKS = {"1/e": float(np.exp(-1)), "1 %": 0.01}
_ALONG, _UP = "steps back", "gradient, relative"


def sections(found: Examination) -> list[Section]:
    """All that there is something for."""
    return [
        _overview(found.parts),
        _bounds(found.parts),
        _units(found),
        _saliency(found),
        _attention(found),
        _gates(found.parts),
        _states(found),
        _fields(found.parts),
    ]


def _overview(parts: list[PartFigures]) -> Section:
    lines = [
        Curve(f"{part.name}: {name}", one.lags, one.median, one.low, one.high)
        for part in parts
        for name, one in part.flow.fields.items()
    ]
    rows = [
        [f"{part.name}: {name}", one.one_over_e, one.one_percent, part.lyapunov]
        for part in parts
        for name, one in part.horizons.items()
    ]
    beside = table(["state", "1/e after", "1 % after", "Lyapunov"], rows)
    blocks = []
    for start in range(0, len(lines), SERIES):
        some = lines[start : start + SERIES]
        plot = curves(some, title=_said(some), x_label=_ALONG, y_label=_UP, marks=_MARKS)
        blocks.append(
            pair("Gradient over distance: median, and 10 % to 90 %", plot, beside, [one.name for one in some])
        )
        beside = ""
    words = (
        "How strongly an output depends on the state so many steps before it, relative to the state of its own step. "
        "∞: not within what was measured. A largest Lyapunov exponent (nats a step) below 0 says that small "
        "differences die away, one above 0 that they grow."
    )
    return Section("How far back the gradient reaches", words, blocks)


def _said(lines: list[Curve]) -> str:
    return "Gradient over distance. " + " ".join(
        f"{one.name}: {one.y[-1]:.2g} after {one.x[-1]:.0f} steps." for one in lines
    )


def _fields(parts: list[PartFigures]) -> Section:
    blocks = []
    for part in parts:
        for name, one in part.flow.fields.items():
            title = f"{part.name}: {name}"
            plot = heat(
                one.map, title=f"Map of {title}", x_label="from the state at step s", y_label="output at t", log=True
            )
            chosen = [lag for lag in _LAGS if lag < len(one.lags)]
            rows = [[int(one.lags[i]), one.median[i], one.low[i], one.high[i]] for i in chosen]
            blocks.append(pair(f"{title}, step by step", plot, table([_ALONG, "median", "10 %", "90 %"], rows)))
    words = "Each row is an output at step t; along it, how strongly it depends on the state at each step s before."
    return Section("From every step to every step", words, blocks)


def _bounds(parts: list[PartFigures]) -> Section:
    blocks = []
    for part in parts:
        if part.bound is None:
            continue
        [one] = [one for name, one in part.flow.fields.items() if name == "h"] or [
            next(iter(part.flow.fields.values()))
        ]
        bound = part.bound ** one.lags.astype(float)
        lines = [Curve("measured", one.lags, one.median, one.low, one.high), Curve("bound", one.lags, bound)]
        chosen = [lag for lag in _LAGS if lag < len(one.lags)]
        rows = [[int(one.lags[i]), one.median[i], bound[i]] for i in chosen] + [["a step", "", part.bound]]
        plot = curves(lines, title=_said(lines), x_label=_ALONG, y_label=_UP, marks=_MARKS)
        blocks.append(pair(part.name, plot, table([_ALONG, "measured", "bound"], rows), ["measured", "bound"]))
    words = (
        "An Elman network's gradient over k steps is at most (σ_max(W_hh) · max|φ′|)^k times that over none: the "
        "largest singular value of the recurrent weights, and the steepest place of φ that was visited (Pascanu et al. "
        "2013)."
    )
    return Section("The Elman network's bound", words, blocks)


def _gates(parts: list[PartFigures]) -> Section:
    return Section(
        "Gates",
        "How open each gate is, over all units, steps and sequences; low and high are the shares in the lowest and in "
        "the highest tenth of the range. After −1 / ln f steps of a forget gate f (a GRU's update gate), 1/e is left "
        "of what a unit held: its half-life here, in steps. A dead unit hardly moves.",
        [block for part in parts for block in _gates_of(part)],
    )


def _gates_of(part: PartFigures) -> Iterator[str]:
    for name, cell in part.gates.items():
        where = part.name if len(part.gates) == 1 else f"{part.name}: {name}"
        for index, (gate, one) in enumerate(cell.gates.items()):
            title = f"{where}: {gate}"
            plot = histogram(one.histogram, title=title, x_label=gate, edges=one.edges, colour=index)
            rows: list[list[object]] = [
                ["mean", one.mean],
                *([f"{100 * q:.0f} %", value] for q, value in zip(QUANTILES, one.quantiles, strict=True)),
                ["in the lowest tenth", _share(one.saturated_low)],
                ["in the highest tenth", _share(one.saturated_high)],
                *(_of_units(cell) if gate in ("forget", "update", "activation") else ()),
            ]
            yield pair(title, plot, table([gate, ""], rows))


def _of_units(cell: GateStatistics) -> Iterator[list[object]]:
    if len(cell.half_lives):
        quantiles = np.quantile(cell.half_lives, [0, 0.5, 1])
        for word, value in zip(("shortest", "median", "longest"), quantiles, strict=True):
            yield [f"half-life, {word}", float(value)]
    yield ["dead units", len(cell.dead_units)]


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _states(found: Examination) -> Section:
    blocks = []
    for part in found.parts:
        for name, values in part.states.items():
            title = f"{part.name}: {name}"
            plot = heat(values.T, title=f"Hidden states, {title}", x_label="step", y_label="unit")
            rows: list[list[object]] = [
                ["units", values.shape[1]],
                ["mean", float(values.mean())],
                ["standard deviation", float(values.std())],
                ["least", float(values.min())],
                ["greatest", float(values.max())],
                ["|value| above 0.95", f"{100 * float((np.abs(values) > 0.95).mean()):.1f} %"],
            ]
            blocks.append(pair(title, plot, table(["of all units and steps", ""], rows)))
    return Section("Hidden states of the first sequence", "Orange above zero, blue below.", blocks)


def _units(found: Examination) -> Section:
    if not found.tracked:
        return Section("", "", [])
    rows = [[one.property, one.part, one.field, one.unit, one.correlation] for one in found.tracked]
    blocks = [table(["what", "part", "state", "unit", "correlation"], rows)]
    for one in found.tracked:
        blocks.append(f"<h3>{escape(f'Unit {one.unit} of {one.part}: {one.field}, {one.property}')}</h3>")
        shades = one.values / (np.abs(one.values).max() or 1.0)
        blocks.append(coloured(found.items, shades, between=between(found.items)))
    words = (
        "The unit whose value goes most closely with a property of the text, and the text coloured by it, as in "
        "Karpathy et al. (2015): orange above zero, blue below. Of many units some go with anything, so with a short "
        "text this says little."
    )
    return Section("Units that track something", words, blocks)


def _saliency(found: Examination) -> Section:
    one = found.saliency
    if one is None:
        return Section("", "", [])
    blocks = []
    for name, values in (("gradient × input", one.gradient_times_input), ("leaving it out", one.leave_one_out)):
        most = float(np.abs(values).max(initial=0.0)) or 1.0
        blocks.append(f"<h3>{name}</h3>" + coloured(one.tokens, np.asarray(values) / most, between=" "))
    order = np.argsort(-np.abs(one.leave_one_out))[:12]
    rows = [[one.tokens[i], float(one.gradient_times_input[i]), float(one.leave_one_out[i])] for i in order]
    blocks.append(table(["token", "gradient × input", "leaving it out"], rows))
    words = (
        f"What each token adds to {f'the score of {one.label!r}' if one.label else 'the number'}, which is "
        f"{written(one.score)}: orange speaks for it, blue against it."
    )
    return Section("Which tokens decide", words, blocks)


def _attention(found: Examination) -> Section:
    one = found.attention
    if one is None:
        return Section("", "", [])
    plot = heat(
        one.weights[::-1],
        title="Attention weights",
        x_label="source",
        y_label="written",
        columns=one.source,
        rows=one.target[::-1],
    )
    best = one.weights.argmax(axis=1)
    rows = [[t, one.target[t], one.source[s], float(one.weights[t, s])] for t, s in enumerate(best)]
    beside = table(["", "written", "looked most at", "weight"], rows)
    return Section("Attention", "Where the decoder looked while it wrote.", [pair("Attention weights", plot, beside)])
