"""The softmax over some symbols: what it estimates, exactly and on average, and how it is counted."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import stepscan as ss
from models import IDS, language_model
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.training.flops import training_flops

SYMBOLS, WIDTH = 40, 6


def given(items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(items, WIDTH).double(), torch.randn(SYMBOLS, WIDTH).double(), torch.randn(SYMBOLS).double()


def test_the_normaliser_is_right_on_average():
    x, weight, bias = given(1)
    target, counts = torch.tensor([3]), torch.eye(SYMBOLS)[3]
    samples, scores = SoftmaxSamples(counts, 10), F.linear(x, weight, bias)[0]
    found = [(samples.loss(x, weight, bias, target, 0.0) + scores[3]).exp().item() for _ in range(4000)]
    assert sum(found) / len(found) == pytest.approx(scores.exp().sum().item(), rel=0.02)


def test_what_is_frequent_counts_exactly():
    x, weight, bias = given(200)
    targets, counts = torch.arange(200) % 8, torch.zeros(SYMBOLS)
    counts[:8] = 25
    bias[8:] = -1000.0  # what is rare is as good as impossible
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    sampled = SoftmaxSamples(counts, 4).loss(x, weight, bias, targets, 0.0)
    whole = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")
    torch.testing.assert_close(sampled, whole)
    for got, expected in zip(*(torch.autograd.grad(loss, (x, weight, bias)) for loss in (sampled, whole)), strict=True):
        torch.testing.assert_close(got, expected)


def test_smoothing_is_spread_over_all_symbols_on_average():
    x, weight, bias = given(1)
    target, counts = torch.tensor([3]), torch.eye(SYMBOLS)[3]
    samples = SoftmaxSamples(counts, 30)
    torch.manual_seed(1)
    plain = [samples.loss(x, weight, bias, target, 0.0).item() for _ in range(4000)]
    torch.manual_seed(1)
    smooth = [samples.loss(x, weight, bias, target, 0.5).item() for _ in range(4000)]
    added = sum(b - a for a, b in zip(plain, smooth, strict=True)) / len(plain)
    scores = F.linear(x, weight, bias)
    whole = [F.cross_entropy(scores, target, label_smoothing=share).item() for share in (0.0, 0.5)]
    assert added == pytest.approx(whole[1] - whole[0], rel=0.05)


@pytest.mark.parametrize("number", [0, SYMBOLS])
def test_there_are_some_and_not_all(number):
    with pytest.raises(ValueError, match="number: expected a number of samples from 1 to 39"):
        SoftmaxSamples(torch.ones(SYMBOLS), number)


@pytest.mark.parametrize("tied", [False, True])
def test_training_alone_samples_and_computes_less(tied):
    targets = ss.Sequences(IDS.data, IDS.lengths)
    model, whole = language_model(tie_weights=tied), language_model(tie_weights=tied)
    model.samples = SoftmaxSamples(torch.tensor([0, 5, 4, 3, 2, 1, 0]), 2)
    assert model.loss(IDS, targets).total != whole.loss(IDS, targets).total
    assert model.eval().loss(IDS, targets).total == whole.eval().loss(IDS, targets).total
    width = 3 if tied else 4  # of an output weight
    less = 7 - model.samples.expected(10)
    assert 0 < less < 5
    assert training_flops(whole, 10) - training_flops(model, 10) == pytest.approx(6 * 10 * less * width)
