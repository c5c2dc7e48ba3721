"""`stepscan reproduce`: a published table's row, or one of the field's own experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stepscan.cli.options import JSON, MOST_SEED, OUTPUT, TRAINING, app, option, seconds
from stepscan.errors import SettingsError, nearest
from stepscan.json_text import json_text


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan reproduce g2p-dutch --data ../shared/data --seed 0

stepscan reproduce adding-200

stepscan reproduce chomsky --json """
)
def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(help="A recipe, or a .toml file of your own, or an experiment; none: list them."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the published data; else STEPSCAN_DATA, or ../shared/data.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Model folder to write; without it no model is kept.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the training.")] = 0,
    time_budget: Annotated[str | None, option(TRAINING, "In place of the recipe's: 90s, 10m, 1h30m.")] = None,
    overwrite: Annotated[bool, option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
    quiet: Annotated[bool, option(OUTPUT, "No progress.", "--quiet")] = False,
    as_json: JSON = False,
) -> None:
    """Make a row of a published table, from data to score, or run an experiment, and print it beside what is known."""
    from stepscan.estimators import recipe, reproduction
    from stepscan.experiments.catalogue import experiment_names, find_experiments

    budget = None if time_budget is None else seconds(time_budget)
    if name is None:
        _list(as_json)
    elif experiments := find_experiments(name):
        _check_alone(name, data, out)
        _experiment(experiments, seed, budget, quiet, as_json)
    elif not name.endswith(".toml") and name not in recipe.recipe_names():
        known = [*recipe.recipe_names(), *experiment_names()]
        raise SettingsError(f"unknown recipe {name!r}.{nearest(name, known)}")
    else:
        row = reproduction.reproduce(
            name, data=data, out=out, seed=seed, time_budget=budget, overwrite=overwrite, verbose=not quiet
        )
        if as_json:
            print(json_text(row))
        else:
            reproduction.show(row, Console())


def _check_alone(name: str, data: Path | None, out: Path | None) -> None:
    for option_name, value in (("--data", data), ("--out", out)):
        if value is not None:
            raise SettingsError(
                f"{name} is an experiment: it makes its own data and compares several models, of which none is kept; "
                f"take out {option_name}"
            )


def _experiment(experiments: list, seed: int, budget: float | None, quiet: bool, as_json: bool) -> None:
    from stepscan.experiments import runner, table

    for experiment in experiments:
        result = runner.run(experiment, seed=seed, time_budget=budget, verbose=not quiet)
        if as_json:
            print(json_text(result), flush=True)
        else:
            table.show(result, Console())


def _list(as_json: bool) -> None:
    from stepscan.estimators import recipe, reproduction
    from stepscan.experiments import table
    from stepscan.experiments.catalogue import list_experiments

    recipes, experiments = recipe.list_recipes(), list_experiments()
    if as_json:
        rows = [row.model_dump() for row in recipes] + [table.as_json(one) for one in experiments]
        print("\n".join(map(json_text, rows)))
    else:
        reproduction.show_recipes(recipes, Console())
        table.show_experiments(experiments, Console())
