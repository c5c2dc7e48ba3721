"""Commands that prepare a model for shipping: `compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan.cli.loader import load
from stepscan.cli.options import JSON, OUT, OVERWRITE, app, with_reading_options
from stepscan.cli.output import print_figures
from stepscan.errors import SettingsError
from stepscan.hardware import cores


@app.command(epilog="Example: stepscan compress model --weights int8 --out small test.csv")
@with_reading_options("skip_bad_lines")
def compress(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Labelled data to score the model on before and after, as for evaluate.")
    ] = None,
    *,
    out: OUT,
    weights: Annotated[str, typer.Option(help="Storage type of the weights: int8 or bfloat16.")] = "int8",
    overwrite: OVERWRITE = False,
    reading: Any,
    as_json: JSON = False,
) -> None:
    """Write a model with smaller weights; report its size, and its score on a file, before and after."""
    from stepscan.data.task_data import read_examples
    from stepscan.models.files import reading_for
    from stepscan.storage.compression import compress as compress_folder

    if not files and (changed := reading.non_default()):
        raise SettingsError(
            f"{', '.join(changed)}: expected a file to score the model on, got none; omit the options or name a file"
        )
    before = load(model, threads=cores()) if files else None
    examples = read_examples(before.task, files or (), reading_for(before, reading)) if before else ()
    figures = compress_folder(model, weights, out, overwrite=overwrite)
    if before:
        for name, model_to_score in (("score before", before), ("score after", load(out, threads=cores()))):
            metric, score = next(iter(model_to_score.metrics(*examples).items()))
            figures |= {name: score, "metric": metric}
    print_figures(figures, as_json)
