"""The exceptions that Stepscan raises on invalid input, and parts of their messages."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path

STANDARD = "-"  # the name of standard input or standard output in place of a file


class StepscanError(Exception):
    """Base of all errors that a user can correct; the command line prints the message and exits with 1."""


class DataError(StepscanError):
    """A data file is invalid.

    Args:
        reason: `expected …, got …`.
        path: the file.
        line: the number of the line, from 1.
        hint: what to do.
        unit: what `line` counts: lines, or rows of a table of values.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        hint: str = "",
        unit: str = "line",
    ) -> None:
        self.reason, self.path, self.line, self.hint = reason, path, line, hint
        name = display_path(path)
        prefix = "" if path is None else f"{name}: " if line is None else f"{name}, {unit} {line}: "
        super().__init__(prefix + reason + (f" {hint}" if hint else ""))


class SettingsError(StepscanError, ValueError):
    """A setting (constructor argument, command-line option, configuration key) is invalid."""


class ModelFormatError(StepscanError):
    """A model folder is invalid, or of a version that cannot be read."""


class ProgramError(ModelFormatError):
    """A program (a cell's step as data, see `stepscan.programs`) is invalid."""


class UnsupportedLayer(StepscanError):
    """A model has a layer without a native kernel, which only PyTorch can run.

    Args:
        layer: its registered name.
        reason: what is missing and what to do.
    """

    def __init__(self, layer: str, reason: str) -> None:
        self.layer = layer
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[UnsupportedLayer], tuple[str, str]]:
        return UnsupportedLayer, (self.layer, str(self))


class NotEnoughMemory(StepscanError, MemoryError):
    """There is not enough memory; the message says what for, and what to do."""


class NotFittedError(StepscanError):
    """An estimator is used before `fit` or `load`."""


class Interrupted(StepscanError):
    """Training was stopped by a signal and has saved a checkpoint.

    Args:
        message: how to resume.
        signal: the number of the signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


def display_path(path: object) -> str:
    """A path for messages; `standard input` for `STANDARD`."""
    return "standard input" if str(path) == STANDARD else str(path)


def signal_number(error: BaseException) -> int:
    """The number of the signal that caused a KeyboardInterrupt, or the command line's SystemExit."""
    code = error.code if isinstance(error, SystemExit) else None
    return code - 128 if isinstance(code, int) and code > 128 else signal.SIGINT


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'lstm'?"` for the known word that is most similar to `word`, ignoring case; if none is similar,
    the list of known words."""
    known = list(known)
    return similar(word, known) or f" Known: {', '.join(sorted(known))}."


def similar(word: str, known: Iterable[str]) -> str:
    """As `nearest`, but empty if no word is similar."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def shown(value: object) -> str:
    """A value for messages: a layer as its signature, anything else as its `repr`, at most 60 characters of it."""
    signature = getattr(value, "signature", None)
    if isinstance(signature, str):
        return signature
    if isinstance(value, list) and any(hasattr(item, "signature") for item in value):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
