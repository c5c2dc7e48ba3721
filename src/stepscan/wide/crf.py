"""The wide part of a tagger: a CRF on features of tokens, and its combination with the scores of a network.

The weighted sum of the network's and the wide part's path scores is the path score of a CRF too: emission scores and
transitions are summed separately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.weights import Weights
from stepscan.definitions.crf import CRF
from stepscan.definitions.transducer import CRFDecoder
from stepscan.wide.model import WideModel

TRANSITIONS = ("transitions", "start", "end")


@dataclass(frozen=True, eq=False, kw_only=True)
class WideCRF(WideModel):
    """A CRF whose emission scores are linear in features of the tokens.

    Args:
        transitions: `[K, K]` float32, from one tag to the next.
        start, end: `[K]` float32, of first and last tags.
    """

    transitions: Array
    start: Array
    end: Array

    def disabled(self) -> WideCRF:
        """The same with weight 0 in the sum."""
        return replace(self, shares=(1.0, 0.0))

    def combine_with(self, network: Any) -> CombinedCRF:
        """The combination with a network of the same tags, which has `scores(rows)` and a `crf` or None."""

        def scores(rows: Any, sentences: Sequence[Sequence[str]]) -> Batch:
            batch = network.scores(rows)
            data = np.float32(self.shares[0]) * batch.data
            data[batch.mask] += np.float32(self.shares[1]) * self.scores(sentences)
            return Batch(data, batch.lengths)

        return CombinedCRF(scores, self._crf(network.crf))

    def _crf(self, deep: CRF | None) -> CRF:
        deep_share, wide_share = (np.float32(share) for share in self.shares)
        weights = {name: wide_share * getattr(self, name) for name in TRANSITIONS}
        if deep is None:
            return build_crf(weights)
        summed = {
            name: deep_share * scores + weights[name]
            for name, scores in zip(TRANSITIONS, deep.path_scores(), strict=True)
        }
        return build_crf(summed, deep)


class CombinedCRF(CRFDecoder):
    """Network and wide part of a tagger in one: scores, and the CRF that predicts from them.

    Args:
        scores: emission scores `[B, T, K]` as a function of the network's inputs and the sentences themselves.
        crf: the CRF of the summed transitions.
    """

    def __init__(self, scores: Callable[[Any, Sequence[Any]], Batch], crf: CRF) -> None:
        self.scores, self.crf = scores, crf


class NetworkOnly:
    """A network without a wide part, with the interface of `CombinedCRF`.

    Args:
        network: a transducer.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self.predict, self.probabilities = network.predict, network.probabilities
        self.log_probability = network.log_probability

    def scores(self, rows: Any, sentences: Sequence[Any]) -> Batch:
        """The network's scores `[B, T, K]`; the sentences are ignored."""
        return self._network.scores(rows)


def build_crf(weights: Mapping[str, Array], template: CRF | None = None) -> CRF:
    """A CRF with these `transitions`, `start` and `end`, and the forbidden transitions of `template`."""
    forbidden = [] if template is None else list(template.forbidden)
    arrays = {name: np.asarray(weight, np.float32) for name, weight in weights.items()}
    return CRF(len(arrays["start"]), forbidden).bind(Weights(arrays))
