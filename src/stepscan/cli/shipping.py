"""Commands that make a model ready to be shipped: `compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan.cli.loading import load
from stepscan.cli.options import JSON, OUTPUT, app, option, reads_data
from stepscan.cli.printing import print_figures
from stepscan.machine import cores


@app.command(epilog="Example: stepscan compress model --weights int8 --out small test.csv")
@reads_data("skip_bad_lines")
def compress(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Data to score the model on, before and after; as for evaluate.")
    ] = None,
    *,
    out: Annotated[Path, option(OUTPUT, "Model folder to write.")],
    weights: Annotated[str, typer.Option(help="int8 or bfloat16.")] = "int8",
    overwrite: Annotated[bool, option(OUTPUT, "Replace a model that is at --out already.", "--overwrite")] = False,
    reading: Any,
    as_json: JSON = False,
) -> None:
    """Write a model with smaller weights, and say how large it was and is, and how it scores on a file."""
    from stepscan.runtime.compression import compress as make_smaller
    from stepscan.runtime.files import evaluate

    figures = make_smaller(model, weights, out, overwrite=overwrite)
    if files:
        for name, folder in (("score before", model), ("score after", out)):
            found = evaluate(load(folder, threads=cores()), files, reading=reading)
            metric = list(found)[2]  # after the task and the file, the first of the figures
            figures |= {name: found[metric], "metric": metric}
    print_figures(figures, as_json)
