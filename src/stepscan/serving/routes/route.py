"""What a route is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from stepscan.serving.call import Call
from stepscan.serving.fields import Fields

WRITTEN = "text/event-stream", "application/json"  # content types of a text: streamed, or at once


class Route(NamedTuple):
    """A route: requests of a method and a path, and what they do."""

    method: str
    path: str  # with arguments in braces
    handle: Callable[[Call], Awaitable[None]]
    summary: str
    fields: type[Fields] | None = None  # of the body
    answers: tuple[str, ...] = ("application/json",)  # content types
    status: int = 200
    takes_state: bool = False  # whether the body may be a saved state of a session
    gate: str = ""  # of the engine, `predictions`, `texts` or `pushes`: requests are refused before their body is read
