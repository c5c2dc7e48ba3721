"""A CRF of many tags: looked at in blocks, to the same bits."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stepscan.backends.batches import Batch
from stepscan.backends.weights import Weights
from stepscan.decoding.viterbi import viterbi
from stepscan.definitions import crf as module
from stepscan.definitions.crf import CRF

K = 7


@pytest.fixture
def field() -> CRF:
    random = np.random.default_rng(0)
    shapes = {"transitions": (K, K), "start": (K,), "end": (K,)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return CRF(K, [[0, 1], [-1, 2]]).bind(Weights(weights))


@pytest.mark.parametrize("terms", [1, 10, K * K, 3 * K * K])
def test_blocks_change_no_bit(field, monkeypatch, terms):
    data = np.random.default_rng(1).standard_normal((5, 6, K)).astype(np.float32)
    scores = Batch(data, np.array([6, 0, 3, 6, 1]))
    before = field.marginals(scores), field.log_normaliser(scores), field.best_paths(scores)
    monkeypatch.setattr(module, "SCORES", terms)
    monkeypatch.setattr(sys.modules[viterbi.__module__], "_TERMS_AT_ONCE", terms)
    after = field.marginals(scores), field.log_normaliser(scores), field.best_paths(scores)
    for left, right in zip(before, after, strict=True):
        assert np.array_equal(left, right)


def test_more_tags_than_a_byte_counts():
    """Each tag must be followed by the next one."""
    tags, steps = 300, 280
    transitions = np.where(np.eye(tags, k=1) > 0, 0.0, -1e30)
    start = np.where(np.arange(tags) == 10, 0.0, -1e30)
    found = viterbi(np.zeros((1, steps, tags)), np.array([steps]), transitions, start, np.zeros(tags))
    assert found[0].tolist() == list(range(10, 290))
