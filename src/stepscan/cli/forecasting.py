"""The command `forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan.cli.folders import PARAMETERS, folder_options, predict_folder, refuse_json
from stepscan.cli.loader import check_task, load
from stepscan.cli.options import JSON, app, with_options, with_reading_options
from stepscan.cli.output import as_forecast_line
from stepscan.data.file_patterns import is_pattern
from stepscan.errors import SettingsError
from stepscan.json_text import json_text


@app.command(epilog="Example: stepscan forecast model --context past.csv --length 24")
@with_options("folders", PARAMETERS, folder_options)
@with_reading_options(only=("format", "time_column", "series_column", "ignore_time", "sort", "fill", "day_first"))
def forecast(
    model: Annotated[Path, typer.Argument(help="Model folder of a forecaster.")],
    context: Annotated[
        str,
        typer.Option(
            help="Past values: CSV of numbers, .npy or .ts; -: standard input. Many Parquet files, a series in each "
            "row: a folder, or a pattern in quotation marks."
        ),
    ],
    length: Annotated[int, typer.Option(min=1, help="Number of steps to forecast.")],
    level: Annotated[float, typer.Option(help="Level of the prediction interval, between 0 and 1.")] = 0.9,
    num_samples: Annotated[int, typer.Option(min=1, help="Number of sample paths.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    output: Annotated[str | None, typer.Option(help="Folder to write, of many files.", show_default=False)] = None,
    folders: Any = None,
    reading: Any = None,
    as_json: JSON = False,
) -> None:
    """Forecast series of numbers: median, and low and high end of the prediction interval, of each step."""
    from stepscan.models.files import forecasts

    arguments: dict[str, Any] = {"level": level, "num_samples": num_samples, "seed": seed}
    if folders.given or is_pattern(context):
        refuse_json(as_json)
        predict_folder([model], context, output, folders, reading=reading, arguments={"length": length, **arguments})
        return
    if output is not None:
        raise SettingsError("--output: expected many files to forecast, such as --context 'FOLDER/*.parquet'")
    forecaster = load(model)
    check_task(model, forecaster, "forecast")
    for row in forecasts(forecaster, context, length, reading=reading, **arguments):
        print(json_text(row) if as_json else as_forecast_line(row))
