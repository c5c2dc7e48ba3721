"""The targets of a classifier as numbers: a class each, labels, or a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.data.ragged_rows import RaggedRows, smallest_dtype
from stepscan.estimators.encoding import Column
from stepscan.evaluation.problem_types import PROBLEM_TYPES

_MAX_SAMPLE = 100_000


def encoded_targets(problem_type: str, answers: Sequence[Any], labels: Sequence[Any] | None) -> Column:
    """Targets as a column: indices of classes, rows of indices of labels, or values `[N]` float32."""
    dtype = smallest_dtype(len(labels or ()))
    if problem_type == "multilabel":
        index = {label: number for number, label in enumerate(labels or ())}
        return RaggedRows.of([[index[label] for label in answer] for answer in answers], dtype)
    targets = PROBLEM_TYPES[problem_type].targets(answers, labels)
    return targets if problem_type == "regression" else targets.astype(dtype)


def batch_targets(column: Any, indices: Array, outputs: int) -> Array:
    """Some targets as an encoder's loss needs them: `[B]` int64 indices, `[B, outputs]` or `[B]` float32.

    Args:
        column: of `encoded_targets`.
        indices: `[B]`.
        outputs: number of labels.
    """
    if isinstance(column, np.ndarray):
        return column[indices].astype(np.float32 if column.dtype.kind == "f" else np.int64)
    rows = column.padded(indices)
    targets = np.zeros((len(indices), outputs), dtype=np.float32)
    targets[rows.mask.nonzero()[0], rows.data[rows.mask]] = 1
    return targets


def typical_targets(column: Any, labels: Sequence[Any], counts: Sequence[int]) -> list[Any]:
    """Targets from which the best constant answer follows: the most frequent class, or the labels of about 100,000
    examples, evenly chosen."""
    if isinstance(column, np.ndarray):
        return [labels[int(np.argmax(counts))]]
    chosen = range(0, len(column), max(1, len(column) // _MAX_SAMPLE))
    return [[labels[label] for label in column[i].tolist()] for i in chosen]
