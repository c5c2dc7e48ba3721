"""Sparse rows of numbers: features that are mostly zero."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stepscan.runtime.batches import Array

_TOGETHER = 2**22  # numbers that are multiplied together: 16 MB


class Rows(NamedTuple):
    """A sparse matrix `[N, F]`, row by row."""

    indptr: Array  # [N + 1] int64: where each row begins in the two others, and the last ends
    columns: Array  # [nnz] int32
    values: Array  # [nnz] float32

    def times(self, weight: Array) -> Array:
        """The product with `weight` `[F, C]`: `[N, C]`, each row's bits the same in any company."""
        found = np.zeros((len(self.indptr) - 1, weight.shape[1]), np.float32)
        (filled,) = np.nonzero(np.diff(self.indptr))
        most = max(1, _TOGETHER // max(1, weight.shape[1]))
        first = 0
        while first < len(filled):
            begin = self.indptr[filled[first]]
            last = max(first + 1, int(np.searchsorted(self.indptr[filled + 1], begin + most, "right")))
            chosen, end = filled[first:last], self.indptr[filled[last - 1] + 1]
            products = weight[self.columns[begin:end]] * self.values[begin:end, None]
            found[chosen] = np.add.reduceat(products, self.indptr[chosen] - begin, axis=0)
            first = last
        return found
