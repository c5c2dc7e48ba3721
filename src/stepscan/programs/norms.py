"""Norms of rows in a program, whose derivative has a closed form that is shorter than that of their operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stepscan.programs.graph import Graph

__all__ = ["Norm", "find_norms"]

_MOST_TERMS = 256


@dataclass(frozen=True)
class Norm:
    """`normal(v, mean, scale)` for parts v of a row, side by side: scale = 1/√(Σ (v − mean)² / size + ε).

    Attributes:
        parts: the v that mean and scale are of.
        members: pairs of v and `normal` of it; of a part that nothing reads there is none.
        mean, scale: of width 1.
        size: of all parts together.
        centred: whether mean is that of the parts; otherwise it is 0.
    """

    parts: tuple[int, ...]
    members: tuple[tuple[int, int], ...]
    mean: int
    scale: int
    size: int
    centred: bool


def find_norms(graph: Graph, order: Iterable[int]) -> dict[int, Norm]:
    """For each value `normal` among `order` that is of a norm, that norm.

    A norm is one if nothing else reads its scale and its mean: a gradient would have to reach them.
    """
    order = list(order)
    readers: dict[int, list[int]] = {}
    for index in order:
        for arg in set(graph.values[index].args):
            readers.setdefault(arg, []).append(index)
    found: dict[int, Norm] = {}
    for index in order:
        if graph.values[index].op == "normal" and index not in found:
            norm = _norm(graph, index, readers)
            if norm is not None:
                found.update({y: norm for _, y in norm.members})
    return found


def _norm(graph: Graph, index: int, readers: dict[int, list[int]]) -> Norm | None:
    values = graph.values
    _, mean, scale = values[index].args
    parts = _parts(graph, scale, mean)
    if parts is None or len(set(parts)) < len(parts):
        return None
    normals = readers[scale]
    members = tuple((values[y].args[0], y) for y in normals)
    if any(values[y].op != "normal" or values[y].args[1:] != (mean, scale) for y in normals):
        return None
    if not {v for v, _ in members} <= set(parts) or len({v for v, _ in members}) < len(members):
        return None
    size = sum(graph.width(part) for part in parts)
    centred = graph.number(mean) != 0.0
    if centred and not _is_mean(graph, mean, parts, size):
        return None
    squares = {reader for reader in readers.get(mean, []) if values[reader].op == "squares"}
    if centred and not set(readers[mean]) <= squares | set(normals):
        return None
    return Norm(parts, members, mean, scale, size, centred)


def _parts(graph: Graph, scale: int, mean: int) -> tuple[int, ...] | None:
    """The parts v of 1/√(Σ (v − mean)² / size + ε), size being theirs; None if scale is not that."""
    values = graph.values
    if values[scale].op != "rsqrt":
        return None
    total = values[scale].args[0]
    if values[total].op == "add":
        total = next((a for a, b in _both_ways(values[total].args) if graph.number(b) is not None), -1)
    if total < 0 or values[total].op != "multiply":
        return None
    inner, factor = next(((a, graph.number(b)) for a, b in _both_ways(values[total].args) if graph.number(b)), (-1, 0))
    terms = _terms(graph, inner) if inner >= 0 else []
    if any(values[term].op != "squares" or values[term].args[1] != mean for term in terms):
        return None
    parts = tuple(values[term].args[0] for term in terms)
    return parts if parts and factor == 1.0 / sum(graph.width(part) for part in parts) else None


def _is_mean(graph: Graph, mean: int, parts: tuple[int, ...], size: int) -> bool:
    if graph.values[mean].op != "multiply":
        return False
    for total, factor in _both_ways(graph.values[mean].args):
        if graph.number(factor) == 1.0 / size:
            terms = [graph.values[term] for term in _terms(graph, total)]
            return all(term.op == "sum" for term in terms) and sorted(t.args[0] for t in terms) == sorted(parts)
    return False


def _both_ways(args: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return (args[0], args[1]), (args[1], args[0])


def _terms(graph: Graph, index: int) -> list[int]:
    """What a sum adds up; nothing if that is too much to be a norm."""
    found: list[int] = []
    left = [index]
    while left and len(found) + len(left) <= _MOST_TERMS:
        term = left.pop()
        if graph.values[term].op == "add":
            left += graph.values[term].args
        else:
            found.append(term)
    return [] if left else found
