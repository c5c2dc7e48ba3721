"""How the scores of a classifier's network and of its wide part are weighted, chosen on held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from stepscan.backends.batches import Array
from stepscan.backends.probabilities import nats

_SHARES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_TIE = 0.005  # relative difference of losses that counts as equal


def best_mixture(deep: Array, wide: Array, targets: Array, problem_type: str) -> tuple[float, float]:
    """The shares: factors of the scores of network and wide part before they are added.

    Chosen from a grid by the mean cross-entropy (in regression by the squared error, with shares that sum to 1). Where
    the wide part alone is not worse than the best by more than a standard error of the difference, (0, 1): it is the
    simpler model, and few examples cannot tell them apart (Breiman et al. 1984, §3.4.3). Else (1, 0) where no mixture
    is better than the network alone.

    Args:
        deep, wide: scores `[N, outputs]` of held-out examples.
        targets: as for `fit_wide`.
        problem_type: `classification`, `multilabel` or `regression`.
    """
    deep, wide, targets = deep.astype(np.float64), wide.astype(np.float64), np.asarray(targets)

    def losses(deep_share: float, wide_share: float) -> Array:
        return _LOSSES[problem_type](deep_share * deep + wide_share * wide, targets)

    sum_to_one = problem_type == "regression"
    scales = (1.0,) if sum_to_one else _SHARES
    shares = best_shares(lambda a, b: float(losses(a, b).mean()), sum_to_one=sum_to_one, deep_tie=0.0)
    alone = shares == (1.0, 0.0)  # and then compared at its best scale, as the wide part is
    best_losses = min((losses(scale, 0) for scale in scales), key=np.mean) if alone else losses(*shares)
    differences = min((losses(0, scale) for scale in scales), key=np.mean) - best_losses
    standard_error = differences.std() / np.sqrt(max(1, len(differences)))
    return (0.0, 1.0) if differences.mean() <= standard_error else shares


def best_shares(
    loss: Callable[[float, float], float],
    shares: Sequence[float] = _SHARES,
    *,
    sum_to_one: bool = False,
    deep_tie: float = _TIE,
    wide_tie: float = _TIE,
) -> tuple[float, float]:
    """The shares of network and wide part with the least `loss`; see `best_mixture`.

    Args:
        loss: share of the network, share of the wide part → loss.
        shares: the candidates of each.
        sum_to_one: whether both must sum to 1; then `shares` is not used.
        deep_tie: relative difference up to which the network alone is preferred to a mixture.
        wide_tie: that up to which the wide part alone is.
    """

    def least(pairs: Iterable[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
        return min((loss(a, b), (a, b)) for a, b in pairs)

    if sum_to_one:
        alone, mixed = [1.0], [(1 - share, share) for share in (0.25, 0.5, 0.75)]
    else:  # network or wide part alone may be rescaled too, so that a wrong scale is no reason to mix
        alone, mixed = list(shares), [(a, b) for a in shares for b in shares]
    deep_loss, wide_loss = least((a, 0) for a in alone)[0], least((0, b) for b in alone)[0]
    mixed_loss, mixture = least(mixed)
    least_loss = min(deep_loss, wide_loss, mixed_loss)
    if deep_loss <= least_loss * (1 + deep_tie):
        return 1.0, 0.0
    return (0.0, 1.0) if wide_loss <= least_loss * (1 + wide_tie) else mixture


_LOSSES: dict[str, Callable[[Array, Array], Array]] = {  # scores and targets → the loss of each example [N]
    "classification": nats,
    "multilabel": lambda scores, targets: np.logaddexp(0, scores * (1 - 2 * targets)).mean(axis=1),
    "regression": lambda scores, targets: np.square(scores[:, 0] - targets.reshape(-1)),
}
