"""The parts of a built-in data set."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

Part = TypeVar("Part")


class Split(NamedTuple, Generic[Part]):
    """Training, validation and test data; no example is in two of them."""

    train: Part
    valid: Part
    test: Part
