"""How the scores of a classifier's network and of its wide part are weighted, chosen on held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stepscan.backends.batches import Array
from stepscan.backends.probabilities import nats
from stepscan.estimators.temperature import MAX_SCALE, fit_scales, fit_temperature

Shares = tuple[float, float]  # factors of the scores of network and wide part
_FEW = 5_000  # training examples; of fewer, a network is often worse than a wide part
_NEGLIGIBLE = 0.01  # spread of the wide part's scores, relative to the network's, below which it is not worth its file


def best_mixture(deep: Array, wide: Array, targets: Array, problem_type: str, examples: int) -> Shares:
    """The shares: factors of the scores of network and wide part before they are added; (1, 0): no wide part.

    Held-out examples seldom tell much about the ratio, so that a fixed one is preferred: of fewer than 5,000 training
    examples the wide part alone, the simpler model, unless the best shares are better by more than one standard error
    of the difference (Breiman et al. 1984, §3.4.3); of more, both parts one to one, each at the scale that suits it
    best, unless they are better by more than two.

    Args:
        deep, wide: scores `[N, outputs]` of held-out examples.
        targets: as for `fit_wide`.
        problem_type: `classification`, `multilabel` or `regression`.
        examples: the number of examples to train on.
    """
    deep, wide, targets = deep.astype(np.float64), wide.astype(np.float64), np.asarray(targets)
    problem = _PROBLEMS[problem_type]

    def losses(shares: Shares) -> Array:
        return problem.losses(shares[0] * deep + shares[1] * wide, targets)

    find, errors = (problem.wide_alone, 1) if examples < _FEW else (problem.one_to_one, 2)
    fixed, best = find(deep, wide, targets), problem.best(deep, wide, targets)
    gains = losses(fixed) - losses(best)
    is_better = gains.mean() > errors * gains.std() / np.sqrt(max(1, len(gains)))
    shares = best if is_better and any(best) else fixed
    adds_something = shares[1] * wide.std() > _NEGLIGIBLE * shares[0] * deep.std()
    return shares if adds_something else (1.0, 0.0)


def losses(scores: Array, targets: Array, problem_type: str) -> Array:
    """The loss of each example `[N]`: the cross-entropy, or the squared error; arguments as for `best_mixture`."""
    return _PROBLEMS[problem_type].losses(scores.astype(np.float64), targets)


Rule = Callable[[Array, Array, Array], Shares]  # scores of network and wide part, targets → shares


class _Problem(NamedTuple):
    """The losses of a problem type, and the shares by three rules."""

    losses: Callable[[Array, Array], Array]  # scores, targets → the loss of each example [N]
    wide_alone: Rule
    one_to_one: Rule
    best: Rule  # the shares with the least mean loss


def _scaled_wide(deep: Array, wide: Array, classes: Array) -> Shares:
    return 0.0, 1 / fit_temperature(wide, classes)


def _scaled_one_to_one(deep: Array, wide: Array, classes: Array) -> Shares:
    """Each part at its own temperature, and the sum at its own, for it is too sure where both parts agree."""
    scales = [1 / fit_temperature(scores, classes) for scores in (deep, wide)]
    both = 1 / fit_temperature(scales[0] * deep + scales[1] * wide, classes)
    return min(both * scales[0], MAX_SCALE), min(both * scales[1], MAX_SCALE)


def _of_labels(rule: Rule) -> Rule:
    """The rule of classes for labels, each of which is two classes: off and on."""

    def of_labels(deep: Array, wide: Array, targets: Array) -> Shares:
        deep, wide = (scores.reshape(-1, 1) * np.array([-0.5, 0.5]) for scores in (deep, wide))
        return rule(deep, wide, targets.reshape(-1).astype(np.int64))

    return of_labels


def _least_squares(deep: Array, wide: Array, values: Array) -> Shares:
    """Of the shares that sum to 1, those with the least squared error."""
    differences = (wide - deep).reshape(-1)
    square = differences @ differences
    share = float(np.clip((values.reshape(-1) - deep.reshape(-1)) @ differences / square, 0, 1)) if square else 1.0
    return 1 - share, share


_PROBLEMS = {
    "classification": _Problem(nats, _scaled_wide, _scaled_one_to_one, fit_scales),
    "multilabel": _Problem(
        lambda scores, targets: np.logaddexp(0, scores * (1 - 2 * targets)).mean(axis=1),
        _of_labels(_scaled_wide),
        _of_labels(_scaled_one_to_one),
        _of_labels(fit_scales),
    ),
    "regression": _Problem(
        lambda scores, values: np.square(scores[:, 0] - values.reshape(-1)),
        lambda deep, wide, values: (0.0, 1.0),
        lambda deep, wide, values: (0.5, 0.5),
        _least_squares,
    ),
}
