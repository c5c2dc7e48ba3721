"""The linear model on features of texts or series, and its share in a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stepscan.runtime.batches import Array
from stepscan.runtime.wide.sparse import Rows


class Features(Protocol):
    """Features of texts or series: `NGrams` or `Convolutions`."""

    @property
    def size(self) -> int:
        """F, how many there are."""

    def matrix(self, X: Sequence[Any], /) -> Rows | Array:
        """Those of each text or series `[N, F]`, the same bits in any company."""

    def description(self) -> dict[str, Any]:
        """Its name and arguments, as JSON can say them."""

    def tensors(self) -> dict[str, Array]:
        """What it has learned."""


@dataclass(frozen=True, eq=False)
class Wide:
    """Scores that are linear in features of the text or series.

    Args:
        features: of a text or series, F of them.
        weight: `[F, outputs]` float32.
        bias: `[outputs]` float32.
        shares: what the network's scores and these are multiplied with before they are added.
    """

    features: Features
    weight: Array
    bias: Array
    shares: tuple[float, float] = (0.5, 0.5)

    def scores(self, X: Sequence[Any]) -> Array:
        """Texts or series → scores `[N, outputs]` float32, each row's bits the same in any company."""
        found = self.features.matrix(X)
        return (found.times(self.weight) if isinstance(found, Rows) else _product(found, self.weight)) + self.bias

    def decided(self, network: Any, rows: Sequence[Any], X: Sequence[Any]) -> Array:
        """The scores that a model decides by, of what its network reads of texts or series, and of these."""
        return self.join(network.scores(rows), X)

    def join(self, deep: Array, X: Sequence[Any]) -> Array:
        """The network's scores `[N, outputs]` of texts or series, and these, by their shares."""
        of_deep, of_wide = (np.float32(share) for share in self.shares)
        return of_deep * deep + of_wide * self.scores(X)


def _product(rows: Array, weight: Array) -> Array:
    """`[N, F]` times `[F, C]`, row by row: a matrix product sums in an order that depends on N."""
    found = np.empty((len(rows), weight.shape[1]), np.float32)
    for row, scores in zip(rows, found, strict=True):
        np.add.reduce(row[:, None] * weight, axis=0, out=scores)
    return found
