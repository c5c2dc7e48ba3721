"""PyTorch's operations over a row: sums, norms, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from stepscan.programs.rows import Refusal, Row, as_axes
from stepscan.programs.tracing.translation import Rules, Translation

__all__ = ["ROW_RULES", "sum_over"]

_A = torch.ops.aten
T = Translation


def _axes(row: Row, dim: Any) -> tuple[int, ...]:
    return as_axes(dim, len(row.shape) + 1)


def _groups(row: Row, axes: Sequence[int]) -> tuple[np.ndarray[Any, Any], list[int]]:
    """The indices `[groups, elements]` of what is reduced together, and the shape of the groups."""
    kept = [axis for axis in range(len(row.shape)) if axis not in axes]
    index = np.transpose(row.index, [*kept, *axes])
    outer = [row.shape[axis] for axis in kept]
    return index.reshape(math.prod(outer), -1), outer


def _reduced(t: T, row: Row, axes: Sequence[int], keep: bool, reduce: Callable[[int], int]) -> Row:
    """Each group as a value → one number."""
    index, outer = _groups(row, axes)
    result = t.graph.joined([reduce(t.graph.flat(row, group)) for group in index], outer)
    return _kept(result, row, axes) if keep else result


def _kept(result: Row, row: Row, axes: Sequence[int]) -> Row:
    shape = [1 if axis in axes else size for axis, size in enumerate(row.shape)]
    return result.moved(result.index.reshape(shape))


def sum_over(t: T, row: Row, axes: Sequence[int], keep: bool) -> Row:
    """A sum over axes of a row: of its elements, or of parts of it that are longer than there are parts."""
    index, outer = _groups(row, axes)
    if len(index) <= index.shape[1]:
        return _reduced(t, row, axes, keep, lambda group: t.graph("sum", group))
    total = t.graph.total(t.graph.flat(row, part) for part in index.T)
    result = t.graph.row(total, outer)
    return _kept(result, row, axes) if keep else result


def _sum(t: T, row: Row, dim: Any = None, keepdim: bool = False, **_: Any) -> Row:
    return sum_over(t, row, _axes(row, dim), keepdim)


def _mean(t: T, row: Row, dim: Any = None, keepdim: bool = False, **_: Any) -> Row:
    axes = _axes(row, dim)
    return t.elements("multiply", sum_over(t, row, axes, keepdim), 1.0 / math.prod(row.shape[axis] for axis in axes))


def _largest(t: T, row: Row, dim: Any = None, keepdim: bool = False) -> Row:
    return _reduced(t, row, _axes(row, dim), keepdim, lambda group: t.graph("largest", group))


def _least(t: T, row: Row, dim: Any = None, keepdim: bool = False) -> Row:
    return t.elements("negate", _largest(t, t.elements("negate", row), dim, keepdim))


def _extreme(found: Any) -> Any:
    """max and min: of two tensors, or over a dimension, with indices that nothing may read."""

    def rule(t: T, a: Any, b: Any = None, keepdim: bool = False) -> Any:
        if not isinstance(b, int) and b is not None:
            return t.elements("maximum" if found is _largest else "minimum", a, b)
        return [found(t, a, b, keepdim), None]

    return rule


def _variance(
    t: T,
    row: Row,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Row:
    axes = _axes(row, None if isinstance(dim, bool) else dim)
    if correction is None:
        correction = float(unbiased if not isinstance(dim, bool) else dim)
    count = math.prod(row.shape[axis] for axis in axes)

    def reduce(group: int) -> int:
        mean = t.graph("multiply", t.graph("sum", group), 1.0 / count)
        return t.graph("multiply", t.graph("squares", group, mean), 1.0 / max(count - correction, 0.0))

    return _reduced(t, row, axes, keepdim, reduce)


def _length(t: T, row: Row, order: float = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Row:
    if order != 2:
        raise Refusal(f"computes a norm of the order {order}: a program has that of the order 2")
    return _root(t, _reduced(t, row, _axes(row, dim), keepdim, lambda group: t.graph("dot", group, group)))


def _deviation(t: T, *args: Any, **kwargs: Any) -> Row:
    return _root(t, _variance(t, *args, **kwargs))


def _root(t: T, total: Row) -> Row:
    """√total with the gradient that PyTorch gives to a norm: none where it is 0, as in a row of zeros.

    What is 0 is chosen away before the root as well, so that no derivative of it is infinite."""
    root = t.elements("sqrt", t.elements("where", total, total, 1.0))
    return t.elements("where", total, root, 0.0)


def _softmax(t: T, row: Row, dim: int, dtype: Any = None) -> Row:
    exponentials, total = _exponentials(t, row, dim)
    return t.elements("divide", exponentials, total)


def _log_softmax(t: T, row: Row, dim: int, dtype: Any = None) -> Row:
    return t.elements("subtract", row, _log_sum_exp(t, row, dim, True))


def _log_sum_exp(t: T, row: Row, dim: Any, keepdim: bool = False) -> Row:
    axes = _axes(row, dim)
    _, total = _exponentials(t, row, dim)
    largest = t.elements("hold", _largest(t, row, dim, True))
    result = t.elements("add", t.elements("log", total), largest)
    kept = [size for axis, size in enumerate(row.shape) if axis not in axes]
    return result if keepdim else result.moved(result.index.reshape(kept))


def _exponentials(t: T, row: Row, dim: Any) -> tuple[Row, Row]:
    """exp(v − max v) and their sum. The gradient of the largest would be 0."""
    largest = t.elements("hold", _largest(t, row, dim, True))
    exponentials = t.elements("exp", t.elements("subtract", row, largest))
    return exponentials, sum_over(t, exponentials, _axes(row, dim), True)


def _normalised(t: T, row: Row, index: Any, epsilon: float, centred: bool) -> Row:
    """The norm of each of some groups of a row `[groups, elements]`, in their order."""
    graph, parts = t.graph, []
    for group in index:
        value = graph.flat(row, group)
        mean = graph("multiply", graph("sum", value), 1.0 / len(group)) if centred else graph.constant(0.0)
        variance = graph("multiply", graph("squares", value, mean), 1.0 / len(group))
        parts.append(graph("normal", value, mean, graph("rsqrt", graph("add", variance, float(epsilon)))))
    return graph.joined(parts, index.shape)


def _affine(t: T, row: Row, gain: Any, bias: Any) -> Row:
    if gain is not None:
        row = t.elements("multiply", row, gain)
    return row if bias is None else t.elements("add", row, bias)


def _layer_norm(
    t: T, row: Row, shape: Sequence[int], gain: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Row:
    index = row.index.reshape(-1, math.prod(shape))
    normal = _normalised(t, row, index, eps, True)
    return _affine(t, normal.moved(normal.index.reshape(row.shape)), gain, bias)


def _rms_norm(t: T, row: Row, shape: Sequence[int], gain: Any = None, eps: float | None = None) -> Row:
    index = row.index.reshape(-1, math.prod(shape))
    normal = _normalised(t, row, index, torch.finfo(t.dtype).eps if eps is None else eps, False)
    return _affine(t, normal.moved(normal.index.reshape(row.shape)), gain, None)


def _group_norm(t: T, row: Row, groups: int, gain: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Row:
    if len(row.shape) > 1 and (gain is not None or bias is not None):
        raise Refusal("uses group_norm with weights on more than [B, features]: scale afterwards")
    normal = _normalised(t, row, row.index.reshape(groups, -1), eps, True)
    return _affine(t, normal.moved(normal.index.reshape(row.shape)), gain, bias)


def _batch_norm(
    t: T, row: Row, gain: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float, *_: Any
) -> Row:
    if training or mean is None:
        raise Refusal("mixes the rows of a batch (batch_norm in training): use layer_norm")
    scale = t.tape.record(_A.rsqrt.default, t.tape.record(_A.add.Scalar, variance, eps))
    return _affine(t, t.elements("multiply", t.elements("subtract", row, mean), scale), gain, bias)


ROW_RULES: Rules = {
    **{_A.sum: _sum, _A.mean: _mean, _A.amax: _largest, _A.amin: _least, _A.var: _variance},
    **{_A.max: _extreme(_largest), _A.min: _extreme(_least), _A.linalg_vector_norm: _length, _A.norm: _length},
    _A.std: _deviation,
    **dict.fromkeys((_A.softmax, _A._softmax), _softmax),
    **dict.fromkeys((_A.log_softmax, _A._log_softmax), _log_softmax),
    **{_A.logsumexp: _log_sum_exp, _A.layer_norm: _layer_norm, _A.rms_norm: _rms_norm},
    **{_A.group_norm: _group_norm, _A.batch_norm: _batch_norm},
}
