"""The softmax over some of many symbols, whose loss stands for that over all of them in training."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.patterns.loss import cross_entropy


class SoftmaxSamples:
    """Draws the symbols that a window's targets are compared with, and gives the loss over them.

    Those of a window of N targets are the symbols that occur among its targets, each of which is as likely as it is
    frequent, and `number` more, each as likely as another. With the chance π_j that symbol j is among them, the
    normaliser `Z = Σ_j exp s_j` is estimated without bias by `exp s_target + Σ_j≠target exp(s_j) / π_j` over those
    that are (Horvitz & Thompson 1952; in place of the sampler of Jean et al. 2015). Frequent symbols are always there,
    so that their part is exact. Noise is drawn from PyTorch's generator of random numbers.

    Args:
        counts: `[V]`, how often each symbol occurs in the training data.
        number: of symbols drawn evenly, at least 1 and below V.
    """

    def __init__(self, counts: Tensor, number: int) -> None:
        symbols = len(counts)
        if not 1 <= number < symbols:
            raise ValueError(
                f"expected a number of samples from 1 to {symbols - 1}, below the vocabulary, got {number}"
            )
        self.rates, self.number = counts.double() / counts.sum(), number

    def expected(self, targets: float) -> float:
        """How many symbols there are, on average, for so many targets."""
        return float(self._likely(self.rates, targets).sum())

    def loss(self, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The cross-entropy of `targets [N]`, summed, from `x [N, E]` and output weights `[V, E]` and bias `[V]`."""
        drawn = torch.randperm(len(weight), device=x.device)[: self.number]
        chosen, places = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        correction = self._likely(self.rates.to(x.device)[chosen], len(targets)).log().to(x.dtype)
        places = places[: len(targets), None]
        scores = torch.addmm(bias[chosen] - correction, x, weight[chosen].t())
        scores = scores.scatter_add(1, places, correction[places[:, 0], None])  # the target is there for certain
        loss = cross_entropy(scores, places[:, 0])
        if not smoothing:
            return loss
        shares = (-correction).exp() / len(weight)  # of the mean over all symbols, were each as likely to be there
        mean = (scores + correction) @ shares - correction[places[:, 0]] * shares[places[:, 0]]
        return loss + smoothing * (scores.gather(1, places)[:, 0] - mean).sum()

    def _likely(self, rates: Tensor, targets: float) -> Tensor:
        """The chance that symbols of such frequencies are among those that are drawn, or among the targets."""
        missed = (1 - self.number / len(self.rates)) * torch.exp(-targets * rates)
        return 1 - missed
