"""Commands that serve models: `serve`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stepscan.cli.options import app, parameter, parse_settings, with_options
from stepscan.options import ServeOptions, check_settings, settings_of


@app.command(epilog="Example: stepscan serve model news=models/other --port 8000")
@with_options("options", [parameter(one) for one in settings_of(ServeOptions).values()], dict)
def serve(
    models: Annotated[list[str], typer.Argument(help="Model folders; NAME=FOLDER serves one under another name.")],
    options: Any,
) -> None:
    """Serve models over HTTP: predictions, streamed text, sessions, and OpenAI's routes for completions."""
    from stepscan.serving.names import named_folders
    from stepscan.serving.serve import serve as run

    values = parse_settings(options, ServeOptions)
    check_settings(ServeOptions, values)
    run(named_folders(models), ServeOptions(**values))
