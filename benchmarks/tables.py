"""The results as Markdown: a table per kind of data, and the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from peers import PEERS, YARDSTICKS
from published import KINDS, OTHER, REGRESSION, Published
from runs import OURS, Run
from targets import Row, Target, check_targets

TITLES = {
    "text": "Texts to classes: accuracy, %",
    "series": "Series to classes: accuracy, %",
    "regression": "Series to values: root mean squared error",
    "tags": "Parts of speech: accuracy, %",
    "spans": "Spans: F1, %",
    "other": "Other tasks",
}
_FRACTIONS = ("accuracy", "f1")  # metrics from 0 to 1, shown in %


def score(run: Run, metric: str) -> float | None:
    """The run's score in this metric, or None."""
    value = run.scores.get(metric)
    return None if value is None else 100 * value if metric in _FRACTIONS else value


def row_of(published: Published, n: int, runs: Iterable[Run]) -> Row | None:
    """The results on a data set at a size; None if there are none."""
    set_runs = [run for run in runs if (run.set, run.n) == (published.name, n)]
    if not set_runs:
        return None
    ours = [run for run in set_runs if run.runner == OURS]
    all_scores = [score(run, published.metric) for run in ours]
    scores = [value for value in all_scores if value is not None]
    peers = {
        run.runner: value
        for run in set_runs
        if run.runner != OURS and (value := score(run, published.metric)) is not None
    }
    yardstick = peers.pop(YARDSTICKS[published.kind].name, None) if published.kind in YARDSTICKS else None
    complete = bool(scores) and len(scores) == len(all_scores)
    return Row(
        set=published.name,
        kind=published.kind,
        n=n,
        whole=set_runs[0].whole,
        seeds=len(ours),
        ours=fmean(scores) if complete else None,
        worst=(min if published.greater_is_better else max)(scores) if complete else None,
        minutes=max((run.seconds for run in ours), default=0) / 60,
        allowed=published.minutes,
        peers=peers,
        yardstick=yardstick,
        greater_is_better=published.greater_is_better,
        failure=next((run.failure for run in ours if run.failure), ""),
    )


def report(cases: Sequence[tuple[Published, int]], runs: Sequence[Run]) -> str:
    """All tables, the targets, and the conditions of the measurements."""
    rows = [(published, row) for published, n in cases if (row := row_of(published, n, runs))]
    rows.sort(key=lambda measured: (measured[1].set.lower(), measured[1].n))
    kinds = {kind: [(published, row) for published, row in rows if published.kind == kind] for kind in KINDS}
    parts = [
        f"## {TITLES[kind]}\n\n{_other(kind_rows) if kind == OTHER else _table(kind, kind_rows)}"
        for kind, kind_rows in kinds.items()
        if kind_rows
    ]
    if trained := [row for _, row in rows if row.seeds]:
        parts.append(f"## Targets\n\n{_targets(check_targets(trained))}")
    names = {published.name for published, _ in rows}
    return "\n\n".join([*parts, *circumstances(run for run in runs if run.set in names)])


def _table(kind: str, rows: Sequence[tuple[Published, Row]]) -> str:
    """One row per set and size; `lead` is ours over the best peer."""
    peers, digits = [peer.name for peer in PEERS[kind]], 4 if kind == REGRESSION else 1
    head = ["set", "n", "ours", "minutes", *peers, YARDSTICKS[kind].name, "lead"]
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
                f"{row.n:,}" + " (all)" * row.whole,
                published.metric,
                row.failure or number(row.ours, 3 if published.metric == "nats" else 1),
                number(row.minutes, 1),
                published.figure if row.whole else "",
            ]
            for published, row in rows
        ],
    )


def _targets(targets: Sequence[Target]) -> str:
    head = ["target", "", "smallest margin", "at", "rows", "missed by"]
    lines = [
        [
            target.title,
            "not measured" if target.margin is None else "reached" if target.reached else "**missed**",
            number(target.margin, 2, sign=True),
            target.where,
            str(target.rows or ""),
            ", ".join(target.missed),
        ]
        for target in targets
    ]
    return table(head, lines)


def circumstances(runs: Iterable[Run]) -> list[str]:
    """Dates, machines and package versions of our runs and of the peers'."""
    measured: dict[bool, list[Run]] = {True: [], False: []}
    for run in runs:
        measured[run.runner == OURS].append(run)
    return [_measured("Ours" if ours else "Peers", group) for ours, group in measured.items() if group]


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
