"""Values that are sliced and joined → values of pieces that are neither: slices move up into what they are of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from stepscan.programs.graph import Graph, reachable
from stepscan.programs.operations import BY_NAME, ELEMENTWISE
from stepscan.programs.program import Program, Value, WeightShape
from stepscan.programs.rows import RowGraph, WeightRef

__all__ = ["program_of"]


def program_of(
    graph: RowGraph,
    input_size: int,
    state: Sequence[int],
    output: int,
    next_state: Sequence[int],
    names: Callable[[int], str],
) -> tuple[Program, list[WeightRef]]:
    """The program that computes these values of a graph, and its weights. `names` gives those of recorded tensors.

    Raises:
        ProgramError: it is larger than a program may be.
    """
    whole, wanted = _without_cut_blocks(graph, [output, *next_state])
    pieces = Pieces(whole, wanted)
    roots = [pieces.made[root] for root in wanted]
    order = reachable(pieces.graph.values, [piece for root in roots for piece in root])
    place = {old: new for new, old in enumerate(order)}
    weights: dict[WeightRef, int] = {}
    values = [_finished(pieces.graph.values[old], place, weights) for old in order]
    shapes = _named(list(weights), names)
    first, *rest = [tuple(place[piece] for piece in root) for root in roots]
    program = Program(input_size, tuple(state), tuple(shapes), tuple(values), first, tuple(rest))
    program.check()
    return program, list(weights)


def _named(weights: Sequence[WeightRef], names: Callable[[int], str]) -> list[WeightShape]:
    taken: set[str] = set()
    found = []
    for weight in weights:
        name = names(weight.number)
        while name in taken:
            name += "'"
        taken.add(name)
        found.append(WeightShape(name, weight.shape))
    return found


def _finished(value: Value, place: dict[int, int], weights: dict[WeightRef, int]) -> Value:
    attribute = tuple(
        weights.setdefault(item, len(weights)) if isinstance(item, WeightRef) else item for item in value.attribute
    )
    return Value(value.op, tuple(place[arg] for arg in value.args), value.width, attribute)


class Pieces:
    """Every value that `roots` need as pieces that no slice and no join cuts.

    Attributes:
        graph: the pieces.
        made: for each value, its pieces from left to right.
    """

    def __init__(self, whole: RowGraph, roots: Sequence[int]) -> None:
        self._whole = whole
        self.graph = Graph()
        self.made: dict[int, list[int]] = {}
        marks = Marks(whole, roots)
        for value in marks.order:
            edges = sorted(marks.marks[value])
            self.made[value] = self._make(value, list(itertools.pairwise(edges)))

    def _make(self, index: int, spans: list[tuple[int, int]]) -> list[int]:
        value, graph = self._whole.values[index], self.graph
        op, args, _, attribute = value
        if op == "constant":
            return [graph.constant(attribute[0])]
        if op in ("x", "leaf", "vector"):
            *which, first, _ = attribute
            return [graph(op, width=b - a, attribute=(*which, first + a, first + b)) for a, b in spans]
        if op == "slice":
            return self._between(args[0], *attribute)
        if op == "join":
            return [piece for arg in args for piece in self.made[arg]]
        if op == "product":
            return [self._product(args[0], attribute, a, b) for a, b in spans]
        if op == "blocks":
            return self._blocks(args[0], value, spans)
        if BY_NAME[op].kind == ELEMENTWISE:
            return [self._elements(value, position, b - a) for position, (a, b) in enumerate(spans)]
        return [self._row(op, args)]

    def _between(self, arg: int, start: int, stop: int) -> list[int]:
        found, at = [], 0
        for piece in self.made[arg]:
            if start <= at < stop:
                found.append(piece)
            at += self.graph.width(piece)
        return found

    def _product(self, arg: int, attribute: tuple[int | WeightRef, ...], a: int, b: int) -> int:
        weight, row, _, column, _, bias = attribute
        terms: list[int] = []
        for piece in self.made[arg]:
            end = column + self.graph.width(piece)  # type: ignore[operator]
            part = (weight, row + a, row + b, column, end, -1 if terms else bias)  # type: ignore[operator]
            terms.append(self.graph("product", piece, width=b - a, attribute=part))
            column = end
        return self.graph.total(terms)

    def _blocks(self, arg: int, value: Value, spans: list[tuple[int, int]]) -> list[int]:
        weight, first, _ = value.attribute
        _, rows, columns = weight.shape
        found = []
        for a, b in spans:
            start, stop = a // rows, b // rows
            (piece,) = self._between(arg, start * columns, stop * columns)
            found.append(self.graph("blocks", piece, width=b - a, attribute=(weight, first + start, first + stop)))
        return found

    def _elements(self, value: Value, position: int, width: int) -> int:
        op, args, _, attribute = value
        whole = [self._whole.width(arg) for arg in args]
        parts = [self.made[arg][0 if size == 1 else position] for arg, size in zip(args, whole, strict=True)]
        if op == "spread":
            return parts[0] if width == 1 else self.graph(op, *parts, width=width)
        return self.graph(op, *parts, attribute=attribute)

    def _row(self, op: str, args: tuple[int, ...]) -> int:
        """A sum (or largest) over a row is that of its pieces."""
        first, *rest = (self.made[arg] for arg in args)
        terms = [
            self.graph(op, piece, *(other[0] if op == "squares" else other[position] for other in rest))
            for position, piece in enumerate(first)
        ]
        total = terms[0]
        for term in terms[1:]:
            total = self.graph("maximum" if op == "largest" else "add", total, term)
        return total


class Marks:
    """Where values are cut, so that what is read together is cut alike.

    Attributes:
        order: the values that `roots` need.
        marks: the cuts of each, its ends among them.
    """

    def __init__(self, whole: RowGraph, roots: Sequence[int]) -> None:
        self.whole = whole
        self.order = reachable(whole.values, roots)
        self.marks = {index: {0, whole.width(index)} for index in self.order}
        before = -1
        while before != (before := sum(map(len, self.marks.values()))):
            for index in self.order:
                self._share(index)

    def _share(self, index: int) -> None:
        value = self.whole.values[index]
        if value.op == "slice":
            self._between(index, value.args[0], value.attribute[0])
        elif value.op == "join":
            at = 0
            for arg in value.args:
                self.marks[index].add(at)
                self._between(index, arg, -at)
                at += self.whole.width(arg)
        elif value.op == "blocks":
            _, rows, columns = value.attribute[0].shape
            self._scaled(index, value.args[0], rows, columns)
            self._scaled(value.args[0], index, columns, rows)
        elif value.op == "dot" or (value.op in BY_NAME and BY_NAME[value.op].kind == ELEMENTWISE):
            width = max(map(self.whole.width, value.args)) if value.op == "dot" else value.width
            same = [arg for arg in value.args if self.whole.width(arg) == width]
            for arg in same if value.op == "dot" else [*same, index]:
                for other in same:
                    self._between(arg, other, 0)

    def _between(self, inner: int, outer: int, offset: int) -> None:
        """A cut of `inner` at a is one of `outer` at a + offset, and the other way."""
        size, length = self.whole.width(outer), self.whole.width(inner)
        self.marks[outer] |= {mark + offset for mark in self.marks[inner] if 0 <= mark + offset <= size}
        self.marks[inner] |= {mark - offset for mark in self.marks[outer] if 0 <= mark - offset <= length}

    def _scaled(self, source: int, to: int, size: int, other: int) -> None:
        """A cut of `source` between blocks of a size is one of `to` between blocks of the other size."""
        self.marks[to] |= {mark // size * other for mark in self.marks[source] if mark % size == 0}


def _without_cut_blocks(whole: RowGraph, roots: list[int]) -> tuple[RowGraph, list[int]]:
    """The same graph and roots, where block-diagonal products that are cut inside a block are products one by one."""
    marks = Marks(whole, roots)
    cut = {
        index
        for index in marks.order
        if (value := whole.values[index]).op == "blocks"
        and any(
            mark % size
            for at, size in ((index, value.attribute[0].shape[1]), (value.args[0], value.attribute[0].shape[2]))
            for mark in marks.marks[at]
        )
    }
    if not cut:
        return whole, roots
    graph = RowGraph()
    place: dict[int, int] = {}
    for index, (op, args, width, attribute) in enumerate(whole.values):
        new = [place[arg] for arg in args]
        if index not in cut:
            place[index] = graph(op, *new, width=width, attribute=attribute)
            continue
        weight, first, last = attribute
        blocks, rows, columns = weight.shape
        matrix = WeightRef(weight.number, (blocks * rows, columns))
        parts = []
        for position, block in enumerate(range(first, last)):
            part = graph.part(new[0], position * columns, columns)
            where = (matrix, block * rows, block * rows + rows, 0, columns, -1)
            parts.append(graph("product", part, width=rows, attribute=where))
        place[index] = graph.join(parts)
    return graph, [place[root] for root in roots]
