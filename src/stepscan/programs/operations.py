"""The operations of programs: what each computes, and its derivative. The one place that says so.

A value is a row of `width` numbers for each sequence of a batch, `[B, width]`. A code is an operation's position in
`OPERATIONS`, so that new ones are appended.

A row of the width 1 is spread over the width of an element-wise operation's others. Conditions are 1 or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["BY_NAME", "CODES", "OPERATIONS", "Operation"]

# kinds
SOURCE, PRODUCT, ROW, ELEMENTWISE = "source", "product", "row", "elementwise"


class Graph(Protocol):
    """What a derivative is written with: `graph("multiply", a, b)` is the index of that value; numbers are
    constants."""

    def __call__(self, op: str, *args: Any) -> Any: ...


# (graph, y, d, *args) → the gradients of the arguments of y, given that of y; None for one that has none
Rule = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        name: what programs call it.
        kind: of the above. What sources and products compute is in `stepscan.programs.reference`.
        arity: number of arguments; None for any of at least one.
        attribute: number of its attribute's numbers; None for any.
        compute: what it is in NumPy, for rows and elements.
        rule: its derivative; None for sources and products (see `stepscan.programs.derivative`).
    """

    name: str
    kind: str
    arity: int | None
    attribute: int | None = 0
    compute: Callable[..., Any] | None = None
    rule: Rule | None = None


def _sigmoid(a: Any) -> Any:
    e = np.exp(-np.abs(a))
    return np.where(np.asarray(a) >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(a: Any) -> Any:
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))


_erf_of_numbers = np.vectorize(math.erf, otypes=[np.float64])


def _erf(a: Any) -> Any:
    return _erf_of_numbers(a).astype(a.dtype)


def _sum_squares(a: Any, m: Any) -> Any:
    return ((a - m) ** 2).sum(-1, keepdims=True)


def _share(d: Any, a: Any, b: Any) -> Any:
    return np.where(a > b, d, np.where(a == b, d * 0.5, 0.0))


def _row_largest(g: Graph, y: Any, d: Any, a: Any) -> tuple[Any, ...]:
    mask = g("subtract", 1.0, g("greater", y, a))  # those that are the largest, which share the gradient
    return (g("multiply", g("divide", d, g("sum", mask)), mask),)


def _divide(g: Graph, y: Any, d: Any, a: Any, b: Any) -> tuple[Any, ...]:
    quotient = g("divide", d, b)
    return quotient, g("negate", g("multiply", quotient, y))


def _squares(g: Graph, y: Any, d: Any, a: Any, m: Any) -> tuple[Any, ...]:
    slope = g("multiply", g("multiply", d, 2.0), g("subtract", a, m))
    return slope, g("negate", slope)


def _normal(g: Graph, y: Any, d: Any, a: Any, m: Any, s: Any) -> tuple[Any, ...]:
    slope = g("multiply", d, s)
    return slope, g("negate", slope), g("multiply", d, g("subtract", a, m))


def _where(g: Graph, y: Any, d: Any, m: Any, a: Any, b: Any) -> tuple[Any, ...]:
    return None, g("where", m, d, 0.0), g("where", m, 0.0, d)


def _erf_slope(g: Graph, y: Any, d: Any, a: Any) -> tuple[Any, ...]:
    return (g("multiply", g("multiply", d, 2 / math.sqrt(math.pi)), g("exp", g("negate", g("multiply", a, a)))),)


def _none(g: Graph, y: Any, d: Any, *args: Any) -> tuple[Any, ...]:
    return (None,) * len(args)


def _e(name: str, arity: int, compute: Callable[..., Any], rule: Rule) -> Operation:
    return Operation(name, ELEMENTWISE, arity, 0, compute, rule)


OPERATIONS: tuple[Operation, ...] = (
    # sources: attribute
    Operation("x", SOURCE, 0, 2),  # start, stop: part of the item
    Operation("leaf", SOURCE, 0, 3),  # leaf, start, stop: part of the state
    Operation("vector", SOURCE, 0, 3),  # weight, start, stop: part of a weight, flattened; the same in all rows
    Operation("constant", SOURCE, 0, 1),  # number
    # of derivatives: the gradients that a step is given
    Operation("output_gradient", SOURCE, 0, 1),  # piece of the output
    Operation("state_gradient", SOURCE, 0, 2),  # leaf, piece of the next state
    # products
    Operation(
        "product", PRODUCT, 1, 6
    ),  # weight, row0, row1, col0, col1, bias: v W[row0:row1, col0:col1]ᵀ + b[row0:row1]
    Operation(
        "blocks", PRODUCT, 1, 3
    ),  # weight [n, o, i], first, last: blocks first … last − 1 of v, each times its W[k]ᵀ
    # of derivatives: the gradient of v from those of all products with v, as one sum
    Operation(
        "product_back", PRODUCT, None, None
    ),  # 5 numbers for each argument: weight, row0, row1, col0, col1: Σ d W
    Operation("blocks_back", PRODUCT, 1, 3),  # weight, first, last: blocks of d, each times its W[k]
    # rows → width 1
    Operation("sum", ROW, 1, 0, lambda a: a.sum(-1, keepdims=True), lambda g, y, d, a: (d,)),
    Operation("largest", ROW, 1, 0, lambda a: a.max(-1, keepdims=True), _row_largest),
    Operation("squares", ROW, 2, 0, _sum_squares, _squares),  # Σ (a − m)², m of width 1
    Operation(
        "dot",
        ROW,
        2,
        0,
        lambda a, b: (a * b).sum(-1, keepdims=True),
        lambda g, y, d, a, b: (g("multiply", d, b), g("multiply", d, a)),
    ),
    # element-wise
    _e("spread", 1, lambda a: a, lambda g, y, d, a: (d,)),  # a of width 1 over the value's width
    _e("hold", 1, lambda a: a, _none),  # a, whose gradient ends here (detach)
    _e("negate", 1, np.negative, lambda g, y, d, a: (g("negate", d),)),
    _e("sigmoid", 1, _sigmoid, lambda g, y, d, a: (g("sigmoid_slope", d, y),)),
    _e("tanh", 1, np.tanh, lambda g, y, d, a: (g("tanh_slope", d, y),)),
    _e("relu", 1, lambda a: np.maximum(a, 0), lambda g, y, d, a: (g("where", g("greater", y, 0.0), d, 0.0),)),
    _e("exp", 1, np.exp, lambda g, y, d, a: (g("multiply", d, y),)),
    _e("expm1", 1, np.expm1, lambda g, y, d, a: (g("multiply", d, g("add", y, 1.0)),)),
    _e("log", 1, np.log, lambda g, y, d, a: (g("divide", d, a),)),
    _e("log1p", 1, np.log1p, lambda g, y, d, a: (g("divide", d, g("add", a, 1.0)),)),
    _e("softplus", 1, _softplus, lambda g, y, d, a: (g("multiply", d, g("sigmoid", a)),)),
    _e("sqrt", 1, np.sqrt, lambda g, y, d, a: (g("divide", g("multiply", d, 0.5), y),)),
    _e(
        "rsqrt",
        1,
        lambda a: 1 / np.sqrt(a),
        lambda g, y, d, a: (g("multiply", g("multiply", d, -0.5), g("multiply", y, g("multiply", y, y))),),
    ),
    _e("reciprocal", 1, lambda a: 1 / a, lambda g, y, d, a: (g("negate", g("multiply", d, g("multiply", y, y))),)),
    _e("sin", 1, np.sin, lambda g, y, d, a: (g("multiply", d, g("cos", a)),)),
    _e("cos", 1, np.cos, lambda g, y, d, a: (g("negate", g("multiply", d, g("sin", a))),)),
    _e("erf", 1, _erf, _erf_slope),
    _e("add", 2, np.add, lambda g, y, d, a, b: (d, d)),
    _e("subtract", 2, np.subtract, lambda g, y, d, a, b: (d, g("negate", d))),
    _e("multiply", 2, np.multiply, lambda g, y, d, a, b: (g("multiply", d, b), g("multiply", d, a))),
    _e("divide", 2, np.divide, _divide),
    _e("maximum", 2, np.maximum, lambda g, y, d, a, b: (g("share", d, a, b), g("share", d, b, a))),
    _e("minimum", 2, np.minimum, lambda g, y, d, a, b: (g("share", d, b, a), g("share", d, a, b))),
    _e("greater", 2, lambda a, b: (a > b).astype(a.dtype), _none),
    _e("where", 3, lambda m, a, b: np.where(m != 0, a, b), _where),  # a where m is not 0, else b
    _e("normal", 3, lambda a, m, s: (a - m) * s, _normal),  # m, s of width 1: of a norm, see `derivative`
    # of derivatives
    _e("sigmoid_slope", 2, lambda d, y: d * (y * (1 - y)), _none),
    _e("tanh_slope", 2, lambda d, y: d * (1 - y * y), _none),
    _e("share", 3, _share, _none),  # d where a > b, half of it where they are equal, else 0: as PyTorch
)
BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
CODES: dict[str, int] = {operation.name: code for code, operation in enumerate(OPERATIONS)}
