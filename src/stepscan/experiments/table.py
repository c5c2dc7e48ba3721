"""Tables of experiments: each model's result and its expected result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stepscan.experiments.experiment import Experiment

_VERDICTS = {None: "", True: "as expected", False: "not as expected"}


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result of `stepscan.experiments.runner.run`."""
    title = escape(f"{result['experiment']}: {result['title']} ({result['source']})")
    columns = ("model", result["metric"], "expected", "", "other figures", "updates, seconds")
    table = Table(*columns, title=title, title_justify="left")
    for row in result["rows"]:
        figures = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in row["figures"].items())
        cost = f"{row['updates']:,}, {row['seconds']:.0f}"
        verdict = _VERDICTS[row["as_expected"]]
        table.add_row(row["cell"], f"[bold]{row['value']:.4g}[/bold]", escape(row["expected"]), verdict, figures, cost)
    for baseline in result["baselines"]:
        table.add_row(escape(baseline["what"]), f"{baseline['figure']:.4g}", "", "", "", "")
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
    """Print experiments with their expected results."""
    table = Table("experiment", "title", "metric", "expected", title="Experiments", title_justify="left")
    table.columns[0].no_wrap = True
    for experiment in experiments:
        expected = "; ".join(f"{setup.name}: {setup.expected}" for setup in experiment.models if setup.expected)
        table.add_row(experiment.name, experiment.title, experiment.metric, escape(expected))
    console.print(table)
    console.print(
        "They generate their own data. Run one with stepscan reproduce NAME; chomsky runs all six.", highlight=False
    )


def as_json(experiment: Experiment) -> dict[str, Any]:
    """An experiment as `stepscan reproduce --json` lists it."""
    return {
        "name": experiment.name,
        "title": experiment.title,
        "metric": {"label": experiment.metric, "greater_is_better": experiment.greater_is_better, "target": None},
        "source": experiment.source,
        "cells": {setup.name: setup.expected for setup in experiment.models},
        "updates": experiment.updates,
        "seconds": experiment.seconds,
    }
