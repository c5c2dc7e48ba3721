"""Wrappers of step functions, against the same thing done by hand or by trying everything."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from history_model import START, HistoryModel, history, scores_after

from stepscan.decoding import (
    Sampler,
    beam_search,
    generate,
    log_softmax,
    with_minimum_length,
    with_repetition_penalty,
    without_tokens,
)
from stepscan.errors import SettingsError

GREEDY = Sampler(temperature=0)


def by_hand(model, length, penalty, said):
    tokens, said = [START % 4], set(said)
    for _ in range(length):
        said.add(tokens[-1])
        scores = log_softmax(scores_after(model, tokens, 4)[None])[0]
        tokens.append(int(np.argmax([s * penalty if i in said else s for i, s in enumerate(scores)])))
    return tokens[1:]


@pytest.mark.parametrize("penalty", [0.5, 1.0, 3.0])
def test_repetition_penalty(penalty):
    said = np.array([[True, False, False, False], [False, False, False, False]])
    step, state = with_repetition_penalty(HistoryModel(4), history(1, 2), said, penalty)
    found = generate(step, state, [START % 4] * 2, length=6, sampler=GREEDY)
    assert found == [by_hand(1, 6, penalty, {0}), by_hand(2, 6, penalty, set())]


@pytest.mark.parametrize("minimum", [0, 1, 3])
def test_minimum_length_against_all_texts(minimum):
    """A beam as wide as all texts finds the best of those long enough."""
    stop, most = 0, 4
    step, state = with_minimum_length(HistoryModel(3), history(5), 1, stop, minimum)
    best = beam_search(step, state, [START], width=81, stop=stop, maximum_length=most)[0][0]
    candidates = {}
    for size in range(most + 1):
        for tokens in product([1, 2], repeat=size):
            finished = size < most
            if finished and size < minimum:
                continue
            read, total = [START], 0.0
            for token in (*tokens, *([stop] if finished else [])):
                scores = scores_after(5, read, 3)
                if len(read) - 1 < minimum:
                    scores[stop] = -np.inf
                total += log_softmax(scores[None])[0][token]
                read.append(token)
            candidates[tokens] = total
    assert tuple(best.tokens) == max(candidates, key=lambda tokens: candidates[tokens])
    assert best.log_probability == pytest.approx(max(candidates.values()))
    assert len(best.tokens) >= minimum


def test_forbidden_tokens_and_until():
    step = without_tokens(HistoryModel(4), [1, 2])
    found = generate(step, history(3), [START], length=20, sampler=Sampler(), seed=1)
    assert set(found[0]) == {0, 3}
    ended = generate(step, history(3), [START], length=20, sampler=Sampler(), seed=1, until=lambda ids: ids[-1:] == [3])
    assert ended[0] == found[0][: found[0].index(3) + 1]


def test_wrong_settings():
    with pytest.raises(SettingsError, match="repetition_penalty: expected a finite number above 0"):
        with_repetition_penalty(HistoryModel(4), history(1), np.zeros((1, 4)), 0)
    with pytest.raises(SettingsError, match="repetition_penalty: expected a finite number above 0"):
        with_repetition_penalty(HistoryModel(4), history(1), np.zeros((1, 4)), 10**400)
    with pytest.raises(SettingsError, match="minimum_length: expected a whole number, 0 or more, got -1"):
        with_minimum_length(HistoryModel(4), history(1), 1, 0, -1)
