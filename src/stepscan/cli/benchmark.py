"""Commands that measure: `bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from stepscan.cli.options import JSON, app


@app.command(epilog="Example: stepscan bench step")
def bench(
    kind: Annotated[str, typer.Argument(help="Benchmark: scan, step, sizes, stream or generate.")] = "scan",
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads of PyTorch and of the native kernels.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10**6, help="Number of alternating rounds.")] = 11,
    only: Annotated[str, typer.Option(help="Only rows whose name contains this, such as 'LSTM 256'.")] = "",
    as_json: JSON = False,
) -> None:
    """Benchmark recurrences on this machine against PyTorch and ONNX Runtime, alternating."""
    from stepscan.benchmarks.report import bench as run

    run(kind, threads=threads, rounds=rounds, only=only, as_json=as_json)
