from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.registry import build, describe


def series(seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(5, [1, 100], size=(length, 2)) for length in (3, 7, 1)]


def test_standardises_by_all_steps_together():
    numbers = NumericEmbedding(2).standardise(series())
    z = numbers.step(torch.from_numpy(np.concatenate(series()))).double().numpy()
    assert z.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert z.std(axis=0) == pytest.approx(1, abs=1e-6)


def test_scale_and_shift_of_the_data_change_nothing():
    plain, moved = series(), [one * [1e6, 1e-6] + [1e9, 3] for one in series()]
    torch.manual_seed(0)
    numbers = NumericEmbedding(2, 4)
    expected = numbers.standardise(plain).step(torch.from_numpy(plain[1]))
    found = numbers.standardise(moved).step(torch.from_numpy(moved[1]))
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_constant_dimension_becomes_zero():
    steps = np.array([[0.1, 1], [0.1, 2], [0.1, 3]])
    z = NumericEmbedding(2).standardise([steps]).step(torch.from_numpy(steps))
    assert z[:, 0].tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert z[:, 1].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])


def test_restored_is_the_inverse():
    numbers = NumericEmbedding(2).standardise(series())
    steps = torch.from_numpy(series()[1])
    assert torch.allclose(numbers.restored(numbers.standardised(steps)), steps, rtol=1e-6)


def test_padding_stays_zero():
    numbers = NumericEmbedding(1, 3).standardise([np.array([[4.0], [6.0]])])
    out = numbers(ss.Sequences(torch.full((2, 3, 1), 5.0), torch.tensor([1, 3])))
    assert out.data[0, 1:].eq(0).all()
    assert torch.allclose(out.data[1, 0], numbers.projection.bias)


def test_noise_is_for_training_alone():
    numbers = NumericEmbedding(1, noise=0.5)
    x = torch.zeros(20000, 1)
    torch.manual_seed(0)
    assert numbers.step(x).std().item() == pytest.approx(0.5, rel=0.03)
    assert numbers.eval().step(x).eq(0).all()


def test_described_and_saved():
    numbers = NumericEmbedding(2, 3, dropout=0.1, noise=0.2).standardise(series())
    again = build(describe(numbers))
    again.load_state_dict(numbers.state_dict())
    x = torch.from_numpy(series(1)[1])
    assert torch.equal(again.eval().step(x), numbers.eval().step(x))
    assert (again.dropout, again.noise) == (0.1, 0.2)


def test_refused():
    with pytest.raises(ss.SettingsError, match="got only empty series"):
        NumericEmbedding(1).standardise([np.zeros((0, 1))])
    with pytest.raises(ss.SettingsError, match=r"expected values that float64 can standardise, got 1e\+300"):
        NumericEmbedding(1).standardise([np.array([[1e300], [-1e300]])])
