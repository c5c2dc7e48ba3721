"""The generator of numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

import stepscan as ss
from stepscan.patterns.numeric_generator import LEVELS


def forecaster(head: str, size: int = 2) -> ss.NumericGenerator:
    torch.manual_seed(0)
    numbers = ss.NumericEmbedding(size, 3).standardise([torch.randn(50, size).numpy() * 5 + 20])
    model = ss.NumericGenerator(numbers, ss.GRU(3, 4), head)
    torch.nn.init.normal_(model.output.weight)
    return model.eval()


@pytest.mark.parametrize("head", ["gaussian", "quantile"])
def test_step_is_scan(head):
    model, x = forecaster(head), torch.randn(3, 5, 2, dtype=torch.float64)
    known, final = model(ss.Sequences(x, [5, 5, 5]))
    state = model.initial_state(3)
    for t in range(5):
        one, state = model.step(x[:, t], state)
        torch.testing.assert_close(one, known.data[:, t])
    torch.testing.assert_close(final.h, state.h)


def test_gaussian_likelihood_by_hand():
    model = forecaster("gaussian", 1)
    x = torch.tensor([[[18.0], [25.0], [21.0]]], dtype=torch.float64)
    total, count, _ = model.loss(ss.Sequences(x[:, :2], [2]), ss.Sequences(x[:, 1:], [2]))
    known, _ = model(ss.Sequences(x[:, :2], [2]))
    means, deviations = known.data[0, :, 0].detach().double().unbind(dim=1)
    true = (x[0, 1:, 0] - model.embedding.mean) / model.embedding.deviation
    assert count == 2
    assert total.item() == pytest.approx(-sum(norm.logpdf(true, means, deviations)), rel=1e-5)


def test_pinball_loss_by_hand():
    model = forecaster("quantile", 1)
    known = torch.arange(len(LEVELS), dtype=torch.float32)[None, None]
    true = torch.from_numpy(restored(model, [[4.3]]))
    by_hand = sum((level if q < 4.3 else level - 1) * (4.3 - q) for q, level in enumerate(LEVELS)) / len(LEVELS)
    assert model.losses(known, true).item() == pytest.approx(by_hand, rel=1e-5)


def test_padding_counts_for_nothing():
    model = forecaster("gaussian")
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    x[1, 2:] = math.nan
    both = model.loss(ss.Sequences(x[:, :3], [3, 1]), ss.Sequences(x[:, 1:], [3, 1]))
    rows = [(x[:1, :3], x[:1, 1:4], [3]), (x[1:, :1], x[1:, 1:2], [1])]
    alone = [model.loss(ss.Sequences(inputs, n), ss.Sequences(targets, n)) for inputs, targets, n in rows]
    assert both.items == 8
    assert both.total.item() == pytest.approx(sum(one.total.item() for one in alone), rel=1e-5)


def restored(model: ss.NumericGenerator, standardised: object) -> np.ndarray:
    return model.embedding.mean.numpy() + model.embedding.deviation.numpy() * np.array(standardised)


def test_quantiles():
    model, share = forecaster("gaussian", 1), np.array([[0.05], [0.5], [0.95]])
    found = model.quantiles(np.broadcast_to([[1.0, 2.0]], (3, 1, 2)), share)
    assert found == pytest.approx(restored(model, norm.ppf([0.05, 0.5, 0.95], 1, 2)[:, None]), rel=1e-12)
    assert np.isinf(model.quantiles(np.array([[[1.0, 2.0]]]), np.array([[0.0]])))
    model = forecaster("quantile", 1)
    known = np.arange(len(LEVELS), 0, -1, dtype=np.float32)[None, None]  # that cross: put in order
    for share, place in ((0.025, 1), (0.5, 7), (0.55, 7.5), (0.001, 1), (0.999, len(LEVELS))):
        assert model.quantiles(known, np.array([[share]])) == pytest.approx(restored(model, [[place]]))


def test_begins_as_a_random_walk():
    model = ss.NumericGenerator(ss.NumericEmbedding(1, 3), ss.GRU(3, 4))
    known, _ = model(ss.Sequences(torch.tensor([[[3.0], [5.0]]]), [2]))
    assert known.data[0, :, 0, 0].tolist() == [3, 5]


def test_refused():
    with pytest.raises(TypeError, match="NumericGenerator: expected a causal layer"):
        ss.NumericGenerator(ss.NumericEmbedding(1, 3), ss.Bidirectional(ss.GRU(3, 4), ss.GRU(3, 4)))
    with pytest.raises(
        ValueError, match=r"head: expected 'gaussian' or 'quantile', got 'gausian'\. Did you mean 'gaussian'"
    ):
        ss.NumericGenerator(ss.NumericEmbedding(1, 3), ss.GRU(3, 4), "gausian")
