"""Cross-entropy beside PyTorch's: values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stepscan.patterns.loss import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("items", [0, 1, 7])
def test_as_pytorch_has_it(items: int, smoothing: float) -> None:
    scores = (
        3 * torch.randn(items, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    targets = torch.arange(items) % 5
    found = cross_entropy(scores, targets, smoothing)
    expected = F.cross_entropy(scores, targets, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    (2 * found).backward(retain_graph=True)
    (gradient,) = torch.autograd.grad(2 * expected, scores)
    torch.testing.assert_close(scores.grad, gradient)
    torch.testing.assert_close(torch.autograd.grad(2 * found, scores)[0], gradient)  # a second time


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_count_each_item(smoothing: float) -> None:
    scores = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    targets, weights = torch.tensor([0, 1, 2, 0]), torch.tensor([0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
    found = cross_entropy(scores, targets, smoothing, weights)
    expected = (weights * F.cross_entropy(scores, targets, reduction="none", label_smoothing=smoothing)).sum()
    torch.testing.assert_close(found, expected)
    (own,) = torch.autograd.grad(3 * found, scores)
    torch.testing.assert_close(own, torch.autograd.grad(3 * expected, scores)[0])


def test_impossible_scores() -> None:
    scores = torch.tensor([[1.0, float("-inf"), 2.0]], requires_grad=True)
    loss = cross_entropy(scores, torch.tensor([2]))
    loss.backward()
    assert loss.item() == pytest.approx(0.3133, abs=1e-4)
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
