"""The states of cells; leaves `[B, H]`."""

from __future__ import annotations

from typing import Any, NamedTuple


class HiddenState(NamedTuple):
    """The hidden state alone."""

    h: Any


class LSTMState(NamedTuple):
    """The hidden state and the cell."""

    h: Any
    c: Any
