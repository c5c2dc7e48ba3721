"""The derivative of a program, as values of the same operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepscan.programs.graph import Graph, reachable
from stepscan.programs.norms import Norm, find_norms
from stepscan.programs.operations import BY_NAME, ELEMENTWISE
from stepscan.programs.program import ITEMS, STEPS, Program, Value

__all__ = ["Derivative", "differentiate"]

Pairs = tuple[tuple[int, int], ...]  # of a value of the program, and its gradient


@dataclass(frozen=True)
class Derivative:
    """What a scan computes from its last step to its first.

    A step back is given the gradients of its output (values `output_gradient`, one for each of `program.output`)
    and of the next state (values `state_gradient`, one for each of `program.next_state[leaf]`). It makes those below,
    pairs of indices: a value of the program, and its gradient, of the same width. A value that has no gradient is not
    there.

    Values that depend on x alone are made for all items of a sequence at once. So are their gradients: from those of
    the values of x that the steps read (`boundary`), those of `x…` are made after all steps.

    Attributes:
        program: whose derivative it is.
        values: the program's, then those of the derivative, in an order in which they can be computed.
        leaves: of the state before the step: values `leaf`, and their gradients.
        vectors: values `vector` (weights alone) that a step reads: gradients to be summed over rows and steps.
        products: products of a step: `d`, from which weight gradients dᵀ v and Σ d are made, v being its argument.
        boundary: values of x that a step reads.
        x: values `x`, from `boundary` and, if a step reads x itself, from there.
        x_vectors, x_products: the same as without `x_`, of what x alone makes.
    """

    program: Program
    values: tuple[Value, ...]
    leaves: Pairs
    vectors: Pairs
    products: Pairs
    boundary: Pairs
    x: Pairs
    x_vectors: Pairs
    x_products: Pairs


def differentiate(program: Program) -> Derivative:
    """The derivative of a program."""
    graph = Graph(program.values)
    edge = _boundary(program)

    def seed(pieces: Iterable[int], op: str, *which: int) -> list[tuple[int, int]]:
        return [(v, graph(op, width=graph.width(v), attribute=(*which, piece))) for piece, v in enumerate(pieces)]

    seeds = seed(program.output, "output_gradient")
    for leaf, pieces in enumerate(program.next_state):
        seeds += seed(pieces, "state_gradient", leaf)
    steps = Reversal(graph, lambda v: v in edge or program.values[v].op in ("leaf", "vector"))
    steps.run(seeds)
    boundary = [(v, d) for v, d in steps.found if v in edge]
    items = Reversal(graph, lambda v: program.values[v].op in ("x", "vector"))
    items.run(boundary)
    pairs = {
        "leaves": [(v, d) for v, d in steps.found if program.values[v].op == "leaf"],
        "vectors": [(v, d) for v, d in steps.found if program.values[v].op == "vector"],
        "products": steps.products,
        "boundary": boundary,
        "x": [(v, d) for v, d in items.found if program.values[v].op == "x"],
        "x_vectors": [(v, d) for v, d in items.found if program.values[v].op == "vector"],
        "x_products": items.products,
    }
    return _without_dead_values(program, graph.values, pairs)


def _boundary(program: Program) -> set[int]:
    """The values of x alone that a step reads, or that are its output or state."""
    depends, read = program.depends, set(program.output)
    for pieces in program.next_state:
        read.update(pieces)
    for index in reachable(program.values, read):
        if depends[index] == STEPS:
            read.update(program.values[index].args)
    return {index for index in read if depends[index] == ITEMS}


def _without_dead_values(program: Program, values: list[Value], pairs: dict[str, list[tuple[int, int]]]) -> Derivative:
    own = len(program.values)
    needed = reachable(values, [d for found in pairs.values() for _, d in found])
    place = {index: index for index in range(own)}
    kept = list(program.values)
    for index in needed:
        if index >= own:
            op, args, width, attribute = values[index]
            place[index] = len(kept)
            kept.append(Value(op, tuple(place[arg] for arg in args), width, attribute))
    moved = {name: tuple((v, place[d]) for v, d in found) for name, found in pairs.items()}
    return Derivative(program, tuple(kept), **moved)


class Reversal:
    """Gradients of values, from the last to the first.

    Args:
        graph: the values; gradients are added to it.
        ends: whether a value is one that gradients are wanted of, and none of what it is made of.

    Attributes:
        found: pairs of values that `ends` accepts and their gradients.
        products: pairs of products and the gradients of their results.
    """

    def __init__(self, graph: Graph, ends: Callable[[int], bool]) -> None:
        self.graph, self.ends = graph, ends
        self.found: list[tuple[int, int]] = []
        self.products: list[tuple[int, int]] = []
        self._gradients: dict[int, int] = {}
        self._through_products: dict[int, dict[int, list[tuple[int, tuple[int, ...]]]]] = {}

    def run(self, seeds: list[tuple[int, int]]) -> None:
        """Go back from pairs of values and their gradients."""
        graph = self.graph
        order = reachable(graph.values, [v for v, _ in seeds], self.ends)
        norms = find_norms(graph, [v for v in order if not self.ends(v)])
        scales = {norm.scale: norm for norm in norms.values()}
        for value, gradient in seeds:
            self._add(value, gradient)
        for value in reversed(order):
            if value in scales:
                self._norm_back(scales[value])
            self._products_back(value)
            d = self._gradients.get(value)
            if d is None or value in norms:
                continue
            if self.ends(value):
                self.found.append((value, self._spread(d, value)))
            else:
                self._back(value, d)

    def _back(self, value: int, d: int) -> None:
        graph, (op, args, width, _) = self.graph, self.graph.values[value]
        if op in ("product", "blocks"):
            self._product_back(value, self._spread(d, value))
            return
        operation = BY_NAME[op]
        if operation.rule is None:  # a source without a gradient
            return
        if operation.kind == ELEMENTWISE and any(graph.width(arg) < width for arg in args):
            d = self._spread(d, value)  # so that the gradient of what was spread is a sum over the row
        for arg, gradient in zip(args, operation.rule(graph, value, d, *args), strict=True):
            if gradient is not None:
                self._add(arg, gradient)

    def _product_back(self, value: int, d: int) -> None:
        op, (arg,), width, attribute = self.graph.values[value]
        self.products.append((value, d))
        if op == "blocks":
            self._add(arg, self.graph("blocks_back", d, width=self.graph.width(arg), attribute=attribute))
        else:  # wait for the other products of this argument: their gradients are one product
            self._through_products.setdefault(arg, {}).setdefault(width, []).append((d, attribute[:5]))

    def _products_back(self, value: int) -> None:
        for terms in self._through_products.pop(value, {}).values():
            attribute = tuple(number for _, part in terms for number in part)
            ds = [d for d, _ in terms]
            self._add(value, self.graph("product_back", *ds, width=self.graph.width(value), attribute=attribute))

    def _norm_back(self, norm: Norm) -> None:
        """v̂ = (v − m) s with m = mean(v), s = 1/√(mean((v − m)²) + ε): dv = s (d − mean(d) − v̂ mean(d v̂))."""
        graph = self.graph
        members = [(v, y, self._gradients[y]) for v, y in norm.members if y in self._gradients]
        if not members:
            return
        members = [(v, y, self._spread(d, y)) for v, y, d in members]
        slope = graph("multiply", graph.total(graph("dot", d, y) for _, y, d in members), 1.0 / norm.size)
        mean = graph.constant(0.0)
        if norm.centred:
            mean = graph("multiply", graph.total(graph("sum", d) for _, _, d in members), 1.0 / norm.size)
        for part in norm.parts:
            found = [(y, d) for v, y, d in members if v == part]
            y = found[0][0] if found else graph("normal", part, norm.mean, norm.scale)
            rest = graph("multiply", y, slope)
            inner = graph("subtract", found[0][1], rest) if found else graph("negate", rest)
            self._add(part, graph("normal", inner, mean, norm.scale))

    def _add(self, value: int, d: int) -> None:
        graph = self.graph
        if graph.values[value].op == "constant" or graph.number(d) == 0.0:
            return
        if graph.width(value) == 1 and graph.width(d) > 1:  # it was spread over a row
            d = graph("sum", d)
        self._gradients[value] = graph("add", self._gradients[value], d) if value in self._gradients else d

    def _spread(self, d: int, value: int) -> int:
        width = self.graph.width(value)
        return d if self.graph.width(d) == width else self.graph("spread", d, width=width)
