"""`predict` and `forecast` of many files: Parquet into Parquet, by this process or on a Ray cluster."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from stepscan.cli.options import option
from stepscan.cli.output import report
from stepscan.errors import SettingsError
from stepscan.hardware import cores

logger = logging.getLogger(__name__)
_PANEL = "Many files"


class FolderOptions(NamedTuple):
    """Options of commands that predict the files of a folder."""

    ray: str | None = None
    workers: int | None = None
    rows_per_part: int | None = None
    overwrite: bool = False

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        names = [name for name, default in self._field_defaults.items() if getattr(self, name) != default]
        return [f"--{name.replace('_', '-')}" for name in names]


def _parameter(name: str, kind: Any, text: str, default: str = "", metavar: str | None = None) -> inspect.Parameter:
    info = option(_PANEL, text, f"--{name.replace('_', '-')}", default=default)
    info.metavar = metavar
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


PARAMETERS = [
    _parameter(
        "ray",
        str,
        "Predict on a Ray cluster: auto or HOST:PORT; without an address, on this machine.",
        metavar="[ADDRESS]",
    ),
    _parameter("workers", int, "Number of workers on Ray.", "one a processor"),
    _parameter("rows_per_part", int, "Rows of an output file, at most.", "65536"),
    _parameter("overwrite", bool, "Remove the files of another run at --output."),
]


def refuse_json(as_json: bool) -> None:
    """Raise a `SettingsError` if JSON is asked of many files."""
    if as_json:
        raise SettingsError("--json: many files are predicted into Parquet files; omit it")


def folder_options(values: dict[str, Any]) -> FolderOptions:
    """The options from those that were given."""
    return FolderOptions(**values)


def predict_folder(
    models: Sequence[Path],
    input: str | None,
    output: str | None,
    options: FolderOptions,
    *,
    reading: Any,
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Predict the files that a pattern stands for, and say what was done.

    Raises:
        SettingsError: there is no input, or no folder for the output.
        StepscanError: as `stepscan.distributed.predict_files`.
    """
    if not input or not output or output == "-":
        raise SettingsError("expected files and a folder to write, such as --input 'FOLDER/*.parquet' --output FOLDER")
    if options.workers is not None and options.ray is None:
        raise SettingsError("--workers: expected --ray; one process uses all processors")
    from stepscan import runtime
    from stepscan.distributed import RowPredictor, predict_files
    from stepscan.models.ensemble import ensemble

    loaded = [runtime.load(model, threads=cores() if options.ray is None else 1) for model in models]
    summary = predict_files(
        RowPredictor(ensemble(loaded), reading, arguments, settings),
        input,
        output,
        ray=options.ray,
        workers=options.workers,
        overwrite=options.overwrite,
        bad_lines=reading.bad_lines,
        **({"rows_per_part": options.rows_per_part} if options.rows_per_part is not None else {}),
    )
    report(reading.bad_lines)
    logger.info("%s: %s rows in %s files", output, f"{summary.rows:,}", f"{summary.parts:,}")
