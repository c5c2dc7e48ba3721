"""The sections of a report: each a plot, its legend and a table of the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stepscan.dynamics.gates import QUANTILES, CellStatistics
from stepscan.inspection.escaping import escape
from stepscan.inspection.html import Section, coloured_text, figure, table, written
from stepscan.inspection.measurement import RecurrenceReport, Report, separator
from stepscan.inspection.plots import COLOURS, Curve, heatmap, histogram, line_plot

_LAGS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_LEVELS = {"1/e": float(np.exp(-1)), "1 %": 0.01}
_LAG, _GRADIENT = "lag (steps)", "gradient, relative to lag 0"


def sections(report: Report) -> list[Section]:
    """All sections of the page; those without content have no blocks."""
    return [
        _memory(report.recurrences),
        _bounds(report.recurrences),
        _units(report),
        _saliency(report),
        _attention(report),
        _gates(report.recurrences),
        _states(report),
        _maps(report.recurrences),
    ]


def _memory(recurrences: list[RecurrenceReport]) -> Section:
    curves = [
        Curve(f"{recurrence.name}: {name}", field.lags, field.median, field.low, field.high)
        for recurrence in recurrences
        for name, field in recurrence.gradient_flow.fields.items()
    ]
    rows = [
        [f"{recurrence.name}: {name}", horizon.one_over_e, horizon.one_percent, recurrence.lyapunov_exponent]
        for recurrence in recurrences
        for name, horizon in recurrence.memory_horizons.items()
    ]
    side = table(["state", "1/e after", "1 % after", "Lyapunov"], rows)
    blocks = []
    for start in range(0, len(curves), COLOURS):
        group = curves[start : start + COLOURS]
        plot = line_plot(group, title=_description(group), x_label=_LAG, y_label=_GRADIENT, levels=_LEVELS)
        caption = "Gradient over the lag: median, and 10 % to 90 % quantiles"
        blocks.append(figure(caption, plot, side, [curve.name for curve in group]))
        side = ""
    words = (
        "The norm of the gradient of an output with respect to an earlier state, relative to lag 0; the lag is the "
        "number of steps between them. The table gives the memory horizons: the lags at which it has fallen to 1/e and "
        "to 1 %; ∞ if it does not within the steps measured. Lyapunov is the largest Lyapunov exponent, in nats per "
        "step: below 0 small differences decay, above 0 they grow."
    )
    return Section("How far back the gradient reaches", words, blocks)


def _description(curves: list[Curve]) -> str:
    return "Gradient over the lag. " + " ".join(
        f"{curve.name}: {curve.y[-1]:.2g} after {curve.x[-1]:.0f} steps." for curve in curves
    )


def _maps(recurrences: list[RecurrenceReport]) -> Section:
    blocks = []
    for recurrence in recurrences:
        for name, field in recurrence.gradient_flow.fields.items():
            title = f"{recurrence.name}: {name}"
            plot = heatmap(
                field.map,
                title=f"Gradient map, {title}",
                x_label="state at step s",
                y_label="output at step t",
                log=True,
            )
            lags = [lag for lag in _LAGS if lag < len(field.lags)]
            rows = [[int(field.lags[i]), field.median[i], field.low[i], field.high[i]] for i in lags]
            blocks.append(figure(title, plot, table([_LAG, "median", "10 %", "90 %"], rows)))
    words = (
        "Each row is the output at step t; along the row, the gradient with respect to the state at each earlier step "
        "s, relative to that at s = t."
    )
    return Section("Gradient map: every output, every state", words, blocks)


def _bounds(recurrences: list[RecurrenceReport]) -> Section:
    blocks = []
    for recurrence in recurrences:
        if recurrence.elman_bound is None:
            continue
        fields = recurrence.gradient_flow.fields
        field = fields.get("h") or next(iter(fields.values()))
        bound = recurrence.elman_bound ** field.lags.astype(float)
        curves = [
            Curve("measured", field.lags, field.median, field.low, field.high),
            Curve("bound", field.lags, bound),
        ]
        lags = [lag for lag in _LAGS if lag < len(field.lags)]
        rows = [[int(field.lags[i]), field.median[i], bound[i]] for i in lags] + [
            ["per step", "", recurrence.elman_bound]
        ]
        plot = line_plot(curves, title=_description(curves), x_label=_LAG, y_label=_GRADIENT, levels=_LEVELS)
        blocks.append(figure(recurrence.name, plot, table([_LAG, "measured", "bound"], rows), ["measured", "bound"]))
    words = (
        "The gradient of an Elman network at lag k is at most (σ_max(W_hh) · max|φ′|)^k times that at lag 0: the "
        "largest singular value of the recurrent weights times the largest derivative of φ that occurs (Pascanu et al. "
        "2013)."
    )
    return Section("The bound on an Elman network's gradient", words, blocks)


def _gates(recurrences: list[RecurrenceReport]) -> Section:
    return Section(
        "Gates",
        "The distribution of each gate over all units, steps and sequences, and the fractions in the lowest and in the "
        "highest tenth of its range. A unit's time constant is −1 / ln f steps, with its forget gate f (in a GRU, its "
        "update gate): after that time, what it stored has decayed to 1/e. A dead unit's state hardly changes.",
        [block for recurrence in recurrences for block in _gate_blocks(recurrence)],
    )


def _gate_blocks(report: RecurrenceReport) -> Iterator[str]:
    for name, cell in report.gates.items():
        prefix = report.name if len(report.gates) == 1 else f"{report.name}: {name}"
        for index, (gate, statistics) in enumerate(cell.gates.items()):
            title = f"{prefix}: {gate}"
            plot = histogram(statistics.histogram, title=title, x_label=gate, edges=statistics.bin_edges, colour=index)
            rows: list[list[object]] = [
                ["mean", statistics.mean],
                *([f"{100 * q:.0f} %", value] for q, value in zip(QUANTILES, statistics.quantiles, strict=True)),
                ["in the lowest tenth", _percent(statistics.saturated_low)],
                ["in the highest tenth", _percent(statistics.saturated_high)],
                *(_unit_rows(cell) if gate in ("forget", "update", "activation") else ()),
            ]
            yield figure(title, plot, table([gate, ""], rows))


def _unit_rows(cell: CellStatistics) -> Iterator[list[object]]:
    if len(cell.time_constants):
        quantiles = np.quantile(cell.time_constants, [0, 0.5, 1])
        for word, value in zip(("shortest", "median", "longest"), quantiles, strict=True):
            yield [f"time constant, {word}", float(value)]
    yield ["dead units", len(cell.dead_units)]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _states(report: Report) -> Section:
    blocks = []
    for recurrence in report.recurrences:
        for name, values in recurrence.states.items():
            title = f"{recurrence.name}: {name}"
            plot = heatmap(values.T, title=f"Hidden states, {title}", x_label="step", y_label="unit")
            rows: list[list[object]] = [
                ["units", values.shape[1]],
                ["mean", float(values.mean())],
                ["standard deviation", float(values.std())],
                ["minimum", float(values.min())],
                ["maximum", float(values.max())],
                ["|value| above 0.95", _percent(float((np.abs(values) > 0.95).mean()))],
            ]
            blocks.append(figure(title, plot, table(["over all units and steps", ""], rows)))
    return Section("Hidden states of the first sequence", "Orange is positive, blue negative.", blocks)


def _units(report: Report) -> Section:
    if not report.units:
        return Section("", "", [])
    rows = [[unit.property, unit.recurrence, unit.field, unit.unit, unit.correlation] for unit in report.units]
    blocks = [table(["property", "recurrence", "state", "unit", "correlation"], rows)]
    for unit in report.units:
        blocks.append(f"<h3>{escape(f'{unit.property}: unit {unit.unit} of {unit.recurrence} ({unit.field})')}</h3>")
        shades = unit.values / (np.abs(unit.values).max() or 1.0)
        blocks.append(coloured_text(report.items, shades, separator=separator(report.items)))
    words = (
        "For each property of the text, the unit with the strongest correlation, and the text coloured by its value, "
        "as in Karpathy et al. (2015): orange is positive, blue negative. Among many units, some correlate with "
        "anything by chance, above all in a short text."
    )
    return Section("Units that correlate with properties of the text", words, blocks)


def _saliency(report: Report) -> Section:
    result = report.saliency
    if result is None:
        return Section("", "", [])
    blocks = []
    for name, values in (("gradient × input", result.gradient_times_input), ("leave-one-out", result.leave_one_out)):
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        blocks.append(f"<h3>{name}</h3>" + coloured_text(result.tokens, np.asarray(values) / largest, separator=" "))
    order = np.argsort(-np.abs(result.leave_one_out))[:12]
    rows = [[result.tokens[i], float(result.gradient_times_input[i]), float(result.leave_one_out[i])] for i in order]
    blocks.append(table(["token", "gradient × input", "leave-one-out"], rows))
    what = f"the score of {result.label!r}" if result.label else "the prediction"
    words = f"The contribution of each token to {what}, {written(result.score)}: orange raises it, blue lowers it."
    return Section("Saliency: which tokens the decision depends on", words, blocks)


def _attention(report: Report) -> Section:
    attention = report.attention
    if attention is None:
        return Section("", "", [])
    plot = heatmap(
        attention.weights[::-1],
        title="Attention weights",
        x_label="source",
        y_label="target",
        columns=attention.source,
        rows=attention.target[::-1],
    )
    strongest = attention.weights.argmax(axis=1)
    rows = [
        [t, attention.target[t], attention.source[s], float(attention.weights[t, s])] for t, s in enumerate(strongest)
    ]
    side = table(["step", "target", "strongest source", "weight"], rows)
    words = "The attention weights of the decoder over the source symbols, as it writes each target symbol."
    return Section("Attention", words, [figure("Attention weights", plot, side)])
