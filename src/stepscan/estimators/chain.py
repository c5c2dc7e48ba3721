"""Fits the wide part of a tagger: a linear-chain conditional random field on sparse features (Lafferty et al. 2001).

The formulas stand in `stepscan.patterns.crf`. Dimension letters: N items of all sequences together, F features, K tags.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from stepscan.estimators.lbfgs import minimise
from stepscan.runtime.batches import Array
from stepscan.runtime.wide.crf import TRANSITIONS, WideCRF
from stepscan.runtime.wide.token_features import TokenFeatures

logger = logging.getLogger(__name__)
_PENALTY = 0.01  # of squared weights; see docs/defaults.md
_MOST = 100  # iterations
_WEIGHTS = 2**23  # of all features and tags together: 32 MB
_MANY = 20_000  # tokens from which on a feature of one of them is dropped
_WORK = 1.4e8  # of an iteration
_TAGS = 500  # beyond which transitions cost too much
_FEATURES = 25  # of a token, roughly, with each tag …
_PASSES = 0.25  # … and its worth of transitions with each pair of tags


def fit_wide_chain(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], outputs: int, seed: int = 0
) -> WideCRF:
    """The wide part of a tagger: on a random sample of the sentences, if they are very many.

    Args:
        sentences: of one token at least.
        tags: ids of the tags of each.
        outputs: how many tags there are.
        seed: of the sample.
    """
    chosen = _sample([len(one) for one in sentences], outputs, seed)
    sentences, lengths = [sentences[i] for i in chosen], np.array([len(sentences[i]) for i in chosen])
    ids = np.array([one for i in chosen for one in tags[i]], np.int64)
    features = TokenFeatures.fit(sentences, _WEIGHTS // outputs, 1 if len(ids) < _MANY else 2)
    found = features.transform(sentences)
    rows = csr_matrix((found.values, found.columns, found.indptr), (len(ids), features.size))
    chain = fit_chain(rows, lengths, ids, outputs, _PENALTY)
    return WideCRF(features, chain.weight, chain.bias, **{name: getattr(chain, name) for name in TRANSITIONS})


def is_worth_it(outputs: int) -> bool:
    """Whether there are few enough tags for a wide part."""
    if outputs > _TAGS:
        logger.info(f"no wide part: it is for up to {_TAGS} tags, and there are {outputs:,}")
    return outputs <= _TAGS


def _sample(lengths: Sequence[int], outputs: int, seed: int) -> Array:
    """The places of the sentences that it is fitted on, ascending: as many as cost a minute."""
    tokens = _WORK / (_FEATURES * outputs + _PASSES * outputs**2)
    order = np.random.default_rng(seed).permutation(len(lengths))
    enough = int(np.searchsorted(np.cumsum(np.array(lengths)[order]), tokens, "right"))
    return np.sort(order[: max(1, enough)])


class Chain(NamedTuple):
    """Scores of tags by features, and of what follows what."""

    weight: Array  # [F, K]
    bias: Array  # [K]
    transitions: Array  # [K, K], from a tag to the next
    start: Array  # [K]
    end: Array  # [K]


def fit_chain(rows: csr_matrix, lengths: Array, ids: Array, tags: int, penalty: float) -> Chain:
    """The chain with the greatest likelihood of `ids` minus `penalty / 2` · Σ weight².

    Args:
        rows: features `[N, F]` of float32, one sequence after the other.
        lengths: of the sequences, at least 1 each.
        ids: tags `[N]`.
        tags: K.
        penalty: of all weights but the bias.
    """
    packed = Packed.of(lengths)
    rows, ids = rows[packed.order], np.asarray(ids)[packed.order]
    columns, size = rows.T.tocsr(), rows.shape[1] * tags
    cuts = np.cumsum([size, tags, tags * tags, tags])
    shapes = ((-1, tags), (tags,), (tags, tags), (tags,), (tags,))

    def parts(point: Array) -> Chain:
        return Chain(*(one.reshape(shape) for one, shape in zip(np.split(point, cuts), shapes, strict=True)))

    seen = packed.counts(ids, tags)

    def function(point: Array) -> tuple[float, Array]:
        own = parts(point)
        scores = rows @ own.weight
        scores += own.bias
        value, shares, expected = packed.expected(scores, own.transitions, own.start, own.end)
        places = np.arange(len(ids))
        value -= float(scores[places, ids].sum(dtype=np.float64))
        value -= sum(float((a * b).sum()) for a, b in zip(seen, own[2:], strict=True))
        shares[places, ids] -= 1
        gradient = np.float32(penalty) * point
        found = parts(gradient)
        found.bias[:] = 0
        shares = shares.astype(np.float32)
        found.weight[:] += columns @ shares
        found.bias[:] += shares.sum(axis=0)
        for into, one, other in zip(found[2:], expected, seen, strict=True):
            into[:] += one - other
        kept = value + penalty / 2 * (float(point @ point) - float(own.bias @ own.bias))
        return kept, gradient

    start = np.zeros(size + 3 * tags + tags * tags, np.float32)
    parts(start).bias[:] = np.log((np.bincount(ids, minlength=tags) + 1) / len(ids))
    with np.errstate(all="ignore"):  # of a step too far, the value is no number, and the step is halved
        return parts(minimise(function, start, _MOST))


class Packed(NamedTuple):
    """Sequences side by side, the longest first: all first items, then all second ones, and so on."""

    order: Array  # [N]: which item, of one sequence after the other, is at each place
    ends: list[int]  # where each step ends; step t has `ends[t] − ends[t − 1]` sequences

    @classmethod
    def of(cls, lengths: Array) -> Packed:
        lengths = np.asarray(lengths)
        longest_first = np.argsort(-lengths, kind="stable")
        begins = (np.cumsum(lengths) - lengths)[longest_first]
        running = [int((lengths > t).sum()) for t in range(int(lengths.max(initial=0)))]
        places = [begins[:many] + t for t, many in enumerate(running)]
        order = np.concatenate([np.zeros(0, np.int64), *places])
        return cls(order, np.cumsum(running).tolist())

    @property
    def steps(self) -> list[slice]:
        return [slice(begin, end) for begin, end in zip([0, *self.ends], self.ends, strict=False)]

    def counts(self, ids: Array, tags: int) -> tuple[Array, Array, Array]:
        """How often each tag follows each other, is first, and is last."""
        steps = self.steps
        transitions, end = np.zeros((tags, tags)), np.zeros(tags)
        start = np.bincount(ids[: self.ends[0] if steps else 0], minlength=tags)
        for before, after in pairwise([*steps, slice(0, 0)]):
            many = after.stop - after.start
            np.add.at(transitions, (ids[before][:many], ids[after]), 1)
            end += np.bincount(ids[before][many:], minlength=tags)
        return transitions, start, end

    def log_partition(self, scores: Array, transitions: Array, start: Array, end: Array) -> float:
        """Log of the sum of exp S over all paths, summed over the sequences."""
        return self._forward(scores, transitions, start, end).value

    def _forward(self, scores: Array, transitions: Array, start: Array, end: Array) -> _Forward:
        scores = scores.astype(np.float64)
        steps, highest = self.steps, scores.max(axis=1, keepdims=True)
        items = np.exp(scores - highest)
        (passing, most), (first, most_first), (ending, most_last) = map(_shares, (transitions, start, end))
        reached, scales = np.empty_like(items), np.empty((len(items), 1))
        lasts = [np.zeros((0, 1))]
        for t, now in enumerate(steps):
            many = now.stop - now.start
            before = first if t == 0 else reached[steps[t - 1]][:many] @ passing
            product = before * items[now]
            scales[now] = product.sum(axis=1, keepdims=True)
            reached[now] = product / scales[now]
            following = steps[t + 1] if t + 1 < len(steps) else slice(0, 0)
            lasts.append(reached[now][following.stop - following.start :] @ ending[:, None])
        sequences = self.ends[0]
        value = float(np.log(scales).sum() + highest.sum() + np.log(np.concatenate(lasts)).sum())
        value += most * (len(items) - sequences) + (most_first + most_last) * sequences
        return _Forward(value, reached, items, scales, passing, ending)

    def expected(
        self, scores: Array, transitions: Array, start: Array, end: Array
    ) -> tuple[float, Array, tuple[Array, Array, Array]]:
        """`log_partition` and its derivatives by the scores, and by transitions, first and last tags (Rabiner 1989,
        with scaled sums)."""
        value, reached, items, scales, passing, ending = self._forward(scores, transitions, start, end)
        steps, after = self.steps, np.empty_like(items)
        of_transitions, of_end = np.zeros_like(passing), np.zeros_like(ending)
        for t in range(len(steps) - 1, -1, -1):
            now, following = steps[t], steps[t + 1] if t + 1 < len(steps) else slice(0, 0)
            many = following.stop - following.start
            last = reached[now][many:] * ending
            total = last.sum(axis=1, keepdims=True)
            of_end += (last / total).sum(axis=0)
            after[now][many:] = ending / total
            if many:
                come = items[following] * after[following] / scales[following]
                after[now][:many] = come @ passing.T
                of_transitions += reached[now][:many].T @ come
        shares = reached * after
        return value, shares, (of_transitions * passing, shares[steps[0]].sum(axis=0), of_end)


class _Forward(NamedTuple):
    """What the forward algorithm finds of N items."""

    value: float  # log of the sum over paths
    reached: Array  # [N, K]: share of the paths up to an item that end with a tag
    items: Array  # [N, K]: exp of the scores
    scales: Array  # [N, 1]
    passing: Array  # [K, K]: exp of the transitions
    ending: Array  # [K]


def _shares(scores: Array) -> tuple[Array, float]:
    """`scores = log shares + highest`."""
    highest = float(scores.max())
    return np.exp(scores.astype(np.float64) - highest), highest
