"""What came of the runs, as Markdown: a table a kind of data, and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from judgements import Judgement, Row, judgements
from peers import PEERS, YARDSTICKS
from published import KINDS, OTHER, REGRESSION, Published
from runs import OURS, Run

TITLES = {
    "text": "Texts to classes: accuracy, %",
    "series": "Series to classes: accuracy, %",
    "regression": "Series to numbers: root mean squared error",
    "tags": "Parts of speech: accuracy, %",
    "spans": "Spans: F1, %",
    "other": "Other tasks, whole sets",
}
_SHARES = ("accuracy", "f1")  # metrics from 0 to 1, shown in %


def figure(run: Run, metric: str) -> float | None:
    """The run's score in this metric; None if it has none."""
    value = run.scores.get(metric)
    return None if value is None else 100 * value if metric in _SHARES else value


def row_of(given: Published, n: int, runs: Iterable[Run]) -> Row | None:
    """What was measured of a set at a size; None if nothing."""
    mine = [run for run in runs if (run.set, run.n) == (given.name, n)]
    if not mine:
        return None
    ours = [run for run in mine if run.runner == OURS]
    figures = [figure(run, given.metric) for run in ours]
    good = [value for value in figures if value is not None]
    beside = {
        run.runner: value for run in mine if run.runner != OURS and (value := figure(run, given.metric)) is not None
    }
    yardstick = beside.pop(YARDSTICKS[given.kind].name, None) if given.kind in YARDSTICKS else None
    ended = bool(good) and len(good) == len(figures)
    return Row(
        set=given.name,
        kind=given.kind,
        n=n,
        whole=mine[0].whole,
        seeds=len(ours),
        ours=fmean(good) if ended else None,
        worst=(min if given.greater_is_better else max)(good) if ended else None,
        minutes=max((run.seconds for run in ours), default=0) / 60,
        allowed=given.minutes,
        peers=beside,
        yardstick=yardstick,
        greater_is_better=given.greater_is_better,
        failure=next((run.failure for run in ours if run.failure), ""),
    )


def report(cases: Sequence[tuple[Published, int]], runs: Sequence[Run]) -> str:
    """All tables, the targets, and what it was measured on."""
    rows = [(given, row) for given, n in cases if (row := row_of(given, n, runs))]
    rows.sort(key=lambda measured: (measured[1].set.lower(), measured[1].n))
    kinds = {kind: [(given, row) for given, row in rows if given.kind == kind] for kind in KINDS}
    parts = [
        f"## {TITLES[kind]}\n\n{_other(some) if kind == OTHER else _table(kind, some)}"
        for kind, some in kinds.items()
        if some
    ]
    if judged := [row for _, row in rows if row.seeds]:
        parts.append(f"## Targets\n\n{_targets(judgements(judged))}")
    names = {given.name for given, _ in rows}
    return "\n\n".join([*parts, *circumstances(run for run in runs if run.set in names)])


def _table(kind: str, rows: Sequence[tuple[Published, Row]]) -> str:
    """Ours is better than the best peer by so much; by less error, too."""
    peers, digits = [peer.name for peer in PEERS[kind]], 4 if kind == REGRESSION else 1
    head = ["set", "n", "ours", "minutes", *peers, YARDSTICKS[kind].name, "better by"]
    lines = [
        [
            row.set,
            f"{row.n:,}" + " (all)" * row.whole,
            row.failure or number(row.ours, digits),
            number(row.minutes, 1) if row.seeds else "",
            *(number(row.peers.get(name), digits) for name in peers),
            number(row.yardstick, digits),
            number(row.lead(), digits, sign=True),
        ]
        for _, row in rows
    ]
    return table(head, lines)


def _other(rows: Sequence[tuple[Published, Row]]) -> str:
    head = ["set", "n", "metric", "ours", "minutes", "published"]
    return table(
        head,
        [
            [
                row.set,
                f"{row.n:,}",
                given.metric,
                row.failure or number(row.ours, 3 if given.metric == "nats" else 1),
                number(row.minutes, 1),
                given.figure,
            ]
            for given, row in rows
        ],
    )


def _targets(judged: Sequence[Judgement]) -> str:
    head = ["target", "", "by", "least at", "rows", "missed by"]
    lines = [
        [
            one.target,
            "not measured" if one.margin is None else "reached" if one.reached else "**missed**",
            number(one.margin, 2, sign=True),
            one.where,
            str(one.of or ""),
            ", ".join(one.missed),
        ]
        for one in judged
    ]
    return table(head, lines)


def circumstances(runs: Iterable[Run]) -> list[str]:
    """When, where and with what ours and the peers were measured."""
    measured: dict[bool, list[Run]] = {True: [], False: []}
    for run in runs:
        measured[run.runner == OURS].append(run)
    return [_measured("Ours" if ours else "Peers", some) for ours, some in measured.items() if some]


def _measured(whose: str, runs: Sequence[Run]) -> str:
    dates = sorted({run.date for run in runs})
    packages = sorted({package for run in runs for package in run.versions.split(", ") if package})
    machines = sorted({run.machine for run in runs})
    days = " to ".join(sorted({dates[0], dates[-1]}))
    return f"{whose}: {'; '.join(filter(None, [days, *machines, ', '.join(packages)]))}."


def number(value: float | None, digits: int, sign: bool = False) -> str:
    return "" if value is None else format(value, f"{'+' if sign else ''},.{digits}f")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
