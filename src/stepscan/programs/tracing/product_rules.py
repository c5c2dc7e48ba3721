"""PyTorch's products with weights: linear maps, einsum, matmul; block-diagonal ones for heads."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stepscan.programs.rows import Refusal, Row, WeightRef
from stepscan.programs.tracing.row_rules import sum_over
from stepscan.programs.tracing.translation import Rules, Translation
from stepscan.programs.tracing.weights import WeightValue

__all__ = ["PRODUCT_RULES"]

_A = torch.ops.aten
T = Translation
_TWO_ROWS = "multiplies two things that both change from row to row as matrices (as attention does)"


def _linear(t: T, x: Any, weight: Any, bias: Any = None) -> Row:
    if not isinstance(x, Row) or not isinstance(weight, WeightValue):
        raise Refusal(_TWO_ROWS)
    inner = string.ascii_lowercase[: len(x.shape) - 1]
    return _contract(t, x, inner + "y", weight, "zy", inner + "z", bias)


def _add_matmul(t: T, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Row:
    product = _matmul(t, a, b)
    if alpha != 1:
        product = t.elements("multiply", product, alpha)
    if beta != 1:
        raise Refusal(f"uses addmm with beta = {beta}: write bias * {beta} + a @ b")
    return t.elements("add", product, bias)


def _matmul(t: T, a: Any, b: Any) -> Row:
    """a @ b as an einsum: leading dimensions of the weight are aligned with the row's, from the right."""
    if isinstance(a, Row) and isinstance(b, Row):
        raise Refusal(_TWO_ROWS)
    row, weight = (a, b) if isinstance(a, Row) else (b, a)
    size, rank = len(row.shape) + 1, weight.tensor.dim()
    if rank == 1:
        return _times_vector(t, row, weight)
    is_vector = isinstance(a, Row) and size == 2
    if rank > 2 and size - 2 <= rank - 2:
        raise Refusal(
            "multiplies so that the batch meets a dimension of the weight: use torch.einsum('bni,noi->bno', …)"
        )
    outer = string.ascii_lowercase[: size - 3] if not is_vector else ""
    shared = outer[len(outer) - (rank - 2) :] if rank > 2 else ""
    if isinstance(a, Row):
        middle = "" if is_vector else "x"
        return _contract(t, row, outer + middle + "y", weight, shared + "yz", outer + middle + "z")
    if size < 3:
        raise Refusal("multiplies a matrix and the batch itself: write x @ W.T or F.linear(x, W)")
    return _contract(t, row, outer + "yx", weight, shared + "zy", outer + "zx")


def _times_vector(t: T, row: Row, weight: WeightValue) -> Row:
    matrix = t.tape.record(_A.unsqueeze.default, weight, 0)
    letters = string.ascii_lowercase[: len(row.shape) - 1]
    product = _contract(t, row, letters + "y", matrix, "zy", letters + "z")
    return product.moved(product.index[..., 0])


def _einsum(t: T, equation: str, operands: Sequence[Any], **_: Any) -> Row:
    equation = equation.replace(" ", "")
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if not arrow or "." in equation or len(terms) != 2 or any(len(set(term)) < len(term) for term in (*terms, output)):
        raise Refusal(f"uses einsum({equation!r}): a program has those of two operands, written like 'bni,noi->bno'")
    order = (0, 1) if isinstance(operands[0], Row) else (1, 0)
    (row, weight), (letters, others) = ([operands[k] for k in order], [terms[k] for k in order])
    batch = letters[0]
    if isinstance(weight, Row):
        return _einsum_of_rows(t, row, letters, weight, others, output)
    if batch in others or output[:1] != batch:
        raise Refusal(f"uses einsum({equation!r}), which mixes the rows of a batch or moves it")
    return _contract(t, row, letters[1:], weight, others, output[1:])


def _einsum_of_rows(t: T, a: Row, first: str, b: Row, second: str, output: str) -> Row:
    """An outer product, or sums of one, element by element."""
    if not first[0] == second[0] == output[:1]:
        raise Refusal("mixes the rows of a batch (einsum)")
    letters = output[1:] + "".join(sorted(set(first[1:] + second[1:]) - set(output[1:])))

    def aligned(row: Row, own: str) -> Row:
        index = np.transpose(row.index, [own.index(letter) for letter in letters if letter in own])
        return row.moved(index.reshape([row.shape[own.index(letter)] if letter in own else 1 for letter in letters]))

    product = t.elements("multiply", aligned(a, first[1:]), aligned(b, second[1:]))
    summed = len(letters) - len(output[1:])
    if not summed:
        return product
    return sum_over(t, product, tuple(range(len(output[1:]), len(letters))), False)


def _contract(
    t: T, row: Row, letters: str, weight: WeightValue, others: str, output: str, bias: WeightValue | None = None
) -> Row:
    """A product with a weight; letters name dimensions, of the row without its batch."""
    shared = [x for x in others if x in letters and x in output]
    summed = [x for x in others if x in letters and x not in output]
    made = [x for x in others if x not in letters]
    kept = [x for x in letters if x not in others]
    if set(output) != {*shared, *made, *kept} or len(output) != len({*shared, *made, *kept}):
        raise Refusal("sums over a dimension that only one operand has: write .sum(dim) before the product")
    sizes = dict(zip(letters, row.shape, strict=True)) | dict(zip(others, weight.tensor.shape, strict=True))
    index = np.transpose(row.index, [letters.index(x) for x in [*kept, *shared, *summed]])
    columns, rows, blocks = (math.prod(sizes[x] for x in group) for group in (summed, made, shared))
    order = [others.index(x) for x in [*shared, *made, *summed]]
    if order != list(range(len(order))):
        weight = t.tape.record(_A.permute.default, weight, order)
    outer = [sizes[x] for x in kept]
    parts = [
        _product(t, t.graph.flat(row, part), weight, (blocks, rows, columns), bias)
        for part in index.reshape(math.prod(outer), blocks * columns)
    ]
    result = t.graph.joined(parts, [sizes[x] for x in [*kept, *shared, *made]])
    found = [*kept, *shared, *made]
    return result.moved(np.transpose(result.index, [found.index(x) for x in output]))


def _product(t: T, x: int, weight: WeightValue, sizes: tuple[int, int, int], bias: WeightValue | None) -> int:
    blocks, rows, columns = sizes
    base, start = t.tape.place(weight)
    if start % (rows * columns if blocks > 1 else columns) or base.tensor.numel() % (
        rows * columns if blocks > 1 else columns
    ):
        base, start = weight, 0
    if blocks > 1:
        first = start // (rows * columns)
        ref = WeightRef(base.number, (base.tensor.numel() // (rows * columns), rows, columns))
        return t.graph("blocks", x, width=blocks * rows, attribute=(ref, first, first + blocks))
    ref, row = WeightRef(base.number, (base.tensor.numel() // columns, columns)), start // columns
    addend, aligned = _bias(t, bias, row)
    where = (ref, row, row + rows, 0, columns, aligned)
    product = t.graph("product", x, width=rows, attribute=where)
    return product if addend is None else t.graph("add", product, addend)


def _bias(t: T, bias: WeightValue | None, row: int) -> tuple[int | None, WeightRef | int]:
    """A bias as what is added, or as part of the product: where its elements are those of the product's rows."""
    if bias is None:
        return None, -1
    base, start = t.tape.place(bias)
    if start == row:
        return None, WeightRef(base.number, (base.tensor.numel(),))
    return t.vector(bias), -1


PRODUCT_RULES: Rules = {
    **{_A.linear: _linear, _A.addmm: _add_matmul, _A.einsum: _einsum},
    **dict.fromkeys((_A.mm, _A.matmul, _A.bmm, _A.mv), _matmul),
}
