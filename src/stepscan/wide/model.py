"""The linear model on features of texts or series, and its combination with the scores of a network."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stepscan.backends.batches import Array
from stepscan.wide.sparse import CSRMatrix


class FeatureExtractor(Protocol):
    """A fitted feature extractor: `NGramFeatures`, `ConvolutionFeatures` or `TokenFeatures`."""

    @property
    def size(self) -> int:
        """F, the number of features."""

    def transform(self, X: Sequence[Any], /) -> CSRMatrix | Array:
        """The features of texts, series or tokens, `[N, F]`; each row is the same to the bit in any batch."""

    def description(self) -> dict[str, Any]:
        """Its name and sizes as plain data, for `config.json`."""

    def tensors(self) -> dict[str, Array]:
        """Its fitted arrays by name, for `wide.safetensors`."""


@dataclass(frozen=True, eq=False)
class WideModel:
    """A linear model on features of texts or series.

    Args:
        features: the feature extractor.
        weight: `[F, outputs]` float32.
        bias: `[outputs]` float32.
        shares: the weights of the network's scores and of these in their sum.
    """

    features: FeatureExtractor
    weight: Array
    bias: Array
    shares: tuple[float, float] = (0.5, 0.5)

    def scores(self, X: Sequence[Any]) -> Array:
        """Texts or series → scores `[N, outputs]` float32; each row is the same to the bit in any batch."""
        features = self.features.transform(X)
        product = features.matmul if isinstance(features, CSRMatrix) else functools.partial(_matmul, features)
        return product(self.weight) + self.bias

    def combined_scores(self, network: Any, rows: Sequence[Any], X: Sequence[Any]) -> Array:
        """The weighted sum of both parts' scores, `[N, outputs]`.

        Args:
            network: the deep part, which has `scores(rows)`.
            rows: the network's inputs for `X`.
            X: N texts or series.
        """
        return self.combine(network.scores(rows), X)

    def combine(self, deep: Array, X: Sequence[Any]) -> Array:
        """The weighted sum of the network's scores `deep [N, outputs]` and the scores of `X`, of the same shape."""
        deep_share, wide_share = (np.float32(share) for share in self.shares)
        return deep_share * deep + wide_share * self.scores(X)


def _matmul(rows: Array, weight: Array) -> Array:
    """`[N, F]` times `[F, C]`, row by row, since the order of summation in a BLAS product depends on N."""
    product = np.empty((len(rows), weight.shape[1]), np.float32)
    for row, scores in zip(rows, product, strict=True):
        np.add.reduce(row[:, None] * weight, axis=0, out=scores)
    return product
