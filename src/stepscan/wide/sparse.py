"""Sparse matrices: features that are mostly zero."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stepscan.backends.batches import Array

_MAX_PRODUCTS = 2**22  # in memory at a time: 16 MB


class CSRMatrix(NamedTuple):
    """A matrix `[N, F]` in compressed sparse row format, as of `scipy.sparse.csr_matrix`."""

    indptr: Array  # [N + 1] int64: row i is columns[indptr[i] : indptr[i + 1]], with its values
    columns: Array  # [nnz] int32
    values: Array  # [nnz] float32

    def matmul(self, weight: Array) -> Array:
        """The product with `weight [F, C]`, `[N, C]`; each row is the same to the bit in any matrix."""
        product = np.zeros((len(self.indptr) - 1, weight.shape[1]), np.float32)
        (nonempty,) = np.nonzero(np.diff(self.indptr))
        chunk = max(1, _MAX_PRODUCTS // max(1, weight.shape[1]))
        first = 0
        while first < len(nonempty):
            begin = self.indptr[nonempty[first]]
            last = max(first + 1, int(np.searchsorted(self.indptr[nonempty + 1], begin + chunk, "right")))
            rows, end = nonempty[first:last], self.indptr[nonempty[last - 1] + 1]
            products = weight[self.columns[begin:end]] * self.values[begin:end, None]
            product[rows] = np.add.reduceat(products, self.indptr[rows] - begin, axis=0)
            first = last
        return product
