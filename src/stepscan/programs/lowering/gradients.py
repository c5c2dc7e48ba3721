"""Where the gradients of products' results lie: those that are multiplied together side by side, so that all products
with one value go back as one product, and its weights' gradients are one sum."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from stepscan.programs.derivative import Derivative
from stepscan.programs.lowering.definitions import Definitions
from stepscan.programs.program import Program

__all__ = ["Arrangement", "MatrixPart", "Run", "arrange", "parts_of"]

_MOST_PERMUTED = 6


class MatrixPart(NamedTuple):
    """A part of a weight, as the library wants it: see `WeightPart` and `heads` in `native/program.h`."""

    weight: int
    offset: int
    row: int  # numbers from one row to the next
    bias: int
    bias_offset: int


class Run(NamedTuple):
    """Gradients side by side, and what each is multiplied by.

    Attributes:
        gradients: values, in the order of their slots.
        parts: of weights.
        rows, columns: of each part, of all blocks together.
        heads: number of blocks on the diagonal; 1 for a full matrix.
    """

    gradients: tuple[int, ...]
    parts: tuple[MatrixPart, ...]
    rows: int
    columns: int
    heads: int


def parts_of(program: Program, op: str, attribute: tuple[int, ...]) -> tuple[list[MatrixPart], int, int, int]:
    """The parts of weights of products, and the rows, columns and blocks of each."""
    if op in ("blocks", "blocks_back"):
        weight, first, last = attribute
        _, rows, columns = program.weights[weight].shape
        part = MatrixPart(weight, first * rows * columns, columns, -1, 0)
        return [part], (last - first) * rows, (last - first) * columns, last - first
    size = 6 if op == "product" else 5
    found, rows, columns = [], 0, 0
    for at in range(0, len(attribute), size):
        weight, row0, row1, col0, col1, *bias = attribute[at : at + size]
        width = program.weights[weight].shape[1]
        found.append(
            MatrixPart(weight, row0 * width + col0, width, *((bias[0], row0) if bias and bias[0] >= 0 else (-1, 0)))
        )
        rows, columns = row1 - row0, col1 - col0
    return found, rows, columns, 1


@dataclass
class Arrangement:
    """The slot of each gradient, in arrays of some gradients of one width."""

    arrays: list[tuple[int, ...]]

    def __post_init__(self) -> None:
        self.slots = {d: (array, slot) for array, ds in enumerate(self.arrays) for slot, d in enumerate(ds)}

    def add(self, gradient: int) -> None:
        """A place for one more gradient, alone in its array."""
        self.slots[gradient] = (len(self.arrays), 0)
        self.arrays.append((gradient,))

    def runs(
        self, gradients: tuple[int, ...], parts: list[MatrixPart], rows: int, columns: int, heads: int
    ) -> list[Run]:
        """Those gradients in as few runs of slots side by side as there are."""
        pairs = sorted(zip(gradients, parts, strict=True), key=lambda pair: self.slots[pair[0]])
        runs: list[list[tuple[int, MatrixPart]]] = []
        for d, part in pairs:
            array, slot = self.slots[d]
            if runs and self.slots[runs[-1][-1][0]] == (array, slot - 1):
                runs[-1].append((d, part))
            else:
                runs.append([(d, part)])
        return [Run(tuple(d for d, _ in run), tuple(p for _, p in run), rows, columns, heads) for run in runs]


def arrange(derivative: Derivative, definitions: Definitions) -> Arrangement:
    """Slots for all gradients that products or sums of weights' gradients read."""
    sets: dict[tuple[int, int, str], list[int]] = {}
    for product, d in (*derivative.products, *derivative.x_products):
        definition = definitions[product]
        sets.setdefault((definition.args[0], definition.width, definition.op), []).append(d)
    groups = [tuple(dict.fromkeys(ds)) for ds in sets.values()]
    groups += [tuple(dict.fromkeys(v.args)) for v in derivative.values if v.op in ("product_back", "blocks_back")]
    left, arrays = list(dict.fromkeys(groups)), []
    while left:
        together, mine = set(left[0]), []
        while found := [group for group in left if together & set(group)]:
            mine += found
            left = [group for group in left if group not in found]
            together.update(*found)
        arrays.append(_order(sorted(together), mine))
    return Arrangement(arrays)


def _order(members: list[int], groups: list[tuple[int, ...]]) -> tuple[int, ...]:
    """An order in which each group is side by side if there is one, otherwise one in which few are not."""
    first = tuple(dict.fromkeys(d for group in sorted(groups, key=len) for d in group))
    if len(members) > _MOST_PERMUTED:
        return first

    def gaps(order: tuple[int, ...]) -> int:
        at = {d: place for place, d in enumerate(order)}
        return sum(max(at[d] for d in group) - min(at[d] for d in group) + 1 - len(group) for group in groups)

    return min(itertools.permutations(first), key=gaps)
