"""Checks of command-line arguments: a file name in place of a text, several files after one option."""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stepscan.errors import STANDARD, SettingsError, nearest
from stepscan.options import (
    ADDRESS,
    DATA,
    LIMITS,
    MODEL,
    OUTPUT,
    REGULARISATION,
    RENAMED,
    SESSIONS,
    TASKS,
    TRAINING,
    ReadingOptions,
    settings_of,
)

logger = logging.getLogger(__name__)

_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or that of the click within typer
_GROUPS = (None, DATA, OUTPUT, MODEL, REGULARISATION, TRAINING, "Many files", ADDRESS, SESSIONS, LIMITS)
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
_ADDRESS = re.compile(r"auto|local|(ray://)?[\w.\[\]-]+:\d+")  # of a Ray cluster
_TEXT_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".conllu", ".conll")
_DATA_SUFFIXES = (*_TEXT_SUFFIXES, ".ts", ".npy", ".parquet", ".gz")


def check_texts(texts: Iterable[str], option: str = "--input FILE") -> None:
    """Check that no text is the name of a file; log a warning for one that looks like it.

    Raises:
        SettingsError: a text is the name of a file; names the option that reads files.
    """
    for text in texts:
        if os.path.isfile(text):
            raise SettingsError(f"expected a text, got the file {text!r}; to read it, write {option}")
        if len(text.split()) == 1 and text.lower().endswith(_DATA_SUFFIXES):
            logger.warning("%r is read as a text; there is no file of that name", text)


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Check that the output does not overwrite an input file, or a file of an input folder.

    Raises:
        SettingsError: it does.
    """
    target = os.path.realpath(output)
    if str(output) == STANDARD or not os.path.isfile(target):
        return
    for path in inputs:
        if os.path.realpath(path) in (target, os.path.dirname(target)):
            description = f"a file of the model {path}" if path.is_dir() else "the file that is read"
            raise SettingsError(f"--output: expected a new file, got {output}, {description}; choose another name")


class Command(TyperCommand):
    """A command whose options are in the order of their groups, and whose usage errors say what to write: the new name
    of an option, or one option per file."""

    def __init__(self, *positional: Any, **settings: Any) -> None:
        super().__init__(*positional, **settings)
        self.params.sort(key=lambda parameter: _GROUPS.index(getattr(parameter, "rich_help_panel", None)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        args = with_address(args) if any(parameter.name == "ray" for parameter in self.params) else args
        option = _option_with_several_files(args)  # parsing empties the list
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            if option and "unexpected extra argument" in error.message:
                error.message += f": an option takes one file; repeat {option} before each further one"
            if unknown := getattr(error, "option_name", ""):
                error.message, error.possibilities = _unknown_option_message(unknown, self.params), None
            raise


class Tasks(TyperGroup):
    """Commands of which one is named before any option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            error.message += f" comes after the task, one of {', '.join(self.commands)}"
            raise


def _unknown_option_message(option: str, parameters: Iterable[Any]) -> str:
    """The error for an unknown option: its new name, the tasks that have it, or the nearest option."""
    stem, prefix = (option[5:], "--no-") if option.startswith("--no-") else (option[2:], "--")
    name = stem.replace("-", "_")
    new_name = _RENAMED.get(option) or (f"{prefix}{RENAMED[name].replace('_', '-')}" if name in RENAMED else "")
    if new_name:
        return f"{option} is called {new_name} now"
    tasks = [task for task, options in TASKS.items() if name in settings_of(options)]
    if name in (reading := settings_of(ReadingOptions)):
        tasks = list(reading[name].option.tasks)
    hint = f" It is an option of {' and '.join(f'train {task}' for task in tasks)}."
    if not tasks:
        hint = nearest(
            option, [flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)]
        )
    return f"no such option: {option}.{hint}"


def with_address(args: Sequence[str]) -> list[str]:
    """The arguments with `local` after a `--ray` that no address follows."""
    filled: list[str] = []
    for word, following in itertools.zip_longest(args, args[1:], fillvalue=""):
        filled.append(word)
        if word == "--ray" and "--" not in filled and not _ADDRESS.fullmatch(following):
            filled.append("local")
    return filled


def _option_with_several_files(args: Sequence[str]) -> str | None:
    """The option for files that is followed by two or more words, if there is one."""
    for index, word in enumerate(args[:-2]):
        if word in ("--train", "--valid") and not any(
            next_word.startswith("-") for next_word in args[index + 1 : index + 3]
        ):
            return word
    return None
