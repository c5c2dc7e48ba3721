"""The program, and the options and settings that several commands share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan import __version__
from stepscan.errors import SettingsError, nearest, place_of

app = typer.Typer(
    name="stepscan",
    help="Sequence models you train as a scan and ship as a step: classify, tag, generate, translate.\n\n"
    "Start with: stepscan demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"stepscan {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


class Task(Enum):
    classify = "classify"
    generate = "generate"
    tag = "tag"
    translate = "translate"


MOST_SEED = 2**63 - 1  # that torch takes
DATA, MODEL, TRAINING, OUTPUT = "Data", "Model", "Training", "Output"
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on standard output.")]
WITH = Annotated[
    list[Path] | None,
    typer.Option("--with", help="Model that decides together with it; may be given again.", show_default=False),
]
READING: dict[str, tuple[Any, Any]] = {  # how data files are read: option → its type with its help, and its default
    "format": (
        Annotated[
            str | None,
            typer.Option(
                help="Format, where the file's name does not say it: csv, tsv, jsonl, lines, conllu, columns; "
                "of numbers: ts, npy, ucr, numbers (CSV).",
                rich_help_panel=DATA,
            ),
        ],
        None,
    ),
    "text_column": (
        Annotated[
            str | None,
            typer.Option(help="Column with the text: its name, or its position from 1.", rich_help_panel=DATA),
        ],
        None,
    ),
    "label_column": (
        Annotated[str | None, typer.Option(help="Column with the label, likewise.", rich_help_panel=DATA)],
        None,
    ),
    "source_column": (
        Annotated[str | None, typer.Option(help="translate: column with the source.", rich_help_panel=DATA)],
        None,
    ),
    "target_column": (
        Annotated[str | None, typer.Option(help="translate: column with the target.", rich_help_panel=DATA)],
        None,
    ),
    "delimiter": (
        Annotated[
            str | None,
            typer.Option(
                help="Character between fields of CSV and TSV, or tab; by default recognised.", rich_help_panel=DATA
            ),
        ],
        None,
    ),
    "header": (
        Annotated[
            bool | None,
            typer.Option(
                "--header/--no-header",
                help="Whether the first row of CSV and TSV names the columns; by default recognised.",
                rich_help_panel=DATA,
            ),
        ],
        None,
    ),
    "field": (
        Annotated[str, typer.Option(help="tag: which CoNLL-U field is the tag: upos, xpos, …", rich_help_panel=DATA)],
        "upos",
    ),
    "time_column": (
        Annotated[
            str | None,
            typer.Option(
                help='Numbers: column of the times, likewise; "none": every column holds values.', rich_help_panel=DATA
            ),
        ],
        None,
    ),
    "series_column": (
        Annotated[
            str | None,
            typer.Option(
                help="Numbers: column that names the series of a row, likewise; none: there is one series.",
                rich_help_panel=DATA,
            ),
        ],
        None,
    ),
    "ignore_time": (
        Annotated[
            bool,
            typer.Option(
                "--ignore-time",
                help="Numbers: take rows as they stand, whatever their times.",
                rich_help_panel=DATA,
            ),
        ],
        False,
    ),
    "sort": (
        Annotated[bool, typer.Option("--sort", help="Numbers: sort the rows by time.", rich_help_panel=DATA)],
        False,
    ),
    "fill": (
        Annotated[
            str | None,
            typer.Option(help="generate, numbers: fill gaps: linear, previous or zero.", rich_help_panel=DATA),
        ],
        None,
    ),
    "day_first": (
        Annotated[
            bool | None,
            typer.Option(
                "--day-first/--month-first",
                help="Numbers: whether 01/02/2021 is in February; decided from the whole column if not given.",
                rich_help_panel=DATA,
                show_default=False,
            ),
        ],
        None,
    ),
    "token_column": (
        Annotated[
            str | None,
            typer.Option(
                help="tag: column with the token: a number from 1, or a name; default: the first.", rich_help_panel=DATA
            ),
        ],
        None,
    ),
    "tag_column": (
        Annotated[
            str | None,
            typer.Option(help="tag: column with the tag, likewise; default: the last.", rich_help_panel=DATA),
        ],
        None,
    ),
    "skip_bad_lines": (
        Annotated[
            bool,
            typer.Option("--skip-bad-lines", help="Skip bad lines, count and report them.", rich_help_panel=DATA),
        ],
        False,
    ),
}


def reads_data(*without: str, only: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of `READING`: all `without` those named, or `only` those; its parameter `reading` is
    the `ReadOptions` that they make."""
    names = [name for name in READING if (name in only if only else name not in without)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            from stepscan.data.bad_lines import BadLines
            from stepscan.data.task_data import ReadOptions

            chosen = {name: given.pop(name) for name in names}
            bad_lines = BadLines() if chosen.pop("skip_bad_lines", False) else None
            command(**given, reading=ReadOptions(**chosen, bad_lines=bad_lines))

        parameters = dict(inspect.signature(command, eval_str=True).parameters)
        place = list(parameters).index("reading")
        del parameters["reading"]
        own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters.values()]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name in names
            for annotation, default in [READING[name]]
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature([*own[:place], *added, *own[place:]])  # type: ignore[attr-defined]
        return run

    return decorate


def option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)


def from_config(path: Path | None, names: Iterable[str]) -> dict[str, Any]:
    """Settings out of a TOML file, whose keys are the options' names."""
    if path is None:
        return {}
    from stepscan.data.toml import read_toml

    found = read_toml(path)
    known = set(names)
    for key in found:
        if key.replace("-", "_") not in known:
            raise SettingsError(f"{place_of(path)}: unknown setting {key!r}.{nearest(key.replace('-', '_'), known)}")
    return {key.replace("-", "_"): value for key, value in found.items()}


def seconds(text: str | float) -> float:
    """`90`, `90s`, `10m` or `1h30m` in seconds."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip())
    if not parts or not any(parts.groups()):
        raise SettingsError(f"a time is written like 90s, 10m or 1h30m, got {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds
