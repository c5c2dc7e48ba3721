from __future__ import annotations

import warnings

import numpy as np
import torch
from torch.nn import functional as F

from stepscan.backends.probabilities import nats, sigmoid, softmax

SCORES = np.random.default_rng(0).normal(0, 3, size=(50, 7)).astype(np.float32)


def test_they_are_torchs():
    scores = torch.from_numpy(SCORES).double()
    np.testing.assert_allclose(softmax(SCORES), scores.softmax(dim=1), rtol=1e-6)
    np.testing.assert_allclose(sigmoid(SCORES), scores.sigmoid(), rtol=1e-6)
    targets = np.arange(50) % 7
    expected = F.cross_entropy(scores, torch.from_numpy(targets), reduction="none")
    np.testing.assert_allclose(nats(SCORES, targets), expected, rtol=1e-5, atol=1e-6)
    assert (softmax(SCORES).dtype, sigmoid(SCORES).dtype, nats(SCORES, targets).dtype) == ("f4", "f4", "f8")


def test_a_row_alone_is_a_row_in_a_batch():
    for function in (softmax, sigmoid):
        for start in (0, 1, 17):
            together = function(SCORES[start:])
            assert all(
                np.array_equal(function(row[None])[0], one) for row, one in zip(SCORES[start:], together, strict=True)
            )
    sliced = np.repeat(SCORES, 2, axis=0)[::2]
    assert np.array_equal(softmax(sliced), softmax(SCORES))


def test_scores_far_apart():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        far = np.array([[1e4, -1e4, 0.0]], dtype=np.float32)
        assert softmax(far).tolist() == [[1.0, 0.0, 0.0]]
        assert sigmoid(far).tolist() == [[1.0, 0.0, 0.5]]
        assert nats(far, np.array([1])).tolist() == [2e4]


def test_no_rows():
    empty = SCORES[:0]
    assert softmax(empty).shape == (0, 7)
    assert nats(empty, np.zeros(0, dtype=np.int64)).shape == (0,)
