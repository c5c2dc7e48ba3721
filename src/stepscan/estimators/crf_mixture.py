"""How the scores of a tagger's network and of its wide part are weighted, and by how much the score of O is lowered,
chosen on held-out sentences.

Dimension letters: N items of all sequences together, K tags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.estimators.linear_chain_crf import PackedSequences
from stepscan.wide.crf import TRANSITIONS, WideCRF, build_crf

_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # a network trained on few sentences is overconfident
_TIE = 0.005  # relative difference of losses up to which the network alone is preferred to a mixture
_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the network's share to the wide part's
_PENALTIES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)

Shares = tuple[float, float]  # factors of the scores of network and wide part; (1, 0): no wide part


def best_for_spans(
    parts: Sequence[HeldOutScores], f1: Callable[[Shares, float], float], *, wide: bool
) -> tuple[Shares, float]:
    """The shares, and the penalty that is subtracted from the score of O, with the best F1 of spans.

    The likelihood chooses only the size of the shares, not their ratio: most tokens are in no span, and a network that
    finds spans is overconfident of those that it gets wrong. The F1 of a penalty is averaged with those of its
    neighbours, for that of few spans is noisy.

    Args:
        parts: scores of the held-out sentences of each fold.
        f1: shares and penalty → F1 of the spans predicted with them.
        wide: whether there is a wide part.
    """
    if not any(len(part.ids) for part in parts):
        return (1.0, 0.0), 0.0

    def loss_with(shares: Shares) -> float:
        return loss(parts, *shares)

    candidates: list[Shares] = [(1.0, 0.0)]
    if wide:
        mixtures = [min(((ratio * share, share) for share in _SHARES), key=loss_with) for ratio in _RATIOS]
        candidates += [(0.0, 1.0), *mixtures]

    def best_penalty(shares: Shares) -> tuple[float, float, Shares, float]:
        scores = [f1(shares, penalty) for penalty in _PENALTIES]
        smooth = np.convolve([scores[0], *scores, scores[-1]], (0.25, 0.5, 0.25), "valid")
        best = int(smooth.argmax())
        return float(smooth[best]), -loss_with(shares), shares, _PENALTIES[best]

    _, _, shares, penalty = max(map(best_penalty, candidates), key=lambda found: found[:2])
    return shares, penalty


def most_likely(parts: Sequence[HeldOutScores]) -> Shares:
    """The shares of a grid with the greatest likelihood. Each part alone may be rescaled too, so that a wrong scale is
    no reason to mix.

    Args:
        parts: scores of the held-out sentences of each fold.
    """

    def least(pairs: Iterable[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
        return min((loss(parts, *shares), shares) for shares in pairs)

    deep_loss, wide_loss = least((a, 0.0) for a in _SHARES)[0], least((0.0, b) for b in _SHARES)[0]
    mixed_loss, mixture = least((a, b) for a in _SHARES for b in _SHARES)
    least_loss = min(deep_loss, wide_loss, mixed_loss)
    if deep_loss <= least_loss * (1 + _TIE):
        return 1.0, 0.0
    return (0.0, 1.0) if wide_loss <= least_loss else mixture


def loss(parts: Sequence[HeldOutScores], deep_share: float = 1.0, wide_share: float = 0.0) -> float:
    """The negative log-likelihood of the tags, summed over all folds; infinite if it is not finite."""
    with np.errstate(all="ignore"):
        value = sum(part.loss(deep_share, wide_share) for part in parts if len(part.ids))
    return value if np.isfinite(value) else np.inf


class _CRFScores(NamedTuple):
    """Emission scores `[N, K]`, and scores of transitions, first and last tags."""

    emissions: Array
    transitions: Mapping[str, Array]


class HeldOutScores(NamedTuple):
    """Scores of network and wide part for held-out sentences; the items are packed."""

    packed: PackedSequences
    lengths: Array
    ids: Array  # [N], the tags
    counts: tuple[Array, Array, Array]  # how often each tag follows each other, is first, and is last
    deep: _CRFScores
    wide: _CRFScores

    @classmethod
    def from_network(
        cls,
        tags: Sequence[Sequence[int]],
        scores: Sequence[Sequence[Sequence[float]]],
        crf: Mapping[str, Any] | None,
        outputs: int,
    ) -> HeldOutScores:
        """Scores of the network alone; those of the wide part are 0.

        Args:
            tags: tag ids of each sentence.
            scores: emission scores of each sentence, `[T, K]`.
            crf: `transitions`, `start` and `end` of the network's CRF, if it has one.
            outputs: K.
        """
        lengths = np.array([len(sentence) for sentence in tags], np.int64)
        packed = PackedSequences.from_lengths(lengths)
        ids = np.concatenate([np.zeros(0, np.int64), *map(np.array, tags)]).astype(np.int64)[packed.order]
        rows = [np.zeros((0, outputs)), *(np.reshape(sentence, (-1, outputs)) for sentence in scores)]
        emissions = np.concatenate(rows).astype(np.float32)[packed.order]
        zeros = {"transitions": np.zeros((outputs, outputs)), "start": np.zeros(outputs), "end": np.zeros(outputs)}
        transitions = zeros if crf is None else {name: np.array(crf[name]) for name in TRANSITIONS}
        deep, wide = _CRFScores(emissions, transitions), _CRFScores(np.zeros_like(emissions), zeros)
        return cls(packed, lengths, ids, packed.counts(ids, outputs), deep, wide)

    def with_wide(self, wide: WideCRF, sentences: Sequence[Sequence[str]]) -> HeldOutScores:
        """The same with the scores of a wide part for the sentences."""
        transitions = {name: getattr(wide, name) for name in TRANSITIONS}
        return self._replace(wide=_CRFScores(wide.scores(sentences)[self.packed.order], transitions))

    def loss(self, deep_share: float, wide_share: float) -> float:
        """The negative log-likelihood of the tags, summed."""
        scores = self._mixed(deep_share, wide_share)
        transitions = [scores.transitions[name] for name in TRANSITIONS]
        path_score = float(scores.emissions[np.arange(len(self.ids)), self.ids].sum(dtype=np.float64))
        path_score += sum(float((a * b).sum(dtype=np.float64)) for a, b in zip(self.counts, transitions, strict=True))
        return self.packed.log_partition(scores.emissions, *transitions) - path_score

    def best_paths(self, shares: Shares, penalties: Array) -> list[Array]:
        """The tag ids of the best path of each sentence, with penalties `[K]` subtracted from the emission scores."""
        mixed = self._mixed(*shares)
        emissions = np.empty_like(mixed.emissions)
        emissions[self.packed.order] = mixed.emissions - penalties
        data = np.zeros((len(self.lengths), int(self.lengths.max(initial=0)), emissions.shape[1]), np.float32)
        batch = Batch(data, self.lengths)
        data[batch.mask] = emissions
        paths = build_crf(mixed.transitions).best_paths(batch)
        return [path[:length] for path, length in zip(paths, self.lengths, strict=True)]

    def _mixed(self, deep_share: float, wide_share: float) -> _CRFScores:
        transitions = {
            name: deep_share * self.deep.transitions[name] + wide_share * self.wide.transitions[name]
            for name in TRANSITIONS
        }
        return _CRFScores(deep_share * self.deep.emissions + wide_share * self.wide.emissions, transitions)
