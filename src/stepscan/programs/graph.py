"""Values under construction: each once, and without arithmetic that is none."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stepscan.programs.operations import BY_NAME, ELEMENTWISE, ROW
from stepscan.programs.program import Value

__all__ = ["Graph", "reachable"]

_SYMMETRIC = frozenset(("add", "multiply", "maximum", "minimum"))
_FOLDED = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}


class Graph:
    """`graph("add", a, b)` is the index of the value a + b, new or made before. Arguments are indices; a float is a
    constant.

    Attributes:
        values: all of them, arguments before what is made of them.
    """

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.values: list[Value] = list(values)
        self._known = {value: index for index, value in enumerate(self.values)}

    def __call__(self, op: str, *args: Any, width: int | None = None, attribute: tuple[Any, ...] = ()) -> int:
        """The index of a value; `width` is that of the widest argument unless it is given."""
        indices = tuple(self.constant(arg) if isinstance(arg, float) else arg for arg in args)
        if op in BY_NAME and BY_NAME[op].kind == ELEMENTWISE and op != "spread":
            wide = max(map(self.width, indices))
            indices = tuple(map(self._narrowed, indices))
            if width is None and max(map(self.width, indices)) < wide:
                return self("spread", self(op, *indices), width=wide)
        simpler = self._simplified(op, indices)
        if simpler is not None:
            return simpler
        if op in _SYMMETRIC:
            indices = tuple(sorted(indices))
        return self._add(Value(op, indices, self._width(op, indices) if width is None else width, attribute))

    def constant(self, number: float) -> int:
        """The index of a constant."""
        return self._add(Value("constant", (), 1, (float(number),)))

    def number(self, index: int) -> float | None:
        """The number of a constant; None for another value."""
        value = self.values[index]
        return value.attribute[0] if value.op == "constant" else None

    def width(self, index: int) -> int:
        """The width of a value."""
        return self.values[index].width

    def total(self, indices: Iterable[int]) -> int:
        """The sum of some values, from the first to the last."""
        first, *rest = indices
        for index in rest:
            first = self("add", first, index)
        return first

    def _add(self, value: Value) -> int:
        if value not in self._known:
            self._known[value] = len(self.values)
            self.values.append(value)
        return self._known[value]

    def _width(self, op: str, args: tuple[int, ...]) -> int:
        operation = BY_NAME.get(op)
        if operation is not None and operation.kind == ROW:
            return 1
        return max((self.width(arg) for arg in args), default=1)

    def _simplified(self, op: str, args: tuple[int, ...]) -> int | None:
        """A value that is the same as `op` of `args`, if there is a simpler one. 0 · a stays, for a may be NaN."""
        numbers = [self.number(arg) for arg in args]
        if op in _FOLDED and None not in numbers:
            return self.constant(_FOLDED[op](*numbers))
        for unit, name in ((0.0, "add"), (1.0, "multiply")):
            if op == name and unit in numbers:
                return args[1 - numbers.index(unit)]
        if op == "subtract":
            return self._simplified_difference(*args)
        if op == "sum" and self._narrowed(args[0]) != args[0]:
            return self("multiply", self._narrowed(args[0]), float(self.width(args[0])))
        if op == "divide" and numbers[1]:
            return self("multiply", args[0], 1.0 / numbers[1])
        if op == "negate":
            if numbers[0] is not None:
                return self.constant(-numbers[0])
            return self._negated(args[0])
        for one, other in (args, args[::-1]) if op == "add" else ():
            if (inner := self._negated(one)) is not None:
                return self("subtract", other, inner)
        return None

    def _simplified_difference(self, a: int, b: int) -> int | None:
        if self.number(b) == 0.0:
            return a
        if self.number(a) == 0.0:
            return self("negate", b)
        negated = self._negated(b)
        return None if negated is None else self("add", a, negated)

    def _narrowed(self, index: int) -> int:
        """What a value spreads over a row; the value itself if it is none of those."""
        value = self.values[index]
        return value.args[0] if value.op == "spread" else index

    def _negated(self, index: int) -> int | None:
        """What a value is the negation of."""
        value = self.values[index]
        return value.args[0] if value.op == "negate" else None


def reachable(
    values: Sequence[Value], roots: Iterable[int], ends: Callable[[int], bool] = lambda index: False
) -> list[int]:
    """The values that `roots` are made of, and they themselves, in order; not what those are made of that `ends`
    accepts."""
    needed = set(roots)
    for index in range(len(values) - 1, -1, -1):
        if index in needed and not ends(index):
            needed.update(values[index].args)
    return sorted(needed)
