"""The best path against the best of all paths, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stepscan.decoding import viterbi


@pytest.mark.parametrize("seed", range(5))
def test_against_all_paths(seed):
    random = np.random.default_rng(seed)
    scores, transitions, start, end = (random.normal(size=shape) for shape in ((4, 5, 3), (3, 3), 3, 3))
    lengths = np.array([5, 2, 0, 1])
    scores[2:, 1:] = np.nan  # padding
    found = viterbi(scores, lengths, transitions, start, end)

    def score(row, path):
        steps = sum(scores[row, t, tag] for t, tag in enumerate(path))
        return start[path[0]] + steps + sum(transitions[pair] for pair in itertools.pairwise(path)) + end[path[-1]]

    for row, length in enumerate(lengths.tolist()):
        paths = list(itertools.product(range(3), repeat=length))
        best = max(paths, key=lambda path: score(row, path)) if length else ()
        assert tuple(found[row, :length]) == best
        assert (found[row, length:] == 0).all()


def test_of_equals_the_first():
    nothing = np.zeros((3, 3))
    assert viterbi(np.zeros((1, 3, 3)), np.array([3]), nothing, nothing[0], nothing[0]).tolist() == [[0, 0, 0]]


def test_no_steps_and_no_rows():
    nothing = np.zeros((2, 2))
    assert viterbi(np.zeros((2, 0, 2)), np.zeros(2, int), nothing, nothing[0], nothing[0]).shape == (2, 0)
    assert viterbi(np.zeros((0, 3, 2)), np.zeros(0, int), nothing, nothing[0], nothing[0]).shape == (0, 3)
