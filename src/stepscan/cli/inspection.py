"""Commands that inspect a model: `inspect`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stepscan.cli.arguments import check_texts
from stepscan.cli.options import app, option
from stepscan.errors import STANDARD, SettingsError
from stepscan.json_text import json_text
from stepscan.options import MODEL, MOST_SEED, OUTPUT
from stepscan.terminal import printable


@app.command(
    epilog="""[bold]Examples[/bold]

stepscan inspect model 'not a bad film at all' --out report.html

stepscan inspect --cell elman,lstm,gru --length 200"""
)
def inspect(
    model: Annotated[
        Path | None,
        typer.Argument(help="Model folder; omit it to inspect untrained cells (--cell).", show_default=False),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(
            help="Text that the model reads; omit it for --input, random symbols, or what a language model generates.",
            show_default=False,
        ),
    ] = None,
    input: Annotated[Path | None, typer.Option(help="File of the text; -: standard input.", show_default=False)] = None,
    cell: Annotated[str | None, option(MODEL, "Untrained cells, separated by commas, such as elman,lstm,gru.")] = None,
    length: Annotated[int | None, option(MODEL, "With --cell: sequence length, in steps.", default="200")] = None,
    hidden_size: Annotated[int | None, option(MODEL, "With --cell: hidden size.", default="64")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed of weights, inputs and directions.")] = 0,
    out: Annotated[Path, option(OUTPUT, "HTML file to write.", default="report.html")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of writing a file.")] = False,
) -> None:
    """Report how far back gradients reach and what gates and units do: one HTML file with plots and tables."""
    if (model is None) == (cell is None):
        raise SettingsError("expected a model folder or --cell elman,lstm,gru, got both or neither; give one of them")
    if cell is not None and (text is not None or input is not None):
        raise SettingsError(
            "--cell: expected neither a text nor --input, since the inputs are random numbers; omit them"
        )
    if model is not None and (length is not None or hidden_size is not None):
        raise SettingsError("--length, --hidden-size: expected --cell, got a model, which has its own sizes; omit them")
    if text is not None and input is not None:
        raise SettingsError("--input: expected either a text or a file, got both; omit one")
    check_texts([text] if text is not None else [])
    from stepscan.data.byte_streams import is_stream
    from stepscan.inspection import InspectionTarget, report, summary
    from stepscan.inspection import as_json as to_json

    if cell is not None:
        names = [name.strip() for name in cell.split(",")]
        sizes = {"length": length, "hidden_size": hidden_size}
        given_sizes = {name: size for name, size in sizes.items() if size is not None}
        subject: object = InspectionTarget.from_cells(names, **given_sizes, seed=seed)
    else:
        from stepscan.data.lines import read_text
        from stepscan.estimators.loader import load

        assert model is not None
        subject = load(model)
        input = Path(STANDARD) if text == STANDARD else input
        text = read_text(input) if input is not None else text
    result = report(subject, None if as_json else out, text=text, seed=seed)
    if as_json:
        print(json_text(to_json(result)))
    else:
        print(printable(f"{summary(result)}\nReport: {out}"), file=sys.stderr if is_stream(out) else sys.stdout)
