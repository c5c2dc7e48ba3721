"""The program, and how options become those of a command: all are made from `stepscan.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stepscan import __version__
from stepscan.cli.arguments import Command
from stepscan.errors import SettingsError, display_path
from stepscan.fields import Choice, Duration, FilePath, Flag
from stepscan.options import (
    DATA,
    OUTPUT,
    TASKS,
    TRAINING,
    ReadingOptions,
    Setting,
    settings_of,
    unknown_setting,
)

_ORDER = (  # in which people use them
    *("demo", "train", "evaluate", "predict", "generate", "forecast", "inspect", "compare", "reproduce"),
    *("average", "compress", "bench"),
)


class _Commands(TyperGroup):
    """The commands, in an order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


class Program(typer.Typer):
    """A `Typer` whose commands are each a `Command`."""

    def command(self, name: str | None = None, **settings: Any) -> Any:
        return super().command(name, cls=Command, **settings)


app = Program(
    name="stepscan",
    cls=_Commands,
    help="Sequence models you train as a scan and ship as a step: classify, tag, generate, forecast, translate.\n\n"
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


Task = Enum("Task", {name: name for name in TASKS})  # type: ignore[misc]  # typer knows an Enum for a choice


def option(panel: str, text: str, *names: str, default: str = "") -> Any:
    """An option of a command, with its default in words."""
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False)


JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object per line on standard output.")]
ENSEMBLE = Annotated[
    list[Path] | None,
    typer.Option("--ensemble", help="Another model to ensemble with (repeatable).", show_default=False),
]
VALID = Annotated[list[Path] | None, option(DATA, "Validation data.", default="a tenth is held out")]
OUT = Annotated[Path, option(OUTPUT, "Model folder to write.")]
OVERWRITE = Annotated[bool, option(OUTPUT, "Replace an existing model at --out.", "--overwrite")]
QUIET = Annotated[bool, option(OUTPUT, "Do not report progress.", "--quiet")]
CONFIG = Annotated[
    Path | None, option(TRAINING, "TOML file with any of these settings; command-line options take precedence.")
]


def parameter(setting: Setting, *, shows_default: bool = True) -> inspect.Parameter:
    """An option of the table as a parameter of a command; its default there is None, so that it can be told from one
    that was given."""
    kind, named = setting.option.kind, f"--{setting.name.replace('_', '-')}"
    if isinstance(kind, Flag) and (setting.default is not False or setting.option.group != DATA):
        denied = kind.denied.replace("_", "-") or f"no-{named[2:]}"
        named = f"{named}/--{denied}"
    made = typer.Option(
        named,
        help=setting.option.help,
        rich_help_panel=setting.option.group,
        show_default=setting.default_in_words if shows_default else False,
        metavar="|".join(kind.values) if isinstance(kind, Choice) else "TIME" if isinstance(kind, Duration) else None,
    )
    written: Any = Path if isinstance(kind, FilePath) else kind.cli_type
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[written | None, made]
    )


def takes(
    place: str, parameters: Iterable[inspect.Parameter], bundle: Callable[[dict[str, Any]], Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options of the table in the place of its parameter `place`, which is what `bundle` makes of those
    that were given."""
    added = list(parameters)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            chosen = {one.name: value for one in added if (value := given.pop(one.name)) is not None}
            command(**given, **{place: bundle(chosen)})

        own = getattr(command, "__signature__", None) or inspect.signature(command, eval_str=True)
        several: list[inspect.Parameter] = []
        for one in own.parameters.values():
            several += added if one.name == place else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(several)  # type: ignore[attr-defined]
        return run

    return decorate


def reads_data(
    *without: str, only: Sequence[str] = (), task: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options of `ReadingOptions`, all `without` those named, or `only` those, or those of a task's
    files; its parameter `reading` is the `ReadOptions` that they make."""
    return takes(
        "reading",
        [
            parameter(one)
            for name, one in settings_of(ReadingOptions).items()
            if (name in only if only else name not in without)
            and (task is None or not one.option.tasks or task in one.option.tasks)
        ],
        _reading,
    )


def _reading(given: dict[str, Any]) -> Any:
    from stepscan.data.bad_lines import BadLines
    from stepscan.data.task_data import ReadOptions

    bad_lines = BadLines() if given.pop("skip_bad_lines", False) else None
    return ReadOptions(**given, bad_lines=bad_lines)


def from_config(path: Path | None, options: type) -> dict[str, Any]:
    """Settings out of a TOML file, whose keys are the options' names."""
    if path is None:
        return {}
    from stepscan.data.toml import read_toml

    known = settings_of(options)
    settings = {key.replace("-", "_"): value for key, value in read_toml(path).items()}
    for name in settings:
        if name not in known or known[name].option.group is None:
            raise SettingsError(f"{display_path(path)}: {unknown_setting(name, known)}")
    return settings


def parsed(settings: Mapping[str, Any], options: type) -> dict[str, Any]:
    """Settings as a command line or a file writes them → as an estimator takes them."""
    known = settings_of(options)
    return {name: parsed_value(known[name], value) for name, value in settings.items()}


def parsed_value(setting: Setting, value: Any) -> Any:
    """Raises a `SettingsError` that names the option."""
    try:
        return setting.option.kind.parse(value)
    except ValueError as error:
        raise SettingsError(f"{setting.name}: {error}") from None
