"""The program, and the options and settings that several commands share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscan import __version__
from stepscan.errors import SettingsError, nearest

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
    "skip_bad_lines": (
        Annotated[
            bool,
            typer.Option("--skip-bad-lines", help="Skip bad lines, count and report them.", rich_help_panel=DATA),
        ],
        False,
    ),
}


def reads_data(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of `READING` but those named; its parameter `reading` is the `Reading` they make."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            from stepscan.data.bad_lines import BadLines
            from stepscan.data.reading import Reading

            chosen = {name: given.pop(name) for name in READING if name not in without}
            bad_lines = BadLines() if chosen.pop("skip_bad_lines", False) else None
            command(**given, reading=Reading(**chosen, bad_lines=bad_lines))

        parameters = dict(inspect.signature(command, eval_str=True).parameters)
        place = list(parameters).index("reading")
        del parameters["reading"]
        own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters.values()]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in READING.items()
            if name not in without
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
    import tomllib

    from stepscan.data.lines import read_text

    try:
        found = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    known = set(names)
    for key in found:
        if key.replace("-", "_") not in known:
            raise SettingsError(f"{path}: unknown setting {key!r}.{nearest(key.replace('-', '_'), known)}")
    return {key.replace("-", "_"): value for key, value in found.items()}


def seconds(text: str | float) -> float:
    """`90`, `90s`, `10m` or `1h30m` in seconds."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip())
    if not parts or not any(parts.groups()):
        raise SettingsError(f"a time is written like 90s, 10m or 1h30m, got {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds
