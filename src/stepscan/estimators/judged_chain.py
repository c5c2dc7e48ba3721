"""How much network and wide part of a tagger count, by what both say of sentences that neither has seen.

Dimension letters: N items of all sequences together, K tags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.estimators.chain import Packed
from stepscan.estimators.wide import best_shares
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.wide.crf import TRANSITIONS, WideCRF, build_crf

_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # a network that has seen few sentences is too sure of itself
_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the network's share to the wide part's


def best_mixture(
    judged: Sequence[Judged], f1: Callable[[tuple[float, float]], float] | None = None
) -> tuple[float, float]:
    """What the scores of the network and of the wide part are multiplied with before they are added; see `mixture`.

    Where the tags mark spans, `f1` of what is decided with such shares chooses their ratio, and the likelihood only how
    large both are: most tokens are in no span, and a network that finds spans is too sure of those that it gets wrong.
    """
    if f1 is None or not any(len(one.ids) for one in judged):
        return best_shares(lambda deep, wide: loss(judged, deep, wide), _SHARES, tie=0.0)

    def losses(shares: tuple[float, float]) -> float:
        return loss(judged, *shares)

    mixed = [min(((ratio * share, share) for share in _SHARES), key=losses) for ratio in _RATIOS]
    return max([(1.0, 0.0), (0.0, 1.0), *mixed], key=lambda shares: (f1(shares), -losses(shares)))


def loss(judged: Sequence[Judged], deep: float = 1.0, wide: float = 0.0) -> float:
    """Minus the log-likelihood of the tags, summed."""
    with np.errstate(all="ignore"):
        value = sum(one.loss(deep, wide) for one in judged if len(one.ids))
    return value if np.isfinite(value) else np.inf


class _Says(NamedTuple):
    """Scores of tags `[N, K]`, and of what follows what."""

    scores: Array
    chain: Mapping[str, Array]


class Judged(NamedTuple):
    """What network and wide part say of sentences that neither has seen; the items are packed."""

    packed: Packed
    lengths: Array
    ids: Array  # [N], the tags
    seen: tuple[Array, Array, Array]  # how often each tag follows each other, is first, and is last
    deep: _Says
    wide: _Says

    @classmethod
    def of(
        cls,
        tags: Sequence[Sequence[int]],
        scores: Sequence[Sequence[Sequence[float]]],
        crf: Mapping[str, Any] | None,
        outputs: int,
    ) -> Judged:
        """Sentences of which the network alone has said something.

        Args:
            tags: ids of the tags of each sentence.
            scores: the network's, of each.
            crf: transitions, first and last tags of its CRF, if it has one.
            outputs: K.
        """
        lengths = np.array([len(one) for one in tags], np.int64)
        packed = Packed.of(lengths)
        ids = np.concatenate([np.zeros(0, np.int64), *map(np.array, tags)]).astype(np.int64)[packed.order]
        given = np.concatenate([np.zeros((0, outputs)), *(np.reshape(one, (-1, outputs)) for one in scores)]).astype(
            np.float32
        )[packed.order]
        none = {"transitions": np.zeros((outputs, outputs)), "start": np.zeros(outputs), "end": np.zeros(outputs)}
        own = none if crf is None else {name: np.array(crf[name]) for name in TRANSITIONS}
        nothing = _Says(np.zeros_like(given), none)
        return cls(packed, lengths, ids, packed.counts(ids, outputs), _Says(given, own), nothing)

    def beside(self, part: WideCRF, sentences: Sequence[Sequence[str]]) -> Judged:
        """With what a wide part says of the sentences."""
        own = {name: getattr(part, name) for name in TRANSITIONS}
        return self._replace(wide=_Says(part.scores(sentences)[self.packed.order], own))

    def loss(self, deep: float, wide: float) -> float:
        both = self._together(deep, wide)
        chain = [both.chain[name] for name in TRANSITIONS]
        path = float(both.scores[np.arange(len(self.ids)), self.ids].sum(dtype=np.float64))
        path += sum(float((a * b).sum(dtype=np.float64)) for a, b in zip(self.seen, chain, strict=True))
        return self.packed.log_partition(both.scores, *chain) - path

    def decided(self, deep: float, wide: float) -> list[Array]:
        """The best path of each sentence."""
        both = self._together(deep, wide)
        scores = np.empty_like(both.scores)
        scores[self.packed.order] = both.scores
        data = np.zeros((len(self.lengths), int(self.lengths.max(initial=0)), scores.shape[1]), np.float32)
        batch = Batch(data, self.lengths)
        data[batch.mask] = scores
        paths = build_crf(both.chain).best_paths(batch)
        return [path[:length] for path, length in zip(paths, self.lengths, strict=True)]

    def _together(self, deep: float, wide: float) -> _Says:
        chain = {name: deep * self.deep.chain[name] + wide * self.wide.chain[name] for name in TRANSITIONS}
        return _Says(deep * self.deep.scores + wide * self.wide.scores, chain)
