"""Sampled softmax: an estimate of the loss over a large vocabulary, for training."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.patterns.loss import cross_entropy


class SoftmaxSamples:
    """Samples symbols for each window, and computes the loss over them.

    The sample of a window of N targets consists of the symbols among its targets, and of `number` symbols drawn
    uniformly. With the probability π_j that symbol j is in the sample, `exp s_target + Σ_j≠target exp(s_j) / π_j` over
    the sample is an unbiased estimate of the normaliser `Z = Σ_j exp s_j` (Horvitz & Thompson 1952; in place of the
    sampler of Jean et al. 2015). Frequent symbols are in almost every sample, so that their terms are nearly exact.
    Random numbers are from PyTorch's global generator.

    Args:
        counts: `[V]`, occurrences of each symbol in the training data.
        number: of symbols drawn uniformly, at least 1 and below V.

    Raises:
        ValueError: `number` is out of range.
    """

    def __init__(self, counts: Tensor, number: int) -> None:
        symbols = len(counts)
        if not 1 <= number < symbols:
            raise ValueError(
                f"number: expected a number of samples from 1 to {symbols - 1}, below the vocabulary, got {number}"
            )
        self.rates, self.number = counts.double() / counts.sum(), number

    def expected(self, targets: float) -> float:
        """The expected size of the sample of a window with this number of targets."""
        return float(self._probabilities(self.rates, targets).sum())

    def loss(self, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """An estimate of the cross-entropy, summed.

        Args:
            x: `[N, E]`, inputs of the output layer.
            weight: `[V, E]`, of the output layer.
            bias: `[V]`, of the output layer.
            targets: `[N]`.
            smoothing: label smoothing, 0 … 1.
        """
        drawn = torch.randperm(len(weight), device=x.device)[: self.number]
        sample, index = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        correction = self._probabilities(self.rates.to(x.device)[sample], len(targets)).log().to(x.dtype)
        index = index[: len(targets), None]  # of each target in the sample
        scores = torch.addmm(bias[sample] - correction, x, weight[sample].t())
        scores = scores.scatter_add(1, index, correction[index[:, 0], None])  # a target is always in its sample
        loss = cross_entropy(scores, index[:, 0])
        if not smoothing:
            return loss
        weights = (-correction).exp() / len(weight)  # of an unbiased estimate of the mean over all symbols
        mean = (scores + correction) @ weights - correction[index[:, 0]] * weights[index[:, 0]]
        return loss + smoothing * (scores.gather(1, index)[:, 0] - mean).sum()

    def _probabilities(self, rates: Tensor, targets: float) -> Tensor:
        """The probability that symbols with these relative frequencies are in the sample."""
        missed = (1 - self.number / len(self.rates)) * torch.exp(-targets * rates)
        return 1 - missed
