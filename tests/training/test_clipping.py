from __future__ import annotations

import pytest
import torch
from fake_task import SETTINGS, Line, trained

from stepscan.options import TrainingOptions
from stepscan.training.clipping import clip_gradients


def clipped(numbers, items=1, **changes):
    gradients = [torch.tensor(row) for row in numbers]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item() / items
    result = clip_gradients(gradients, norm, items, TrainingOptions(**{**SETTINGS, **changes}))
    return [gradient.tolist() for gradient in gradients], result


def test_by_norm():
    gradients, result = clipped([[3.0], [0.0, -4.0]], max_grad_norm=1.0)
    assert gradients == [pytest.approx([0.6], abs=1e-6), pytest.approx([0.0, -0.8], abs=1e-6)]
    assert result == (5.0, True)


def test_by_value():
    """Each number is cut; their norm is then below the largest."""
    gradients, result = clipped([[3.0], [0.25, -4.0]], max_grad_norm=10.0, max_grad_value=0.5)
    assert gradients == [[0.5], [0.25, -0.5]]
    assert result.is_clipped


def test_by_value_and_then_by_norm():
    gradients, _ = clipped([[3.0], [0.3, -4.0]], max_grad_norm=0.25, max_grad_value=0.4)
    norm = (0.4**2 + 0.3**2 + 0.4**2) ** 0.5
    expected = [0.25 / norm * number for number in (0.4, 0.3, -0.4)]
    assert gradients[0] + gradients[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("max_grad_value", [None, 2.0])
def test_small_ones_are_divided_alone(max_grad_value):
    gradients, result = clipped([[1.0], [0.5, -2.0]], items=4, max_grad_norm=1.0, max_grad_value=max_grad_value)
    assert gradients == [[0.25], [0.125, -0.5]]
    assert not result.is_clipped
    assert result.norm == pytest.approx(5.25**0.5 / 4)


def test_the_loop_clips_by_value():
    model = Line(factor=1000.0)
    trained(model, max_grad_norm=1e9, max_grad_value=0.125, learning_rate=1e-6, epochs=1)
    assert model.weight.grad.tolist() == [[0.125, 0.0]]
    assert model.bias.grad.tolist() == [0.125]
