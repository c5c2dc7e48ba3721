"""The program, and the options of its commands, which are made from `stepscan.options`."""

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

_ORDER = (  # of the commands in the help
    *("demo", "train", "evaluate", "predict", "generate", "forecast", "serve", "inspect", "compare", "reproduce"),
    *("average", "compress", "bench"),
)


class _Commands(TyperGroup):
    """The commands, in the order of `_ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


class Program(typer.Typer):
    """A `Typer` whose commands are of the class `Command`."""

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


def _print_version(is_requested: bool) -> None:
    if is_requested:
        print(f"stepscan {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


Task = Enum("Task", {name: name for name in TASKS})  # type: ignore[misc]  # typer's type for a choice


def option(panel: str, text: str, *names: str, default: str = "") -> Any:
    """An option of a command, with the text that the help shows as its default."""
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
    """A setting as a parameter of a command; the parameter's default is None, which distinguishes an option that was
    not given."""
    kind, flags = setting.option.kind, f"--{setting.name.replace('_', '-')}"
    if isinstance(kind, Flag) and (setting.default is not False or setting.option.group != DATA):
        negation = kind.denied.replace("_", "-") or f"no-{flags[2:]}"
        flags = f"{flags}/--{negation}"
    typer_option = typer.Option(
        flags,
        help=setting.option.help,
        rich_help_panel=setting.option.group,
        show_default=setting.default_in_words if shows_default else False,
        metavar="|".join(kind.values) if isinstance(kind, Choice) else "TIME" if isinstance(kind, Duration) else None,
    )
    annotation: Any = Path if isinstance(kind, FilePath) else kind.cli_type
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, typer_option],
    )


def with_options(
    name: str, parameters: Iterable[inspect.Parameter], bundle: Callable[[dict[str, Any]], Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: replaces a command's parameter `name` by options.

    Args:
        name: the parameter.
        parameters: the options.
        bundle: the values of the options that were given → the parameter's value.
    """
    added = list(parameters)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**arguments: Any) -> None:
            values = {item.name: value for item in added if (value := arguments.pop(item.name)) is not None}
            command(**arguments, **{name: bundle(values)})

        signature = getattr(command, "__signature__", None) or inspect.signature(command, eval_str=True)
        new_parameters: list[inspect.Parameter] = []
        for item in signature.parameters.values():
            new_parameters += added if item.name == name else [item.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(new_parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def with_reading_options(
    *without: str, only: Sequence[str] = (), task: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: replaces a command's parameter `reading`, a `ReadOptions`, by options of `ReadingOptions`.

    Args:
        without: names of options that the command does not have.
        only: names of all options that the command has; empty: all but `without`.
        task: the task, if the command has only the options of its files.
    """
    return with_options(
        "reading",
        [
            parameter(setting)
            for name, setting in settings_of(ReadingOptions).items()
            if (name in only if only else name not in without)
            and (task is None or not setting.option.tasks or task in setting.option.tasks)
        ],
        _reading,
    )


def _reading(values: dict[str, Any]) -> Any:
    from stepscan.data.bad_lines import BadLines
    from stepscan.data.task_data import ReadOptions

    bad_lines = BadLines() if values.pop("skip_bad_lines", False) else None
    return ReadOptions(**values, bad_lines=bad_lines)


def read_settings(path: Path | None, options: type) -> dict[str, Any]:
    """Read settings from a TOML file, whose keys are the options' names.

    Raises:
        SettingsError: a key is not an option.
        DataError: the file is not valid.
    """
    if path is None:
        return {}
    from stepscan.data.toml import read_toml

    known = settings_of(options)
    settings = {key.replace("-", "_"): value for key, value in read_toml(path).items()}
    for name in settings:
        if name not in known or known[name].option.group is None:
            raise SettingsError(f"{display_path(path)}: {unknown_setting(name, known)}")
    return settings


def parse_settings(settings: Mapping[str, Any], options: type) -> dict[str, Any]:
    """Convert settings of a command line or a file to an estimator's.

    Raises:
        SettingsError: a value is not valid.
    """
    known = settings_of(options)
    return {name: parse_value(known[name], value) for name, value in settings.items()}


def parse_value(setting: Setting, value: Any) -> Any:
    """Convert one value; a `SettingsError` names the option if it is not valid."""
    try:
        return setting.option.kind.parse(value)
    except ValueError as error:
        raise SettingsError(f"{setting.name}: {error}") from None
