"""`stepscan reproduce`: a published table's row, or one of the field's own experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stepscan.cli.options import JSON, OVERWRITE, QUIET, app, parse_value
from stepscan.errors import SettingsError, nearest
from stepscan.json_text import json_text
from stepscan.options import MOST_SEED, TrainingOptions, settings_of


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan reproduce g2p-dutch --data ../shared/data --seed 0

stepscan reproduce sst2 --seeds 3

stepscan reproduce adding-200

stepscan reproduce chomsky --json

stepscan reproduce chomsky-parity --cells gru,mingru"""
)
def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(help="Recipe, experiment or .toml file. Omit to list what is available."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the published data.", show_default="$STEPSCAN_DATA, or ../shared/data"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Model folder to write.", show_default="no model is kept")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed of training.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="Trainings of a recipe, with seeds from --seed on; scores their ensemble too."
        ),
    ] = 1,
    time_budget: Annotated[
        str | None, typer.Option(help="Time to train, such as 90s, 10m, 1h30m.", show_default="the recipe's")
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(help="For chomsky and its tasks: cells, separated by commas, or all.", show_default="elman,lstm"),
    ] = None,
    overwrite: OVERWRITE = False,
    quiet: QUIET = False,
    as_json: JSON = False,
) -> None:
    """Reproduce a row of a published table, from data to score, or run an experiment, next to published figures."""
    from stepscan.estimators import recipe, reproduction
    from stepscan.experiments.catalogue import experiment_names, find_experiments

    budget = None if time_budget is None else parse_value(settings_of(TrainingOptions)["time_budget"], time_budget)
    names = None if cells is None else [cell.strip() for cell in cells.split(",")]
    if name is None:
        _list(as_json)
    elif experiments := find_experiments(name, names):
        _check_alone(name, data, out, seeds)
        _experiment(experiments, seed, budget, quiet, as_json)
    elif not name.endswith(".toml") and name not in recipe.recipe_names():
        known = [*recipe.recipe_names(), *experiment_names()]
        raise SettingsError(f"unknown recipe {name!r}.{nearest(name, known)}")
    else:
        row = reproduction.reproduce(
            name,
            data=data,
            out=out,
            seed=seed,
            seeds=seeds,
            time_budget=budget,
            overwrite=overwrite,
            verbose=not quiet,
        )
        if as_json:
            print(json_text(row))
        else:
            reproduction.show(row, Console())


def _check_alone(name: str, data: Path | None, out: Path | None, seeds: int) -> None:
    for option_name, given in (("--data", data is not None), ("--out", out is not None), ("--seeds", seeds != 1)):
        if given:
            raise SettingsError(
                f"{name} is an experiment, which generates its data and keeps no model; omit {option_name}"
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
        rows = [row.model_dump() for row in recipes] + [table.as_json(experiment) for experiment in experiments]
        print("\n".join(map(json_text, rows)))
    else:
        reproduction.show_recipes(recipes, Console())
        table.show_experiments(experiments, Console())
