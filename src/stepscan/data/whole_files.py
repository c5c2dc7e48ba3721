"""Readers of whole files, made of those that yield one example at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def as_list(stream: Callable[_P, Iterator[_T]]) -> Callable[_P, list[_T]]:
    """The same reader, of all examples at once."""

    @functools.wraps(stream)
    def read(*args: _P.args, **options: _P.kwargs) -> list[_T]:
        return list(stream(*args, **options))

    return read
