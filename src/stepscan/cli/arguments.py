"""Mistakes on the command line: a file's name in place of a text, several files after one option."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stepscan.errors import STANDARD, SettingsError, nearest
from stepscan.options import (
    DATA,
    MODEL,
    OUTPUT,
    REGULARISATION,
    RENAMED,
    TASKS,
    TRAINING,
    ReadingOptions,
    settings_of,
)

logger = logging.getLogger(__name__)

_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or that of the click within typer
_GROUPS = (None, DATA, OUTPUT, MODEL, REGULARISATION, TRAINING)
_RENAMED = {  # options of earlier versions; those that are settings are in `stepscan.options.RENAMED`
    "--history": "--context (of stepscan forecast)",
    "--interval": "--level (of stepscan forecast)",
    "--keep-case": "--no-lowercase",
    "--not-residual": "--no-residual",
    "--not-tied": "--no-tie-weights",
    "--not-variational": "--no-variational",
    "--one-direction": "--no-bidirectional",
    "--paths": "--num-samples (of stepscan forecast)",
    "--same-window": "--no-vary-bptt",
    "--with": "--ensemble",
}
_TEXTS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".conllu", ".conll")
_DATA_SUFFIXES = (*_TEXTS, ".ts", ".npy", ".parquet", ".gz")


def check_texts(texts: Iterable[str], option: str = "--input FILE") -> None:
    """Refuse a text that is the name of a file, and warn of one that looks like it.

    Raises:
        SettingsError: names the option that reads the file.
    """
    for text in texts:
        if os.path.isfile(text):
            raise SettingsError(f"expected a text, but {text!r} is a file: to read it, write {option}")
        if len(text.split()) == 1 and text.lower().endswith(_DATA_SUFFIXES):
            logger.warning("%r is read as a text, and there is no file of that name", text)


def check_output(output: Path, read: Iterable[Path]) -> None:
    """Refuse to write over a file that is read, or into a folder that is.

    Raises:
        SettingsError: names it.
    """
    there = os.path.realpath(output)
    if str(output) == STANDARD or not os.path.isfile(there):
        return
    for path in read:
        if os.path.realpath(path) in (there, os.path.dirname(there)):
            what = f"a file of the model {path}" if path.is_dir() else "the file that is read"
            raise SettingsError(f"{output} is {what}, and would be lost: give another name with --output")


class Command(TyperCommand):
    """A command whose options are in the order of their groups, and whose errors of usage say what to write: the new
    name of an option, or one option for each file."""

    def __init__(self, *positional: Any, **settings: Any) -> None:
        super().__init__(*positional, **settings)
        self.params.sort(key=lambda one: _GROUPS.index(getattr(one, "rich_help_panel", None)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        option = _option_of_several(args)  # parsing empties the list
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            if option and "unexpected extra argument" in error.message:
                error.message += f": an option takes one file, so write {option} again before each further one"
            if unknown := getattr(error, "option_name", ""):
                error.message, error.possibilities = _of_unknown(unknown, self.params), None
            raise


class Tasks(TyperGroup):
    """Commands, one of which must be named before any option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            error.message += f" comes after the task, one of {', '.join(self.commands)}"
            raise


def _of_unknown(option: str, parameters: Iterable[Any]) -> str:
    """What to say of an option that a command does not have: its name today, who has it, or the nearest one."""
    bare, no = (option[5:], "--no-") if option.startswith("--no-") else (option[2:], "--")
    name = bare.replace("-", "_")
    new = _RENAMED.get(option) or (f"{no}{RENAMED[name].replace('_', '-')}" if name in RENAMED else "")
    if new:
        return f"{option} is called {new} now"
    tasks = [task for task, options in TASKS.items() if name in settings_of(options)]
    if name in (reading := settings_of(ReadingOptions)):
        tasks = list(reading[name].option.tasks)
    hint = f" It is an option of {' and '.join(f'train {task}' for task in tasks)}."
    if not tasks:
        hint = nearest(
            option, [one for parameter in parameters for one in (*parameter.opts, *parameter.secondary_opts)]
        )
    return f"no such option: {option}.{hint}"


def _option_of_several(args: Sequence[str]) -> str | None:
    """The option for files that two or more words follow, if there is one."""
    for place, word in enumerate(args[:-2]):
        if word in ("--train", "--valid") and not any(after.startswith("-") for after in args[place + 1 : place + 3]):
            return word
    return None
