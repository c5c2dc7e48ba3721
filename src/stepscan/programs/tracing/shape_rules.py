"""PyTorch's operations that move elements: views, slices, joins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stepscan.programs.rows import Refusal, Row, normal_axis
from stepscan.programs.tracing.capture import BATCH
from stepscan.programs.tracing.translation import Rules, Translation

__all__ = ["SHAPE_RULES"]

_A = torch.ops.aten
T = Translation


def _axis(row: Row, axis: int) -> int:
    return normal_axis(axis, len(row.shape) + 1)


def _reshape(t: T, row: Row, *_: Any, **__: Any) -> Row:
    """Any view: the batch must remain the first dimension."""
    shape = t.shape_of_result
    if not shape or shape[0] != BATCH or math.prod(shape[1:]) != math.prod(row.shape):
        raise Refusal(
            f"reshapes [B, {', '.join(map(str, row.shape))}] to {list(shape)} (of a batch of {BATCH}): the batch must "
            "remain a dimension of its own, the first"
        )
    return row.moved(row.index.reshape(shape[1:]))


def _expand(t: T, row: Row, *_: Any, **__: Any) -> Row:
    shape = t.shape_of_result
    if len(shape) != len(row.shape) + 1 or shape[0] != BATCH:
        raise Refusal(f"expands rows to {list(shape)} (of a batch of {BATCH}): add dimensions after the first")
    return row.moved(np.broadcast_to(row.index, shape[1:]))


def _transpose(t: T, row: Row, first: int, second: int) -> Row:
    return row.moved(np.swapaxes(row.index, _axis(row, first), _axis(row, second)))


def _permute(t: T, row: Row, axes: Sequence[int]) -> Row:
    if axes[0] % (len(row.shape) + 1) != 0:
        raise Refusal("moves the batch: it must remain the first dimension")
    return row.moved(np.transpose(row.index, [_axis(row, axis) for axis in axes[1:]]))


def _parts(t: T, row: Row, *args: Any, **kwargs: Any) -> list[Row]:
    """chunk, split and split_with_sizes, from the sizes that PyTorch found."""
    axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    place = _axis(row, axis)
    ends = np.cumsum([shape[place + 1] for shape in t.shape_of_result])
    return [row.moved(index) for index in np.split(row.index, ends[:-1], axis=place)]


def _unbind(t: T, row: Row, axis: int = 0) -> list[Row]:
    place = _axis(row, axis)
    return [row.moved(np.take(row.index, k, axis=place)) for k in range(row.shape[place])]


def _slice(t: T, row: Row, axis: int = 0, start: int | None = None, stop: int | None = None, step: int = 1) -> Row:
    if axis == 0 and (start or 0) == 0 and (stop is None or stop >= BATCH) and step == 1:  # h[:, …]
        return row
    where: list[Any] = [slice(None)] * len(row.shape)
    where[_axis(row, axis)] = slice(start, stop, step)
    return row.moved(row.index[tuple(where)])


def _select(t: T, row: Row, axis: int, index: int) -> Row:
    return row.moved(np.take(row.index, index, axis=_axis(row, axis)))


def _narrow(t: T, row: Row, axis: int, start: int, length: int) -> Row:
    return _slice(t, row, axis, start, start + length)


def _flip(t: T, row: Row, axes: Sequence[int]) -> Row:
    return row.moved(np.flip(row.index, tuple(_axis(row, axis) for axis in axes)))


def _roll(t: T, row: Row, shifts: Sequence[int], axes: Sequence[int] = ()) -> Row:
    if not axes:
        raise Refusal("rolls over all dimensions: name them, for example dims=1")
    return row.moved(np.roll(row.index, shifts, [_axis(row, axis) for axis in axes]))


def _repeat(t: T, row: Row, repeats: Sequence[int]) -> Row:
    if len(repeats) != len(row.shape) + 1 or repeats[0] != 1:
        raise Refusal("repeats rows of the batch: repeat along other dimensions")
    return row.moved(np.tile(row.index, repeats[1:]))


def _join(t: T, values: Sequence[Any], axis: int = 0) -> Row:
    rows = [t.row(value) for value in values]
    place = _axis(rows[0], axis)
    return _gathered(t, rows, lambda parts: np.concatenate(parts, axis=place))


def _stack(t: T, values: Sequence[Any], axis: int = 0) -> Row:
    rows = [t.row(value) for value in values]
    place = normal_axis(axis, len(rows[0].shape) + 2)
    return _gathered(t, rows, lambda parts: np.stack(parts, axis=place))


def _gathered(t: T, rows: Sequence[Row], arrange: Any) -> Row:
    """Rows joined, in the order that `arrange` gives their indices."""
    flat = [t.graph.flat(row) for row in rows]
    indices, at = [], 0
    for row in rows:
        size = math.prod(row.shape)
        indices.append(np.arange(at, at + size).reshape(row.shape))
        at += size
    return Row(t.graph.join(flat), arrange(indices))


SHAPE_RULES: Rules = {
    **dict.fromkeys((_A.view, _A.reshape, _A._unsafe_view, _A.unsqueeze, _A.squeeze, _A.flatten), _reshape),
    **dict.fromkeys((_A.unflatten, _A.view_as, _A.reshape_as), _reshape),
    **dict.fromkeys((_A.expand, _A.expand_as), _expand),
    **dict.fromkeys((_A.transpose, _A.swapaxes, _A.swapdims), _transpose),
    **dict.fromkeys((_A.chunk, _A.split, _A.split_with_sizes, _A.tensor_split), _parts),
    **dict.fromkeys((_A.cat, _A.concat, _A.concatenate), _join),
    **{_A.permute: _permute, _A.unbind: _unbind, _A.slice: _slice, _A.select: _select, _A.narrow: _narrow},
    **{_A.flip: _flip, _A.roll: _roll, _A.repeat: _repeat, _A.stack: _stack},
}
