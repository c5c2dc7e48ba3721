"""The three parts of every built-in data set."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Part = TypeVar("Part")


class Split(NamedTuple, Generic[Part]):
    """What a model learns from, what it is tuned on, and what it is judged on; no example is in two parts."""

    train: Part
    valid: Part
    test: Part
