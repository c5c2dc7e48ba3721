"""Mistakes on the command line: a file's name in place of a text, several files after one option."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from stepscan.errors import STANDARD, SettingsError

logger = logging.getLogger(__name__)

_UsageError: Any = typer.BadParameter.__mro__[1]  # click's, or that of the click within typer
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


class TakesFiles(TyperCommand):
    """A command with options for files, each of which takes one: says so where more follow."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        option = _option_of_several(args)  # parsing empties the list
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            if option and "unexpected extra argument" in error.message:
                error.message += f": an option takes one file, so write {option} again before each further one"
            raise


def _option_of_several(args: Sequence[str]) -> str | None:
    """The option for files that two or more words follow, if there is one."""
    for place, word in enumerate(args[:-2]):
        if word in ("--train", "--valid") and not any(after.startswith("-") for after in args[place + 1 : place + 3]):
            return word
    return None
