"""Experiments in print: each contestant's result beside what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stepscan.experiments.experiment import Experiment

_VERDICTS = {None: "", True: "as expected", False: "not as expected"}


def show(result: dict[str, Any], console: Console) -> None:
    """Print what `stepscan.experiments.running.run` gave."""
    title = escape(f"{result['experiment']}: {result['title']} ({result['source']})")
    table = Table("", result["metric"], "expected", "", "also", "updates, seconds", title=title, title_justify="left")
    for row in result["rows"]:
        also = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in row["figures"].items())
        cost = f"{row['updates']:,}, {row['seconds']:.0f}"
        verdict = _VERDICTS[row["as_expected"]]
        table.add_row(row["cell"], f"[bold]{row['value']:.4g}[/bold]", escape(row["expected"]), verdict, also, cost)
    for one in result["baselines"]:
        table.add_row(escape(one["what"]), f"{one['figure']:.4g}", "", "", "", "")
    console.print(table)
    if result["remarks"]:
        console.print(result["remarks"], highlight=False)
    console.print(
        f"seed {result['seed']} · at most {result['budget']:.0f} s of training · "
        f"{result['threads']} of {result['cores']} cores, {result['processor']} · torch {result['torch']} · "
        f"{result['date']}",
        highlight=False,
    )


def show_experiments(experiments: Sequence[Experiment], console: Console) -> None:
    """Print experiments with what is expected of them."""
    table = Table("experiment", "what", "metric", "expected", title="Experiments", title_justify="left")
    table.columns[0].no_wrap = True
    for one in experiments:
        expected = "; ".join(f"{c.name}: {c.expected}" for c in one.contestants if c.expected)
        table.add_row(one.name, one.title, one.metric, escape(expected))
    console.print(table)
    console.print("They make their own data. Run one: stepscan reproduce NAME; chomsky: all six", highlight=False)


def as_json(experiment: Experiment) -> dict[str, Any]:
    """An experiment as `stepscan reproduce --json` lists it, beside the recipes."""
    return {
        "name": experiment.name,
        "title": experiment.title,
        "metric": {"label": experiment.metric, "greater_is_better": experiment.greater_is_better, "target": None},
        "source": experiment.source,
        "cells": {one.name: one.expected for one in experiment.contestants},
        "updates": experiment.updates,
        "seconds": experiment.seconds,
    }
