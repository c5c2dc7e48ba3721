"""The cells that are a step and nothing else: first weights, numbers at the edges, what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

import stepscan as ss
from stepscan.definitions.cell_states import HiddenState
from stepscan.registry import build, describe
from zoo import STEPS

WIDE = 4000  # units: enough to see a distribution


def made(cell, *sizes, **arguments):
    torch.manual_seed(0)
    return cell(*sizes, **arguments)


def assert_uniform(values, low, high):
    values = values.detach()
    assert low <= values.min() < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < values.max() <= high
    assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))


@pytest.mark.parametrize("name", STEPS)
def test_they_are_data(name):
    cell = STEPS[name](3, 4)
    assert describe(cell) == {name: {"input_size": 3, "hidden_size": 4}}
    again = build(describe(cell))
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in cell.named_parameters()}
    assert repr(cell).startswith(f"{type(cell).__name__}(input_size=3, hidden_size=4")
    with pytest.raises(ValueError, match="hidden_size: expected a whole number of at least 1, got 0"):
        STEPS[name](3, 0)


@pytest.mark.parametrize("cell", [ss.MGU, ss.JANET, ss.PeepholeLSTM, ss.CoupledLSTM, ss.ResetBeforeGRU])
def test_recurrent_blocks_are_orthogonal(cell):
    layer = made(cell, 5, 8)
    for block in layer.weight_hh.split(8):
        torch.testing.assert_close(block @ block.T, torch.eye(8))
    bound = math.sqrt(6 / (5 + 8))
    assert 0.9 * bound < layer.weight_ih.abs().max() <= bound


@pytest.mark.parametrize(
    ("cell", "biases"),
    [
        (ss.PeepholeLSTM, [0, 0, 1, 1, 0, 0, 0, 0]),
        (ss.CoupledLSTM, [1, 1, 0, 0, 0, 0]),
        (ss.ResetBeforeGRU, [0] * 6),
        (ss.MGU, [0] * 4),
    ],
)
def test_first_biases(cell, biases):
    assert cell(3, 2).bias.tolist() == biases


def test_a_peephole_lstm_begins_as_an_lstm():
    cell, other = made(ss.PeepholeLSTM, 3, 4), made(ss.LSTM, 3, 4)
    rows = ss.Sequences(torch.randn(2, 5, 3), [5, 3])
    torch.testing.assert_close(cell(rows)[0].data, other(rows)[0].data)


def test_chrono_biases_of_janet():
    cell = ss.JANET(1, 8, t_max=50)
    forget, candidate = cell.bias.detach().chunk(2)
    assert candidate.tolist() == [0] * 8
    assert ((forget.exp() >= 1) & (forget.exp() <= 49 + 1e-4)).all()
    with pytest.raises(ValueError, match="t_max: expected a whole number of at least 3, got 2"):
        ss.JANET(1, 8, t_max=2)


@pytest.mark.parametrize("cell", [ss.MinGRU, ss.MinLSTM, ss.ParaGRU, ss.ParaLSTM])
def test_weights_of_x_are_those_of_linear(cell):
    layer = made(cell, 9, 500)
    for weight in (layer.weight_ih, layer.bias):
        assert_uniform(weight, -1 / 3, 1 / 3)


def test_indrnn_is_bounded():
    cell = made(ss.IndRNN, 1, WIDE, t_max=10)
    assert_uniform(cell.weight_self, 0, 2**0.1)
    with torch.no_grad():
        cell.weight_self.fill_(3.0)
        cell.weight_ih.zero_()
    start = HiddenState(torch.ones(1, WIDE))
    _, state = cell(ss.Sequences(torch.zeros(1, 10, 1), [10]), start)
    torch.testing.assert_close(state.h, torch.full_like(start.h, 2.0))  # at most twofold in t_max steps
    state.h.sum().backward()
    assert (cell.weight_self.grad > 1).all()  # so that the weight can return


def test_rates_of_rglru():
    cell = made(ss.RGLRU, 1, WIDE)
    assert_uniform(torch.exp(-8 * torch.nn.functional.softplus(cell.rate)), 0.9, 0.999)
    assert cell.gate_weights.shape == (2, 125, 32, 32)
    assert cell.gate_weights.std().item() == pytest.approx(32**-0.5, rel=0.01)


def test_a_closed_gate_of_rglru_has_a_gradient():
    """a = 1 exactly, where √(1 − a²) has none."""
    cell = made(ss.RGLRU, 4, 4)
    with torch.no_grad():
        cell.gate_bias.fill_(-200.0)
    x, h = torch.randn(2, 4).requires_grad_(), torch.randn(2, 4).requires_grad_()
    y, _ = cell.step(x, HiddenState(h))
    torch.testing.assert_close(y, h)
    y.sum().backward()
    assert h.grad.tolist() == torch.ones(2, 4).tolist()
    assert all(torch.isfinite(one.grad).all() for one in (x, *cell.parameters()))


def test_sru_keeps_the_variance():
    """Of inputs of variance 1 (Lei et al. 2018, §3.2); E[σ²] = 0.28 of gates, so 0.28² + 3 · 0.28 at the first item."""
    cell = made(ss.SRU, 500, 500)
    outputs, _ = cell(ss.Sequences.pad(list(torch.randn(4, 20, 500))))
    assert outputs.data[:, 0].var().item() == pytest.approx(0.92, abs=0.1)
    assert cell.weight_ih.std().item() == pytest.approx(math.sqrt((1 + 0.5 + 0.5) / 3 / 500), rel=0.02)
    assert cell.weight_ch.var().item() == pytest.approx(0.5, rel=0.1)


def test_minlstm_where_both_gates_are_shut():
    cell = ss.MinLSTM(1, 1)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias.copy_(torch.tensor([-200.0, -200.0, 3.0]))
    y, _ = cell.step(torch.zeros(1, 1), HiddenState(torch.ones(1, 1)))
    assert y.item() == pytest.approx((1 + 3) / 2)


def test_slstm_stays_finite():
    """Logarithms of gates of up to ±3,000."""
    cell = made(ss.SLSTM, 4, 4)
    with torch.no_grad():
        cell.weight_ih.mul_(1000)
        cell.weight_hh.normal_()
    data = 3 * torch.randn(3, 50, 4)
    outputs, state = cell(ss.Sequences(data.requires_grad_(), [50, 20, 1]))
    assert (outputs.data.abs() <= 1).all()
    assert (state.n >= 1).all()
    outputs.data.sum().backward()
    assert torch.isfinite(data.grad).all()
    assert all(torch.isfinite(one.grad).all() for one in cell.parameters())


def test_first_weights_of_slstm():
    cell = ss.SLSTM(3, 8, heads=2)
    assert cell.bias.tolist() == [0] * 16 + [3, 4, 5, 6] * 2 + [0] * 8
    assert not cell.weight_hh.any()
    with pytest.raises(ValueError, match="heads: expected a divisor of the hidden size 8, got 3"):
        ss.SLSTM(3, 8, heads=3)


def test_a_condition_of_slstm_is_what_it_stored():
    cell = made(ss.SLSTM, 2, 3)
    vector = torch.tensor([[1.0, 2, 3, 4, 5, 6]])
    state = cell.condition(vector)
    assert cell.readout(state).tolist() == [[1, 2, 3]]
    with torch.no_grad():
        cell.bias.copy_(torch.tensor([0.0] * 3 + [-80] * 3 + [80] * 3 + [80] * 3))  # nothing is stored or forgotten
        cell.weight_ih.zero_()
    y, _ = cell.step(torch.zeros(1, 2), state)
    torch.testing.assert_close(y, vector[:, 3:])


def test_zoneout_of_slstm_is_refused():
    """A mixture of two scales is the scale of nothing."""
    with pytest.raises(ValueError, match=r"got SLSTM\(3 → 4\)"):
        ss.Zoneout(ss.SLSTM(3, 4), 0.1)
    ss.laws.check(ss.Zoneout(ss.CoupledLSTM(3, 4), 0.1), examples=2)


def test_sizes_of_a_projected_lstm():
    cell = ss.ProjectedLSTM(3, 4, cell_size=7)
    assert [leaf.shape for leaf in cell.initial_state(2)] == [(2, 4), (2, 7)]
    assert cell.output_size == 4
    assert ss.ProjectedLSTM(3, 4).initial_state(1).c.shape == (1, 8)


@pytest.mark.parametrize("cell", [ss.IndRNN, ss.ParaGRU, ss.ParaLSTM])
def test_weight_drop_is_for_matrices(cell):
    """A dropped self-weight is scaled by 1 / (1 − p): of IndRNN's, the clip would undo that in training alone."""
    with pytest.raises(ValueError, match="expected a layer with parameters named 'weight_hh'"):
        ss.WeightDrop(cell(3, 4), 0.5)


@pytest.mark.parametrize("size", [-1e5, 1e5])
def test_the_first_item_of_slstm_is_stored_whatever_its_gate(size):
    cell = made(ss.SLSTM, 3, 4)
    with torch.no_grad():
        cell.bias.chunk(4)[1].fill_(size)
    x = torch.randn(2, 3)
    y, _ = cell.step(x, cell.initial_state(2))
    z, _, _, o = torch.nn.functional.linear(x, cell.weight_ih, cell.bias).chunk(4, dim=1)
    torch.testing.assert_close(y, torch.sigmoid(o) * torch.tanh(z))


def test_a_nearly_closed_gate_of_minlstm_counts():
    cell = made(ss.MinLSTM, 1, 1)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias.copy_(torch.tensor([5.0, -18.0, 1e6]))
    y, _ = cell.step(torch.zeros(1, 1), cell.initial_state(1))
    assert y.item() == pytest.approx(1e6 / (1 + math.exp(18) / (1 + math.exp(-5))), rel=1e-4)
    y.sum().backward()
    assert (cell.bias.grad != 0).all()


def test_a_nearly_closed_gate_of_rglru_is_exact():
    cell = made(ss.RGLRU, 4, 4)
    with torch.no_grad():
        cell.gate_weights.zero_()
        cell.gate_bias.copy_(torch.tensor([-14.0] * 4 + [0.0] * 4))
        cell.rate.fill_(-9.0)
    u = torch.ones(1, 4)
    y, _ = cell.step(u, cell.initial_state(1))
    exponent = 16 * math.log1p(math.exp(-9)) / (1 + math.exp(14))
    torch.testing.assert_close(y, torch.full_like(u, 0.5 * math.sqrt(-math.expm1(-exponent))), rtol=1e-5, atol=0)


def test_what_no_step_of_sru_reads_is_not_conditioned():
    cell, vector = made(ss.SRU, 3, 4), torch.randn(2, 4)
    assert cell.condition_size == 4
    assert cell.condition(vector).c is vector
