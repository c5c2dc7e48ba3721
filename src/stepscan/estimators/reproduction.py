"""`stepscan reproduce`: reproduces a row of a published table, from data to score."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import stepscan
from stepscan.data.lines import read_text, split_lines
from stepscan.data.task_data import Files, options_for
from stepscan.errors import SettingsError, nearest
from stepscan.estimators.files import train
from stepscan.estimators.loader import load
from stepscan.estimators.recipe import DataPart, Metric, Recipe, check_data, data_folder, read_recipe
from stepscan.hardware import cores, processor
from stepscan.models.ensemble import ensemble
from stepscan.models.files import evaluate
from stepscan.options import MOST_SEED
from stepscan.storage.atomic import check_writable


def reproduce(
    name: str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    seeds: int = 1,
    time_budget: float | None = None,
    overwrite: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """Train on a recipe's training data, validate on its validation data, and score on its test data.

    Args:
        name: of a recipe, or a user's `.toml` file.
        data: the folder with the published data; see `data_folder`.
        out: a model folder to write; None saves no model.
        seed: of the training.
        seeds: trainings, with seeds from `seed` on; of more than one, the value is the mean, and the ensemble of their
            models is scored, too.
        time_budget: seconds of each training, in place of the recipe's.
        overwrite: whether a model at `out` is replaced.
        verbose: whether training reports on standard error.

    Returns:
        `recipe`, `metric`, `published`, `target`, `value` (in the published unit), `reached` (None without a target),
        `seconds`, `epochs` and `parameters` of the training, and the keys of `environment`; of one training the
        estimator's other `figures`; of several the `values` of each, `ensemble` (None of forecasters, which have none)
        and `ensemble_reached`, the sum of their seconds, and the mean of their epochs.

    Raises:
        SettingsError: there is no such recipe, it is wrong, `seeds` is out of range, or `out` is given with several
            trainings.
        DataError: data files are missing, or broken.
    """
    recipe, folder = read_recipe(name), data_folder(data)
    check_data(recipe, folder)
    if not 1 <= seeds <= MOST_SEED - seed + 1:
        raise SettingsError(f"seeds: expected 1 or more, the last one at most {MOST_SEED}, got {seeds} from {seed} on")
    if out is not None and seeds > 1:
        raise SettingsError(f"out: expected none with {seeds} trainings, of which no model is kept, got {str(out)!r}")
    if out is not None:
        check_writable(out, overwrite=overwrite)
    settings = {**recipe.all_settings(), "verbose": verbose}
    settings |= {} if time_budget is None else {"time_budget": time_budget}
    with tempfile.TemporaryDirectory(prefix="stepscan-") as scratch:
        files = _data_files(recipe, folder, Path(scratch))
        models, rows = [], []
        for each in range(seed, seed + seeds):
            model = Path(scratch) / f"model-{each}" if out is None else Path(out)
            trained = train(
                recipe.task,
                files["train"],
                model,
                valid_files=files["valid"],
                settings={**settings, "seed": each},
                reading=recipe.read_options(),
                overwrite=overwrite,
            )
            models.append(load(model))
            rows.append(_row(recipe, _figures(recipe, models[-1], files["test"]), trained))
        row = rows[0] if seeds == 1 else _joined(recipe, rows, models, files["test"])
    command = ["stepscan", "reproduce", str(name), "--seed", str(seed)]
    command += [] if seeds == 1 else ["--seeds", str(seeds)]
    command += [] if time_budget is None else ["--time-budget", f"{time_budget:g}s"]
    return row | {"seed": seed, "command": shlex.join(command), **environment()}


def _figures(recipe: Recipe, model: Any, files: Files) -> dict[str, Any]:
    """All metrics of a model on test data."""
    reading = options_for(files, recipe.read_options())
    return evaluate(model, files, reading=reading, dynamic=recipe.metric.dynamic, horizon=recipe.metric.horizon)


def _joined(recipe: Recipe, rows: list[dict[str, Any]], models: list[Any], files: Files) -> dict[str, Any]:
    """One row of several trainings."""
    values = [row["value"] for row in rows]
    value, joined = sum(values) / len(values), {name: rows[0][name] for name in rows[0] if name != "figures"}
    ensembled = None if recipe.task == "forecast" else _value(recipe, _figures(recipe, ensemble(models), files))
    return joined | {
        "value": value,
        "reached": _reached(recipe.metric, value),
        "values": values,
        "ensemble": ensembled,
        "ensemble_reached": None if ensembled is None else _reached(recipe.metric, ensembled),
        "seconds": sum(row["seconds"] for row in rows),
        "epochs": round(sum(row["epochs"] for row in rows) / len(rows)),
    }


def show(row: dict[str, Any], console: Console) -> None:
    """Print a row of `reproduce`: published figures, target, our figure, and the environment."""
    table = Table("", row["metric"], "source", title=escape(f"{row['recipe']}: {row['title']}"), title_justify="left")
    for published in row["published"]:
        source = published["source"] + ("" if published["read"] else " (from memory)")
        table.add_row(published["what"], f"{published['figure']:g}", source)
    if row["target"] is not None:
        table.add_row("target", f"{row['target']:g}", "")
    verdicts = {None: "", True: "target reached", False: "target missed"}
    verdict, values, seeds = verdicts[row["reached"]], row.get("values", []), str(row["seed"])
    if values:
        verdict += " by the mean of " + ", ".join(f"{value:.4g}" for value in values)
        seeds += f" to {row['seed'] + len(values) - 1}"
    table.add_row("[bold]Stepscan[/bold]", f"[bold]{row['value']:.4g}[/bold]", verdict.strip())
    if row.get("ensemble") is not None:
        joined = verdicts[row["ensemble_reached"]]
        table.add_row(f"Stepscan, ensemble of {len(values)}", f"{row['ensemble']:.4g}", joined)
    console.print(table)
    console.print(
        f"seed {seeds} · {row['epochs']} epochs, {row['seconds']:.0f} s · {row['parameters']:,} parameters · "
        f"{row['threads']} of {row['cores']} cores, {row['processor']} · torch {row['torch']} · {row['date']}",
        highlight=False,
    )


def show_recipes(recipes: Sequence[Recipe], console: Console) -> None:
    """Print recipes with their published figures and targets."""
    table = Table("recipe", "what", "metric", "published", "target")
    for recipe in recipes:
        figures = [published.figure for published in recipe.published]
        target = recipe.metric.target
        table.add_row(
            recipe.name,
            recipe.title,
            recipe.metric.label,
            f"{min(figures):g} … {max(figures):g}" if len(figures) > 1 else "".join(map(str, figures)),
            "" if target is None else f"{'≥' if recipe.metric.greater_is_better else '≤'} {target:g}",
        )
    console.print(table)
    console.print("Train and score a recipe: stepscan reproduce NAME", highlight=False)


def _data_files(recipe: Recipe, folder: Path, scratch: Path) -> dict[str, Files]:
    """The files of each part; slices are written to `scratch`."""
    by_row = recipe.reading.get("format") == "numbers"
    return {
        name: [folder / file for file in part.files]
        if part.slice is None
        else [_write_slice(part, name, folder, scratch, by_row)]
        for name, part in recipe.parts().items()
    }


def _write_slice(part: DataPart, name: str, folder: Path, scratch: Path, by_row: bool) -> Path:
    """Write a slice of a text by characters, or of a table of numbers by rows with its header."""
    assert part.slice is not None
    text: Any = read_text(folder / part.files[0])
    head = ""
    if by_row:
        head, *text = split_lines(text)
    start, end = (int(share * len(text)) for share in part.slice)
    path = scratch / f"{name}.txt"
    path.write_text(head + "".join(text[start:end]), "utf-8", newline="")
    return path


def _value(recipe: Recipe, figures: dict[str, Any]) -> float:
    """The recipe's metric, in the published unit; removed from `figures`."""
    metric = recipe.metric
    if metric.name not in figures:
        raise SettingsError(
            f"recipe {recipe.name}: {recipe.task} has no metric {metric.name!r}.{nearest(metric.name, figures)} "
            f"Metrics: {figures}"
        )
    value: float = figures.pop(metric.name) * metric.factor
    return value


def _reached(metric: Metric, value: float) -> bool | None:
    sign = 1 if metric.greater_is_better else -1
    return None if metric.target is None else sign * value >= sign * metric.target


def _row(recipe: Recipe, figures: dict[str, Any], trained: dict[str, Any]) -> dict[str, Any]:
    value = _value(recipe, figures)
    return {
        "recipe": recipe.name,
        "title": recipe.title,
        "metric": recipe.metric.label,
        "published": [published.model_dump() for published in recipe.published],
        "target": recipe.metric.target,
        "value": value,
        "reached": _reached(recipe.metric, value),
        "figures": {name: figure for name, figure in figures.items() if name not in ("task", "file")},
        **{name: trained[name] for name in ("seconds", "epochs", "parameters")},
    }


def environment() -> dict[str, Any]:
    """Machine, versions and date."""
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "stepscan": stepscan.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
