"""Gates against the cells' own equations and against hand-set weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan import kernels
from stepscan.dynamics.gates import gate_statistics
from stepscan.dynamics.recurrences import recurrences

CELLS = {"elman": ss.Elman, "lstm": ss.LSTM, "gru": ss.GRU, "layer_norm_lstm": ss.LayerNormLSTM}


def some_inputs(size: int = 3) -> ss.Sequences:
    data = torch.randn(3, 6, size, generator=torch.Generator().manual_seed(3))
    sequences = ss.Sequences(data, [6, 0, 4])
    data[~sequences.mask] = torch.nan
    return sequences


def silenced(layer: ss.Layer) -> ss.Layer:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm"])
def test_the_state_follows_from_the_gates(name):
    torch.manual_seed(0)
    cell, x = CELLS[name](3, 4), torch.randn(5, 3)
    with torch.no_grad(), kernels.use("reference"):
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        state = cell.step(x, cell.initial_state(5))[1]
        found = cell.named_gates(x, state)
        y, new = cell.step(x, state)
    if name == "gru":
        z = found["update"]
        torch.testing.assert_close((1 - z) * found["candidate"] + z * state.h, new.h)
        return
    c = found["forget"] * state.c + found["input"] * found["candidate"]
    torch.testing.assert_close(c, new.c)
    inner = c if name == "lstm" else torch.nn.functional.layer_norm(c, [4], cell.gain_c, cell.bias_c)
    torch.testing.assert_close(found["output"] * inner.tanh(), y)


def test_the_reset_gate_of_a_gru():
    """r by itself, from the candidate: n = tanh(a + r b) with a and b known."""
    torch.manual_seed(1)
    cell, x = ss.GRU(2, 3), torch.randn(4, 2)
    state = cell.initial_state(4)._replace(h=torch.randn(4, 3))
    with torch.no_grad():
        found = cell.named_gates(x, state)
        a = x @ cell.weight_ih[6:].T + cell.bias_ih[6:]
        b = state.h @ cell.weight_hh[6:].T + cell.bias_hh[6:]
    torch.testing.assert_close((found["candidate"].atanh() - a) / b, found["reset"], rtol=1e-4, atol=1e-4)


def test_figures_of_a_hand_set_lstm():
    """Gates that stand still: unit 0 forgets with f = 1/2, unit 1 holds with f = σ(5), the input gate stands shut."""
    layer = silenced(ss.LSTM(3, 2))
    with torch.no_grad():
        layer.bias_ih.copy_(torch.tensor([-9.0, -9.0, 0.0, 5.0, 1.0, -1.0, 9.0, 0.0]))
    (name, found), *_ = gate_statistics(layer, some_inputs()).items()
    forget = 1 / (1 + math.exp(-5))
    assert name == "lstm"
    assert list(found.gates) == ["input", "forget", "candidate", "output"]
    assert found.time_constants == pytest.approx([1 / math.log(2), -1 / math.log(forget)], rel=1e-5)
    of = found.gates["forget"]
    assert of.mean == pytest.approx((0.5 + forget) / 2)
    assert of.unit_mean == pytest.approx([0.5, forget])
    assert (of.saturated_low, of.saturated_high) == (0, 0.5)
    assert of.unit_saturated_high.tolist() == [0, 1]
    assert of.quantiles == pytest.approx([0.5, 0.5, (0.5 + forget) / 2, forget, forget])
    assert of.histogram.sum() == pytest.approx(1)
    assert of.histogram[[10, 19]] == pytest.approx([0.5, 0.5])
    assert (of.bin_edges[0], of.bin_edges[-1], len(of.bin_edges)) == (0, 1, 21)
    assert found.gates["input"].saturated_low == 1
    candidate = found.gates["candidate"]
    assert candidate.unit_mean == pytest.approx([math.tanh(1), -math.tanh(1)])
    assert (candidate.saturated_low, candidate.saturated_high) == (0, 0)  # tanh 1 = 0.76 lies below 0.8
    assert (candidate.bin_edges[0], candidate.bin_edges[-1]) == (-1, 1)
    assert found.dead_units.tolist() == [0, 1]  # shut: h stays within 0.001 of 0


def test_padding_does_not_count():
    torch.manual_seed(0)
    layer = ss.GRU(3, 4)
    inputs = some_inputs()
    found = gate_statistics(layer, inputs)["gru"]
    rows = [ss.Sequences(inputs.data[i : i + 1, :n], [n]) for i, n in ((0, 6), (2, 4))]
    alone = [gate_statistics(layer, row)["gru"].gates["update"].unit_mean for row in rows]
    assert found.gates["update"].unit_mean == pytest.approx((6 * alone[0] + 4 * alone[1]) / 10, rel=1e-5)


def test_time_constants_are_of_the_mean_logarithm():
    """f alternates between 1/2 and 1/8: the product falls as 1/4 a step."""
    layer = silenced(ss.LSTM(1, 1))
    with torch.no_grad():
        layer.weight_ih[1, 0] = 1.0
    logit = [math.log(f / (1 - f)) for f in (0.5, 0.125, 0.5, 0.125)]
    inputs = ss.Sequences(torch.tensor(logit).view(1, 4, 1), [4])
    assert gate_statistics(layer, inputs)["lstm"].time_constants == pytest.approx([1 / math.log(4)], rel=1e-5)


def test_a_gate_that_never_opens_holds_for_ever():
    layer = silenced(ss.GRU(3, 1))
    with torch.no_grad():
        layer.bias_ih[1] = 1000.0
    assert gate_statistics(layer, some_inputs())["gru"].time_constants.tolist() == [math.inf]


def test_elman_networks_have_an_activation_and_dead_units():
    layer = silenced(ss.Elman(3, 3))
    with torch.no_grad():
        layer.weight_ih[2] = 1.0
        layer.bias_ih[:2] = torch.tensor([9.0, 0.0])
    found = gate_statistics(layer, some_inputs())["elman"]
    assert found.dead_units.tolist() == [0, 1]
    assert found.time_constants.shape == (0,)
    assert found.gates["activation"].unit_saturated_high[:2].tolist() == [1, 0]
    relu = silenced(ss.Elman(3, 2, nonlinearity="relu"))
    with torch.no_grad():
        relu.bias_ih.copy_(torch.tensor([-1.0, 2.0]))
    found = gate_statistics(relu, some_inputs())["elman"]
    assert found.gates["activation"].unit_saturated_low.tolist() == [1, 0]
    assert found.gates["activation"].bin_edges[-1] == pytest.approx(2)


def test_every_cell_of_a_tree_is_found_and_the_layer_is_left_alone():
    torch.manual_seed(0)
    layer = ss.Stack(
        [
            ss.Bidirectional(ss.LSTM(3, 2), ss.GRU(3, 2)),
            ss.Dropout(4, 0.5),
            ss.Residual(ss.Zoneout(ss.LayerNormLSTM(4, 4), 0.1)),
            ss.Transformer(4, 4),
        ]
    )
    expected = layer.eval()(some_inputs())[0].data
    layer.train()
    found = gate_statistics(layer, some_inputs())
    assert list(found) == ["0.forward", "0.backward", "2.layer.layer"]
    assert layer.training
    assert torch.equal(layer.eval()(some_inputs())[0].data, expected)
    backward = ss.Bidirectional(ss.LSTM(3, 2), ss.GRU(3, 2))
    backward.backward_layer = layer.layers[0].backward_layer
    alone = gate_statistics(layer.layers[0].backward_layer, some_inputs().reversed())["gru"]
    assert found["0.backward"].gates["reset"].unit_mean == pytest.approx(alone.gates["reset"].unit_mean, rel=1e-6)


def test_layers_without_gates_and_without_items():
    assert gate_statistics(ss.Transformer(3, 4), some_inputs()) == {}
    with pytest.raises(ValueError, match="at least one item to compute gates for, got 2 rows of length 0"):
        gate_statistics(ss.LSTM(3, 2), ss.Sequences(torch.zeros(2, 0, 3), [0, 0]))


def test_parts_of_a_layer_that_is_no_recurrence():
    torch.manual_seed(0)
    first, second = ss.LSTM(3, 2), ss.GRU(3, 2)
    top = ss.Stack([ss.Elman(4, 2)])
    layer = ss.Stack([ss.Bidirectional(first, second), ss.Dropout(4, 0.5), top])
    found = recurrences(layer, some_inputs())
    assert [(one.name, one.is_reversed) for one in found] == [("0.forward", False), ("0.backward", True), ("2", False)]
    assert [one.layer for one in found] == [first, second, top]
    clean = some_inputs().zeroed()
    assert torch.equal(found[0].inputs.zeroed().data, clean.data)
    assert torch.equal(found[1].inputs.data, clean.reversed().data)
    torch.testing.assert_close(found[2].inputs.data, layer.layers[0](some_inputs())[0].data)
    assert recurrences(first, some_inputs())[0].layer is first
    _, state = layer.scan(some_inputs())
    of_states = [one.state for one in recurrences(layer, some_inputs(), state)]
    assert of_states == [state[0].forward, state[0].backward, state[2]]
    assert (
        recurrences(ss.BidirectionalTransformer(3, 4), some_inputs())
        == recurrences(ss.Linear(3, 4), some_inputs())
        == []
    )
    assert np.isfinite(found[2].inputs.data.numpy()).all()
