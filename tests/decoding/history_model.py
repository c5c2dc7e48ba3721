"""A toy model whose scores depend on the whole history, so that a state in the wrong place cannot go unnoticed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

START = 99


class History(NamedTuple):
    model: np.ndarray  # [N]: which random model the row asks: its source sentence, so to say
    tokens: np.ndarray  # [N, t]: all that it has read


def history(*models: int) -> History:
    return History(np.array(models), np.empty((len(models), 0), dtype=np.int64))


def scores_after(model: int, tokens: list[int], vocabulary: int) -> np.ndarray:
    """Random scores that this model always gives after these tokens."""
    return np.random.default_rng([model, *tokens]).normal(scale=2.0, size=vocabulary)


class HistoryModel:
    """The step function; it counts its calls and rows."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary, self.batch_sizes = vocabulary, list[int]()

    def __call__(self, tokens: np.ndarray, state: History) -> tuple[np.ndarray, History]:
        self.batch_sizes.append(len(tokens))
        read = np.concatenate([state.tokens, tokens[:, None]], axis=1)
        scores = [scores_after(m, t, self.vocabulary) for m, t in zip(state.model.tolist(), read.tolist(), strict=True)]
        return np.array(scores), History(state.model, read)
