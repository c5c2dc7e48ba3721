"""How values are computed, and the fusion of several operations into one that the native library has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from stepscan.programs.lowering.codes import PRODUCTS, REDUCTIONS, SAME, SOURCES
from stepscan.programs.program import Value

__all__ = ["Code", "Definition", "Definitions", "fuse", "load_single"]


@dataclass(frozen=True)
class Definition:
    """How a value is computed: of reductions of several values, each with its own operation, the sum.

    Attributes:
        op: the name of an operation, of the library or of programs.
        args: numbers of values.
        width: its width.
        attribute: as in `Value`; of a reduction, the name and the number of arguments of each operation.
    """

    op: str
    args: tuple[int, ...]
    width: int
    attribute: tuple[Any, ...] = ()

    @property
    def is_reduction(self) -> bool:
        """Whether it is one number for each row, made of all numbers of its arguments."""
        return self.op == "reduce"


@dataclass
class Definitions:
    """The values of a program, by number, and those that lowering adds."""

    values: list[Definition] = field(default_factory=list)

    @classmethod
    def of(cls, values: Iterable[Value]) -> Definitions:
        """Those of a program or a derivative."""
        found = []
        for op, args, width, attribute in values:
            if op in REDUCTIONS:
                found.append(Definition("reduce", args, width, ((op, len(args)),)))
            else:
                found.append(Definition(SAME.get(op, op), args, width, attribute))
        return cls(found)

    def __getitem__(self, value: int) -> Definition:
        return self.values[value]

    def add(self, op: str, args: tuple[int, ...], width: int, attribute: tuple[Any, ...] = ()) -> int:
        """The number of a new value."""
        self.values.append(Definition(op, args, width, attribute))
        return len(self.values) - 1

    def order(self, roots: Iterable[int], there: Callable[[int], bool]) -> list[int]:
        """Values to be computed for `roots`, arguments first; not sources, nor what is `there`."""
        seen: set[int] = set()
        order: list[int] = []
        stack = [(root, False) for root in reversed(list(roots))]
        while stack:
            value, done = stack.pop()
            if done:
                order.append(value)
            elif value not in seen and self[value].op not in SOURCES and not there(value):
                seen.add(value)
                stack.append((value, True))
                stack += [(arg, False) for arg in reversed(self[value].args)]
        return order


Code = dict[int, Definition]  # definitions of some values, in the order in which they are computed


def fuse(definitions: Definitions, order: list[int], keep: set[int]) -> Code:
    """Definitions of the values of `order`, in which those that only one other value reads may be missing, being a part
    of its operation; none of `keep`."""
    uses: dict[int, int] = {}
    for value in order:
        for arg in definitions[value].args:
            uses[arg] = uses.get(arg, 0) + 1
    inside = set(order)
    code: Code = {}
    for value in order:

        def single(arg: int, op: str) -> bool:
            return arg in inside and arg not in keep and uses[arg] == 1 and arg in code and code[arg].op == op

        fused, swallowed = _fused(definitions, definitions[value], code, single)
        for arg in swallowed:
            del code[arg]
        code[value] = fused
    needed = set(keep)
    for value in reversed(order):
        if value in needed and value in code:
            needed.update(code[value].args)
    return {value: definition for value, definition in code.items() if value in needed}


Single = Callable[[int, str], bool]


def _fused(all_: Definitions, value: Definition, code: Code, single: Single) -> tuple[Definition, tuple[int, ...]]:
    """What computes `value`, and the values that it makes needless."""
    for rule in (_reductions, _blend, _sums_of_products, _activations, _slopes, _rests):
        found = rule(all_, value, code, single)
        if found is not None:
            op, args, swallowed = found
            attribute = sum((code[arg].attribute for arg in swallowed), ()) if op == "reduce" else ()
            return Definition(op, args, value.width, attribute), swallowed
    return value, ()


Found = tuple[str, tuple[int, ...], tuple[int, ...]] | None


def _reductions(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    if value.op != "add" or not all(single(arg, "reduce") for arg in value.args) or len(set(value.args)) < 2:
        return None
    a, b = value.args
    if all_[code[a].args[0]].width != all_[code[b].args[0]].width:
        return None
    if any(op == "largest" for op, _ in code[a].attribute + code[b].attribute):
        return None
    return "reduce", code[a].args + code[b].args, (a, b)


def _is_rest(all_: Definitions, value: int) -> bool:  # 1 − something
    op, args = all_[value].op, all_[value].args
    return op == "subtract" and all_[args[0]].op == "constant" and all_[args[0]].attribute == (1.0,)


def _blend(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    """a b + (1 − a) c"""
    if value.op != "add" or len(set(value.args)) < 2:
        return None
    for rest, other in (value.args, value.args[::-1]):
        if not single(other, "multiply"):
            continue
        if single(rest, "multiply_rest"):
            c, a = code[rest].args
            if a in code[other].args:
                first, second = code[other].args
                return "blend", (a, second if first == a else first, c), (rest, other)
    return None


def _sums_of_products(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    if value.op not in ("add", "subtract"):
        return None
    first, second = value.args
    one, two = single(first, "multiply"), single(second, "multiply")
    if value.op == "add" and first == second:
        return None
    if value.op == "add" and one and two:  # the first one is rounded once, with the sum
        return "two_products", code[first].args + code[second].args, (first, second)
    if one:
        return "fma" if value.op == "add" else "product_less", (*code[first].args, second), (first,)
    if two:
        return "fma" if value.op == "add" else "subtract_product", (*code[second].args, first), (second,)
    return None


def _activations(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    if value.op not in ("sigmoid", "tanh"):
        return None
    (arg,) = value.args
    for op in ("fma", "add"):
        if single(arg, op):
            return f"{value.op}_{op}", code[arg].args, (arg,)
    return None


def _slopes(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    if value.op == "where":  # the slope of max(0, a)
        mask, d, zero = value.args
        if _is_zero(all_, zero) and all_[mask].op == "greater" and _is_zero(all_, all_[mask].args[1]):
            return "relu_slope", (d, all_[mask].args[0]), (mask,) if single(mask, "greater") else ()
    if value.op in ("sigmoid_slope", "tanh_slope") and single(value.args[0], "multiply"):
        return f"{value.op}_product", (*code[value.args[0]].args, value.args[1]), (value.args[0],)
    return None


def _is_zero(all_: Definitions, value: int) -> bool:
    return all_[value].op == "constant" and all_[value].attribute == (0.0,)


def _rests(all_: Definitions, value: Definition, code: Code, single: Single) -> Found:
    """a (1 − b)"""
    if value.op != "multiply":
        return None
    for arg, other in (value.args, value.args[::-1]):
        if _is_rest(all_, arg):
            return "multiply_rest", (other, all_[arg].args[1]), (arg,) if single(arg, "subtract") else ()
    return None


def load_single(definitions: Definitions, code: Code) -> Code:
    """Items of one number that wider values read are values of their own."""
    new: Code = {}
    loaded: dict[int, int] = {}
    for value, definition in code.items():
        args = list(definition.args)
        for place, arg in enumerate(args):
            source = definitions[arg]
            single = source.op in ("x", "output_gradient") and source.width == 1
            if single and definition.op not in PRODUCTS and definition.width > 1:
                if arg not in loaded:
                    loaded[arg] = definitions.add("copy", (arg,), 1)
                    new[loaded[arg]] = definitions[loaded[arg]]
                args[place] = loaded[arg]
        new[value] = replace(definition, args=tuple(args))
    return new
