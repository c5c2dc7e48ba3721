"""Commands that measure: `bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from stepscan.cli.options import JSON, app


@app.command(epilog="Example: stepscan bench step")
def bench(
    kind: Annotated[str, typer.Argument(help="scan, step, sizes, stream or generate.")] = "scan",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="Threads of torch and of the kernels.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10**6, help="How often each rival has its turn.")] = 11,
    only: Annotated[str, typer.Option(help="Only lines whose name holds this, such as 'LSTM 256'.")] = "",
    as_json: JSON = False,
) -> None:
    """This machine's recurrences, side by side with PyTorch and ONNX Runtime, by turns."""
    from stepscan.benchmarks.report import bench as run

    run(kind, threads=threads, rounds=rounds, only=only, as_json=as_json)
