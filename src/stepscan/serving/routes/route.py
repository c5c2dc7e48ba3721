"""What a route is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stepscan.serving.call import Call
from stepscan.serving.fields import Fields


class Route(NamedTuple):
    """A route: requests of a method and a path, and what they do."""

    method: str
    path: str  # with arguments in braces
    handle: Callable[[Call], Awaitable[None]]
    summary: str
    fields: type[Fields] | None = None  # of the body
    answer: str = "application/json"  # the content type
    status: int = 200
    gate: str = ""  # of the engine, `predictions`, `texts` or `pushes`: requests are refused before their body is read
