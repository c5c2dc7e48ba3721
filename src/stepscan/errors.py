"""Every error that Stepscan raises on wrong input. Each says what was expected, what arrived, where, and what to do."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path

STANDARD = "-"  # as the name of a file: standard input, or standard output


class StepscanError(Exception):
    """Base of all errors that a user can mend; the command line prints its text and exits with 1."""


class DataError(StepscanError):
    """Something in a data file is wrong.

    Args:
        reason: what was expected and what arrived.
        path: the file.
        line: the line in it, counted from 1.
        hint: what to do.
    """

    def __init__(self, reason: str, *, path: str | Path | None = None, line: int | None = None, hint: str = "") -> None:
        self.reason, self.path, self.line, self.hint = reason, path, line, hint
        name = place_of(path)
        where = "" if path is None else f"{name}: " if line is None else f"{name}, line {line}: "
        super().__init__(where + reason + (f" {hint}" if hint else ""))


class SettingsError(StepscanError, ValueError):
    """A setting (constructor argument, command-line option, configuration key) is wrong."""


class ModelFormatError(StepscanError):
    """A model folder is not one that this version of Stepscan can read."""


class UnsupportedLayer(StepscanError):
    """A model has a layer that the native library has no kernel for, so that only PyTorch can run it.

    Args:
        layer: the name that the layer is registered under.
        reason: a sentence: what is missing and what to do.
    """

    def __init__(self, layer: str, reason: str) -> None:
        self.layer = layer
        super().__init__(reason)

    def __reduce__(self) -> tuple[type[UnsupportedLayer], tuple[str, str]]:
        return UnsupportedLayer, (self.layer, str(self))


class NotEnoughMemory(StepscanError, MemoryError):
    """Something did not fit into memory; says what, and what to do."""


class NotFittedError(StepscanError):
    """An estimator was asked to work before `fit` or `load`."""


class Interrupted(StepscanError):
    """Training was asked to stop, and has kept what it needs to go on.

    Args:
        message: how to go on.
        signal: the number of the signal that asked for it.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


def place_of(path: object) -> str:
    """What messages call a file: its path, or standard input."""
    return "standard input" if str(path) == STANDARD else str(path)


def signal_of(stop: BaseException) -> int:
    """The number of the signal behind a KeyboardInterrupt, or behind the command line's SystemExit."""
    code = stop.code if isinstance(stop, SystemExit) else None
    return code - 128 if isinstance(code, int) and code > 128 else signal.SIGINT


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'lstm'?"` for the known word nearest to `word`, or the list of known words if none is near.

    Case makes no distance: `LSTM` is near to `lstm`.
    """
    known = list(known)
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f" Did you mean {folded[close[0]]!r}?" if close else f" Known: {', '.join(sorted(known))}."
