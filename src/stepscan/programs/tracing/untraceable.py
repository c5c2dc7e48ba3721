"""Why a step is no program."""

from __future__ import annotations

__all__ = ["Untraceable"]


class Untraceable(TypeError):
    """A step that a program cannot express; the message is one line.

    Args:
        cell: the name of its class.
        reason: what the step does that a program cannot, and what to write in its place.
        place: the line of the step, such as `cells.py, line 12 (y = x.sort()[0])`; empty if it is not known.
    """

    def __init__(self, cell: str, reason: str, place: str = "") -> None:
        self.cell, self.reason, self.place = cell, reason, place
        super().__init__(f"{cell}.step{f', {place}' if place else ''}: {reason}")

    def __reduce__(self) -> tuple[type[Untraceable], tuple[str, str, str]]:
        return Untraceable, (self.cell, self.reason, self.place)
