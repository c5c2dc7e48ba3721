"""From definitions to stages: products whose inputs are finished rows, then operations of one width on a tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from stepscan.programs.lowering import codes
from stepscan.programs.lowering.arrays import Arrays, Home
from stepscan.programs.lowering.codes import CODES, PRODUCTS
from stepscan.programs.lowering.definitions import Code, Definition
from stepscan.programs.lowering.gradients import Run
from stepscan.programs.lowering.matrices import Matrices

__all__ = ["Late", "ProductData", "Sink", "Stage", "StageBuilder", "regions"]


class Sink(NamedTuple):
    """A place that a value goes to besides its home: "copy", "store" (of an item) or "accumulate"."""

    op: str
    value: int
    to: Home


class Late(NamedTuple):
    """What a value `late` is: the product of a run of gradients of the step after this one."""

    run: Run
    leaf_part: int  # the array of the state whose gradient it is, if it is the first of its products; else −1


@dataclass
class ProductData:
    """See `Product` in `native/program.h`."""

    matrix: int
    home: Home
    outputs: list[int]
    late: int = 0
    leaf_part: int = -1


@dataclass
class Stage:
    """See `Stage` in `native/program.h`; operations are six numbers each."""

    width: int
    only_x: int = 0
    operands: list[Home] = field(default_factory=list)
    products: list[ProductData] = field(default_factory=list)
    operations: list[tuple[int, ...]] = field(default_factory=list)


class Region(NamedTuple):
    """What values are computed in one stage."""

    level: int
    only_x: int
    width: int


def stage_width(code: Callable[[int], Definition], value: int) -> int:
    """The width of the stage that computes a value."""
    definition = code(value)
    return code(definition.args[0]).width if definition.is_reduction else definition.width


def regions(
    code: Code, of: Callable[[int], Definition], only_x: Callable[[int], bool] = lambda value: False
) -> dict[int, Region]:
    """The stage of each value of a program: a later one than that of an argument of which it reads whole rows."""
    found: dict[int, Region] = {}
    for value, definition in code.items():
        width, level = stage_width(of, value), 0
        for arg in definition.args:
            if arg in code:
                whole = definition.op in PRODUCTS or code[arg].is_reduction or code[arg].width != width
                level = max(level, found[arg].level + whole)
        found[value] = Region(level, int(only_x(value)), width)
    return found


class StageBuilder:
    """Makes one stage.

    Args:
        arrays: where memory is added.
        matrices: where matrices are added.
        width: of the stage.
        definition: of any value.
        home: of a value that does not lie in the stage's own memory; None for one that does.
    """

    def __init__(
        self,
        arrays: Arrays,
        matrices: Matrices,
        width: int,
        definition: Callable[[int], Definition],
        home: Callable[[int], Home | None],
    ) -> None:
        self.arrays, self.matrices, self.definition, self.home = arrays, matrices, definition, home
        self.stage = Stage(width)
        self.here: dict[int, Home] = {}  # values in temporaries
        self._numbers: dict[Home, int] = {}
        self._loaded: dict[Home, int] = {}
        self._free: list[int] = []
        self._loads: list[tuple[int, ...]] = []
        self._last: dict[int, int] = {}

    def build(self, values: list[int], sinks: list[Sink], lates: dict[int, Late], runs: dict[int, Run]) -> Stage:
        """The stage that computes `values` and fills `sinks`."""
        self._multiply_forward([v for v in values if self.definition(v).op in ("product", "blocks")])
        rest = []
        for value in values:
            op = self.definition(value).op
            if op in ("product_back", "blocks_back"):
                self._multiply_back(value, runs[value], 0, -1)
            elif op == "late":
                self._multiply_back(value, lates[value].run, 1, lates[value].leaf_part)
            elif op not in PRODUCTS:
                rest.append(value)
        waiting = list(sinks)
        for position, value in enumerate(rest):
            for arg in self.definition(value).args:
                self._last[arg] = position
        for sink in waiting:
            self._last[sink.value] = len(rest)
        for position, value in enumerate(rest):
            self._compute(value, position)
        for sink in waiting:
            self._fill(sink)
        self.stage.operations = self._loads + self.stage.operations
        self.stage.operands = list(self._numbers)
        return self.stage

    def operand(self, home: Home) -> int:
        """The number of an operand of this stage."""
        return self._numbers.setdefault(home, len(self._numbers))

    def read(self, value: int) -> int:
        """The operand that a value is read from."""
        if value in self.here:
            return self.operand(self.here[value])
        home = self.home(value)
        assert home is not None, f"value {value} has no home: {self.definition(value)}"
        if self.arrays.kind(home) != codes.ITEMS:
            return self.operand(home)
        if home not in self._loaded:
            to = self.operand(Home(self.arrays.add(codes.TEMPORARY, 1, self.stage.width)))
            self._loads.append((CODES["load"], to, self.operand(home), -1, -1, -1))
            self._loaded[home] = to
        return self._loaded[home]

    def _temporary(self) -> Home:
        array = self._free.pop() if self._free else self.arrays.add(codes.TEMPORARY, 1, self.stage.width)
        return Home(array)

    def _operate(self, op: str, to: int, args: Iterable[int]) -> None:
        numbers = [CODES[op], to, *args]
        self.stage.operations.append((*numbers, *[-1] * (6 - len(numbers))))

    def _compute(self, value: int, position: int) -> None:
        definition = self.definition(value)
        if definition.is_reduction:
            total, at = self.home(value), 0
            assert total is not None
            apart = self.arrays.kind(total) != codes.GRADIENT  # a slot for each: an order that no cut changes
            for slot, (op, count) in enumerate(definition.attribute):
                to = total._replace(slot=slot) if apart else total
                self._operate(op, self.operand(to), map(self.read, definition.args[at : at + count]))
                at += count
            return
        args = [self.read(arg) for arg in definition.args]
        for arg in set(definition.args):
            place = self.here.get(arg)
            if place is not None and self._last[arg] == position and self.arrays.all[place.array].slots == 1:
                self._free.append(place.array)
        home = self.home(value)
        if home is None:
            home = self.here[value] = self._temporary()
        self._operate(definition.op, self.operand(home), args)

    def _fill(self, sink: Sink) -> None:
        value = self.read(sink.value)
        if sink.op == "store" and self.arrays.all[list(self._numbers)[value].array].width != self.stage.width:
            spread = self._temporary()
            self._operate("copy", self.operand(spread), [value])
            value = self.operand(spread)
        self._operate(sink.op, self.operand(sink.to), [value])

    def _multiply_forward(self, values: list[int]) -> None:
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        for value in values:
            definition = self.definition(value)
            groups.setdefault((definition.args[0], *self.matrices.shape(definition)), []).append(value)
        for (arg, *_), members in groups.items():
            members.sort(key=lambda value: (self.home(value) or (-1,), value))
            for at in range(0, len(members), codes.MOST_PARTS):
                few = members[at : at + codes.MOST_PARTS]
                local = [value for value in few if self.home(value) is None]
                if local:
                    memory = self.arrays.add(codes.TEMPORARY, len(local), self.stage.width)
                    self.here.update({value: Home(memory, slot) for slot, value in enumerate(local)})
                source = self.home(arg)
                assert source is not None
                outputs = [self.operand(self.here.get(value) or self.home(value) or source) for value in few]
                self.stage.products.append(ProductData(self.matrices.forward(few), source, outputs))

    def _multiply_back(self, value: int, run: Run, late: int, leaf_part: int) -> None:
        home = self.home(value)
        if home is None:
            home = self.here[value] = Home(self.arrays.add(codes.TEMPORARY, 1, self.stage.width))
        first = self.home(run.gradients[0])
        assert first is not None
        source = Home(first.array, first.slot, late)
        output = [self.operand(home)]
        self.stage.products.append(ProductData(self.matrices.back(run), source, output, late, leaf_part))
