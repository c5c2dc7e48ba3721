"""The wide part of a tagger: a conditional random field on features of tokens, and its share in a decision.

Network and wide part each score a path of tags; the sum of both scores, by their shares, decides, and is that of a
conditional random field again: of the tokens' scores one adds up, and of the transitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.layers import Options
from stepscan.runtime.networks.crf import CRF, ByCRF
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.wide.model import Wide

TRANSITIONS = ("transitions", "start", "end")


@dataclass(frozen=True, eq=False, kw_only=True)
class WideChain(Wide):
    """Scores of tags that are linear in features of the token, and of what follows what.

    Args:
        transitions: `[K, K]` float32, from a tag to the next.
        start, end: `[K]` float32, of the first and the last tag.
    """

    transitions: Array
    start: Array
    end: Array

    def silent(self) -> WideChain:
        """The same with a share of nothing."""
        return replace(self, shares=(1.0, 0.0))

    def beside(self, network: Any) -> Joint:
        """What decides together with a network."""

        def scores(rows: Any, sentences: Sequence[Sequence[str]]) -> Batch:
            batch = Batch(*network.scores(rows))
            data = np.float32(self.shares[0]) * batch.data
            data[batch.mask] += np.float32(self.shares[1]) * self.scores(sentences)
            return Batch(data, batch.lengths)

        return Joint(scores, self._crf(network.crf))

    def _crf(self, deep: CRF | None) -> CRF:
        of_deep, of_wide = (np.float32(share) for share in self.shares)
        own = {name: of_wide * getattr(self, name) for name in TRANSITIONS}
        if deep is None:
            return crf_of(own)
        return crf_of({name: of_deep * getattr(deep, name) + own[name] for name in TRANSITIONS}, deep)


class Joint(ByCRF):
    """What decides about tokens in place of a network: its scores are of rows and of the sentences themselves.

    Args:
        scores: of what a network reads of several sentences, and of these.
        crf: decides by such scores.
    """

    def __init__(self, scores: Callable[[Any, Sequence[Any]], Batch], crf: CRF) -> None:
        self.scores, self.crf = scores, crf


class Alone:
    """A network that decides without a wide part."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.predict, self.probabilities = network.predict, network.probabilities
        self.log_probability = network.log_probability

    def scores(self, rows: Any, sentences: Sequence[Any]) -> Batch:
        return self._network.scores(rows)


def crf_of(weights: Mapping[str, Array], like: CRF | None = None) -> CRF:
    """A conditional random field with these transitions, first and last tags; what `like` rules out is ruled out."""
    forbidden = [] if like is None else like.allowed.forbidden()
    arrays = {name: np.asarray(weight, np.float32) for name, weight in weights.items()}
    return CRF(Tensors(arrays, Options()), len(arrays["start"]), forbidden)
