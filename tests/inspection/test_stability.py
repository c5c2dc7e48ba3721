"""Memory horizons, Lyapunov exponents and the Elman network's bound on cases with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.inspection import elman_bound, gradient_flow, lyapunov_exponent, memory_horizon


def linear_elman(matrix: torch.Tensor) -> ss.Elman:
    """relu over sums that a large bias keeps positive: h_t = W h_{t−1} + x_t + b."""
    size = len(matrix)
    layer = ss.Elman(size, size, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh.copy_(matrix)
        layer.weight_ih.copy_(torch.eye(size))
        layer.bias_ih.fill_(5.0)
    return layer


def noise(steps: int, size: int, rows: int = 2) -> ss.Sequences:
    data = torch.randn(rows, steps, size, generator=torch.Generator().manual_seed(4))
    return ss.Sequences(data, [steps] * rows)


def test_horizon_of_an_exponential_is_exact_between_the_lags():
    lags = np.arange(50)
    found = memory_horizon(lags, np.exp(-lags / 3.7))
    assert found.one_over_e == pytest.approx(3.7)
    assert found.one_percent == pytest.approx(3.7 * math.log(100))


def test_horizon_at_the_edges():
    lags = np.arange(4)
    assert memory_horizon(lags, np.array([1, 0.9, 0.8, 0.5])) == (math.inf, math.inf)
    assert memory_horizon(lags, np.array([1, 0, 0, 0])) == pytest.approx((1 - 1 / math.e, 0.99))
    assert memory_horizon(lags, np.array([0, 0, 0, 0])) == (0, 0)
    assert memory_horizon(lags, np.array([np.nan, 1, 0.5, 0.25])).one_over_e == pytest.approx(2 + math.log2(math.e / 2))
    # The first fall counts, whatever comes after it.
    assert memory_horizon(lags, np.array([1, math.exp(-1), 3, 4])).one_over_e == 1
    with pytest.raises(ValueError, match=r"lags \[K\] and median \[K\], got \[4\] and \[3\]"):
        memory_horizon(lags, np.ones(3))


@pytest.mark.parametrize("radius", [0.5, 0.95])
def test_lyapunov_of_a_linear_network_is_the_log_of_its_spectral_radius(radius):
    values = radius * torch.tensor([1.0, 0.7, -0.4, 0.2])
    basis = torch.linalg.qr(torch.rand(4, 4, generator=torch.Generator().manual_seed(0)))[0]
    shear = torch.eye(4) + torch.triu(torch.full((4, 4), 0.6), 1)
    matrix = shear @ basis @ torch.diag(values) @ basis.T @ torch.linalg.inv(shear)
    assert float(torch.linalg.matrix_norm(matrix, 2)) > radius * 1.01  # not normal: the norm would be the wrong answer
    layer = ss.Elman(4, 4)
    with torch.no_grad():
        layer.weight_hh.copy_(matrix)
        layer.weight_ih.zero_()  # h stays 0, where tanh is the identity
    assert lyapunov_exponent(layer, noise(400, 4)) == pytest.approx(math.log(radius), abs=1e-6)


def test_lyapunov_of_an_orthogonal_and_of_a_growing_linear_network():
    matrix = torch.linalg.qr(torch.rand(3, 3))[0]
    turning = ss.Elman(3, 3)
    with torch.no_grad():
        turning.weight_hh.copy_(matrix)
        turning.weight_ih.zero_()
    assert lyapunov_exponent(turning, noise(60, 3)) == pytest.approx(0, abs=1e-6)
    assert lyapunov_exponent(linear_elman(1.1 * torch.eye(3)), noise(60, 3)) == pytest.approx(math.log(1.1), abs=1e-6)


def test_lyapunov_of_a_contracting_network():
    """One unit: the exponent is the mean of ln |w (1 − h²)| along the way."""
    layer = ss.Elman(1, 1)
    with torch.no_grad():
        layer.weight_hh.fill_(0.8)
        layer.weight_ih.fill_(1.0)
    inputs = noise(300, 1)
    h = (
        layer.double().scan(inputs.to(torch.float64))[0].data[:, :270, 0].detach()
    )  # the last tenth only turns the vector
    expected = float((0.8 * (1 - h**2)).log().mean())
    assert lyapunov_exponent(layer, inputs) == pytest.approx(expected, rel=1e-6)
    assert lyapunov_exponent(layer, inputs) < math.log(0.8)


def test_lyapunov_is_over_the_whole_state_of_an_lstm():
    """f = 1, nothing read from h: c is kept exactly, so that the largest exponent is 0 whatever h does."""
    layer = ss.LSTM(2, 3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih[3:6] = 40.0
    assert lyapunov_exponent(layer, noise(50, 2)) == pytest.approx(0, abs=0.02)


def test_lyapunov_of_ragged_rows_counts_their_own_steps():
    layer = linear_elman(0.9 * torch.eye(3))
    data = noise(40, 3, rows=3).data
    assert lyapunov_exponent(layer, ss.Sequences(data, [40, 0, 11])) == pytest.approx(math.log(0.9), abs=1e-6)
    torch.manual_seed(2)
    cell = ss.GRU(3, 4)
    alone = lyapunov_exponent(cell, ss.Sequences(data[:1, :11], [11]))
    data[1:] = data[:1]
    assert lyapunov_exponent(cell, ss.Sequences(data[:1], [11])) == pytest.approx(alone, rel=1e-9)


def test_lyapunov_where_there_is_none():
    dead = ss.Elman(2, 2, nonlinearity="relu")
    with torch.no_grad():
        dead.bias_ih.fill_(-50.0)
    assert lyapunov_exponent(dead, noise(9, 2)) == -math.inf
    with pytest.raises(ValueError, match="growing cache: keys, values"):
        lyapunov_exponent(ss.Transformer(2, 4), noise(5, 2))
    with pytest.raises(ValueError, match="carries nothing from step to step"):
        lyapunov_exponent(ss.Linear(2, 2), noise(5, 2))


def test_bound_of_an_elman_network():
    matrix = torch.tensor([[0.0, 2.0], [0.5, 0.0]])
    layer = ss.Elman(2, 2)
    with torch.no_grad():
        layer.weight_hh.copy_(matrix)
        layer.weight_ih.copy_(torch.eye(2))
    inputs = ss.Sequences(torch.full((1, 1, 2), 0.5), [1])
    assert elman_bound(layer, inputs) == pytest.approx(2 * (1 - math.tanh(0.5) ** 2), rel=1e-6)
    assert elman_bound(linear_elman(matrix), inputs) == pytest.approx(2)
    with pytest.raises(TypeError, match="expected an Elman network, which the bound is for, got LSTM"):
        elman_bound(ss.LSTM(2, 2), inputs)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_no_gradient_is_above_the_bound(nonlinearity):
    torch.manual_seed(3)
    layer = ss.Elman(5, 12, nonlinearity=nonlinearity)
    inputs = ss.Sequences(noise(30, 5).data, [30, 17])
    bound = elman_bound(layer, inputs)
    found = gradient_flow(layer, inputs).fields["h"]
    powers = bound ** np.arange(30)
    assert (found.map[np.tril_indices(30)] <= powers[np.subtract(*np.tril_indices(30))] * (1 + 1e-9)).all()
    assert (found.high <= powers * (1 + 1e-9)).all()
    assert math.exp(lyapunov_exponent(layer, inputs)) <= bound
