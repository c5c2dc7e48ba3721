"""Fits the wide part of a tagger: a linear-chain conditional random field on sparse features (Lafferty et al. 2001).

The equations are those of `stepscan.patterns.crf`. Dimension letters: N items of all sequences together, F features,
K tags.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from stepscan.backends.batches import Array
from stepscan.estimators.lbfgs import minimise
from stepscan.wide.crf import TRANSITIONS, WideCRF
from stepscan.wide.token_features import TokenFeatures

logger = logging.getLogger(__name__)
_PENALTY = 0.01  # of squared weights; see docs/defaults.md
_MAX_ITERATIONS = 100
_MAX_WEIGHTS = 2**23  # of all features and tags together: 32 MB
_MANY_TOKENS = 20_000  # with so many tokens, features of a single token are dropped
_MAX_WORK = 1.4e8  # of an iteration, in the units of the two costs below
_MAX_TAGS = 500  # with more, transitions cost too much
_FEATURE_COST = 25  # of a token, per tag: about its number of features …
_TRANSITION_COST = 0.25  # … and per pair of tags


def fit_wide_crf(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], outputs: int, seed: int = 0
) -> WideCRF:
    """Fit the wide part of a tagger; with very many sentences, on a random sample of them.

    Args:
        sentences: tokens of each, at least one.
        tags: tag ids of each.
        outputs: K.
        seed: random seed of the sample.
    """
    rows = _sample([len(sentence) for sentence in sentences], outputs, seed)
    sentences, lengths = [sentences[i] for i in rows], np.array([len(sentences[i]) for i in rows])
    ids = np.array([tag for i in rows for tag in tags[i]], np.int64)
    token_features = TokenFeatures.fit(sentences, _MAX_WEIGHTS // outputs, 1 if len(ids) < _MANY_TOKENS else 2)
    sparse = token_features.transform(sentences)
    features = csr_matrix((sparse.values, sparse.columns, sparse.indptr), (len(ids), token_features.size))
    crf = fit_crf(features, lengths, ids, outputs, _PENALTY)
    return WideCRF(token_features, crf.weight, crf.bias, **{name: getattr(crf, name) for name in TRANSITIONS})


def is_affordable(outputs: int) -> bool:
    """Whether a tagger with so many tags can have a wide part; if not, the reason is logged."""
    if outputs > _MAX_TAGS:
        logger.info(f"no wide part: it is for up to {_MAX_TAGS} tags, and there are {outputs:,}")
    return outputs <= _MAX_TAGS


def _sample(lengths: Sequence[int], outputs: int, seed: int) -> Array:
    """Indices of the sentences to fit on, ascending: as many as cost a minute."""
    max_tokens = _MAX_WORK / (_FEATURE_COST * outputs + _TRANSITION_COST * outputs**2)
    order = np.random.default_rng(seed).permutation(len(lengths))
    count = int(np.searchsorted(np.cumsum(np.array(lengths)[order]), max_tokens, "right"))
    return np.sort(order[: max(1, count)])


class CRFWeights(NamedTuple):
    """Weights of a linear-chain CRF whose emission scores are linear in features."""

    weight: Array  # [F, K]
    bias: Array  # [K]
    transitions: Array  # [K, K], from a tag to the next
    start: Array  # [K]
    end: Array  # [K]


def fit_crf(features: csr_matrix, lengths: Array, ids: Array, tags: int, penalty: float) -> CRFWeights:
    """The weights with the greatest log-likelihood of `ids` minus `penalty / 2` · Σ weight².

    Args:
        features: `[N, F]` float32, the items of one sequence after the other.
        lengths: of the sequences, at least 1 each.
        ids: tag ids `[N]`.
        tags: K.
        penalty: of all weights but the bias.
    """
    packed = PackedSequences.from_lengths(lengths)
    features, ids = features[packed.order], np.asarray(ids)[packed.order]
    transposed, size = features.T.tocsr(), features.shape[1] * tags
    cuts = np.cumsum([size, tags, tags * tags, tags])
    shapes = ((-1, tags), (tags,), (tags, tags), (tags,), (tags,))

    def unflatten(point: Array) -> CRFWeights:
        return CRFWeights(*(flat.reshape(shape) for flat, shape in zip(np.split(point, cuts), shapes, strict=True)))

    observed = packed.counts(ids, tags)

    def objective(point: Array) -> tuple[float, Array]:
        weights = unflatten(point)
        scores = features @ weights.weight
        scores += weights.bias
        value, score_gradient, expected = packed.expected(scores, weights.transitions, weights.start, weights.end)
        items = np.arange(len(ids))
        value -= float(scores[items, ids].sum(dtype=np.float64))
        value -= sum(float((a * b).sum()) for a, b in zip(observed, weights[2:], strict=True))
        score_gradient[items, ids] -= 1
        gradient = np.float32(penalty) * point
        gradients = unflatten(gradient)
        gradients.bias[:] = 0
        score_gradient = score_gradient.astype(np.float32)
        gradients.weight[:] += transposed @ score_gradient
        gradients.bias[:] += score_gradient.sum(axis=0)
        for target, expected_count, observed_count in zip(gradients[2:], expected, observed, strict=True):
            target[:] += expected_count - observed_count
        squares = float(point @ point) - float(weights.bias @ weights.bias)
        return value + penalty / 2 * squares, gradient

    start = np.zeros(size + 3 * tags + tags * tags, np.float32)
    unflatten(start).bias[:] = np.log((np.bincount(ids, minlength=tags) + 1) / len(ids))
    with np.errstate(all="ignore"):  # after too large a step the value is NaN, and the step is halved
        return unflatten(minimise(objective, start, _MAX_ITERATIONS))


class PackedSequences(NamedTuple):
    """Sequences by time step, the longest first: all first items, then all second ones, and so on (as torch's
    `PackedSequence`)."""

    order: Array  # [N]: indices into the items of one sequence after the other
    ends: list[int]  # where each time step ends; step t has `ends[t] − ends[t − 1]` sequences

    @classmethod
    def from_lengths(cls, lengths: Array) -> PackedSequences:
        """The order of the items of sequences with these lengths."""
        lengths = np.asarray(lengths)
        longest_first = np.argsort(-lengths, kind="stable")
        starts = (np.cumsum(lengths) - lengths)[longest_first]
        batch_sizes = [int((lengths > t).sum()) for t in range(int(lengths.max(initial=0)))]
        indices = [starts[:batch_size] + t for t, batch_size in enumerate(batch_sizes)]
        order = np.concatenate([np.zeros(0, np.int64), *indices])
        return cls(order, np.cumsum(batch_sizes).tolist())

    @property
    def steps(self) -> list[slice]:
        """The items of each time step."""
        return [slice(start, end) for start, end in zip([0, *self.ends], self.ends, strict=False)]

    def counts(self, ids: Array, tags: int) -> tuple[Array, Array, Array]:
        """How often each tag follows each other `[K, K]`, is first `[K]`, and is last `[K]`."""
        steps = self.steps
        transitions, end = np.zeros((tags, tags)), np.zeros(tags)
        start = np.bincount(ids[: self.ends[0] if steps else 0], minlength=tags)
        for before, after in pairwise([*steps, slice(0, 0)]):
            size = after.stop - after.start
            np.add.at(transitions, (ids[before][:size], ids[after]), 1)
            end += np.bincount(ids[before][size:], minlength=tags)
        return transitions, start, end

    def log_partition(self, scores: Array, transitions: Array, start: Array, end: Array) -> float:
        """Log of the sum of exp S over all paths, summed over the sequences."""
        return self._forward(scores, transitions, start, end).log_partition

    def _forward(self, scores: Array, transitions: Array, start: Array, end: Array) -> _Forward:
        scores = scores.astype(np.float64)
        steps, max_scores = self.steps, scores.max(axis=1, keepdims=True)
        emissions = np.exp(scores - max_scores)
        (transition, max_transition), (first, max_start), (last, max_end) = map(_scaled_exp, (transitions, start, end))
        alpha, scales = np.empty_like(emissions), np.empty((len(emissions), 1))
        totals = [np.zeros((0, 1))]
        for t, now in enumerate(steps):
            size = now.stop - now.start
            before = first if t == 0 else alpha[steps[t - 1]][:size] @ transition
            product = before * emissions[now]
            scales[now] = product.sum(axis=1, keepdims=True)
            alpha[now] = product / scales[now]
            following = steps[t + 1] if t + 1 < len(steps) else slice(0, 0)
            totals.append(alpha[now][following.stop - following.start :] @ last[:, None])
        sequences = self.ends[0]
        value = float(np.log(scales).sum() + max_scores.sum() + np.log(np.concatenate(totals)).sum())
        value += max_transition * (len(emissions) - sequences) + (max_start + max_end) * sequences
        return _Forward(value, alpha, emissions, scales, transition, last)

    def expected(
        self, scores: Array, transitions: Array, start: Array, end: Array
    ) -> tuple[float, Array, tuple[Array, Array, Array]]:
        """`log_partition` and its gradients with respect to the scores, and to transitions, start and end: marginals
        and expected counts (forward–backward with scaling, Rabiner 1989)."""
        value, alpha, emissions, scales, transition, last = self._forward(scores, transitions, start, end)
        steps, beta = self.steps, np.empty_like(emissions)
        transition_counts, end_counts = np.zeros_like(transition), np.zeros_like(last)
        for t in range(len(steps) - 1, -1, -1):
            now, following = steps[t], steps[t + 1] if t + 1 < len(steps) else slice(0, 0)
            size = following.stop - following.start
            ending = alpha[now][size:] * last
            total = ending.sum(axis=1, keepdims=True)
            end_counts += (ending / total).sum(axis=0)
            beta[now][size:] = last / total
            if size:
                message = emissions[following] * beta[following] / scales[following]
                beta[now][:size] = message @ transition.T
                transition_counts += alpha[now][:size].T @ message
        marginals = alpha * beta
        return value, marginals, (transition_counts * transition, marginals[steps[0]].sum(axis=0), end_counts)


class _Forward(NamedTuple):
    """The result of the forward algorithm for N items."""

    log_partition: float
    alpha: Array  # [N, K]: normalised forward messages
    emissions: Array  # [N, K]: exp of the scores, scaled
    scales: Array  # [N, 1]: normalisers of `alpha`
    transition: Array  # [K, K]: exp of the transitions, scaled
    last: Array  # [K]: exp of the end scores, scaled


def _scaled_exp(scores: Array) -> tuple[Array, float]:
    """exp(scores − max) and max, in float64."""
    highest = float(scores.max())
    return np.exp(scores.astype(np.float64) - highest), highest
