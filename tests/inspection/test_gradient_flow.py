"""Gradient flow against explicit Jacobians, finite differences and autograd over the whole graph."""

from __future__ import annotations

import copy
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

import stepscan as ss
from stepscan.dynamics.rollout import random_direction
from stepscan.inspection import gradient_flow
from stepscan.state import map_state, named_leaves

LENGTHS = [6, 0, 4, 1]
STEPS = max(LENGTHS)


class Leaky(ss.Recurrence):
    """A user's own cell: a bare tensor for a state, and an output that is not the state."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = size
        self.decay_ratio = torch.nn.Parameter(torch.linspace(0.3, 0.9, size))

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x, state):
        new = self.decay_ratio * state + torch.tanh(x * state) + x
        return torch.sin(new), new


INNER = ["inner.h", "inner.c", "last_output"]
LAYERS = {
    "elman": (lambda: ss.Elman(3, 4), ["h"]),
    "elman, relu": (lambda: ss.Elman(3, 4, nonlinearity="relu"), ["h"]),
    "lstm": (lambda: ss.LSTM(3, 4), ["h", "c"]),
    "gru": (lambda: ss.GRU(3, 4), ["h"]),
    "layer_norm_lstm": (lambda: ss.LayerNormLSTM(3, 4), ["h", "c"]),
    "a user's own": (lambda: Leaky(3), ["h"]),
    "stack": (lambda: ss.Stack([ss.LSTM(3, 4), ss.Dropout(4, 0.5), ss.GRU(4, 2)]), ["0.h", "0.c", "2.h"]),
    "residual": (lambda: ss.Residual(ss.Stack([ss.GRU(3, 3), ss.Linear(3, 3)])), ["inner.0.h"]),
    "zoneout": (lambda: ss.Zoneout(ss.Elman(3, 4), 0.3), ["h"]),
    "variational dropout": (lambda: ss.Stack([ss.VariationalDropout(3, 0.5), ss.Elman(3, 4)]), ["1.h"]),
    "transformer": (lambda: ss.Transformer(3, 4), ["keys", "values"]),
    "short context": (lambda: ss.Transformer(3, 4, context=3), ["keys", "values"]),
    "attentive decoder": (lambda: ss.AttentiveDecoder(ss.LSTM(7, 4), 2, 3, input_feeding=True), INNER),
    "transformer below a cell": (lambda: ss.Stack([ss.Transformer(3, 4), ss.LSTM(4, 3)]), None),
}


def made(name: str) -> ss.Recurrence:
    torch.manual_seed(7)
    layer = LAYERS[name][0]()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def some_inputs(size: int = 3) -> ss.Sequences:
    data = torch.randn(len(LENGTHS), STEPS, size, generator=torch.Generator().manual_seed(3))
    sequences = ss.Sequences(data, LENGTHS)
    data[~sequences.mask] = torch.nan  # must not count
    return sequences


def run_row(layer: ss.Recurrence, x: Tensor) -> tuple[list[Tensor], list]:
    """Outputs and states of one row `[t, I]`, with their history."""
    state = map_state(lambda leaf: leaf.requires_grad_(leaf.is_floating_point()), layer.initial_state(1))
    outputs, states = [], []
    for item in x:
        y, state = layer.step(item[None], state)
        outputs.append(y)
        states.append(state)
    return outputs, states


def expected_map(layer: ss.Recurrence, inputs: ss.Sequences, field: str, behind: int = 0) -> np.ndarray:
    """By autograd over the whole graph, row by row: the mean over rows of norms relative to lag `behind`."""
    layer = copy.deepcopy(layer).double().eval()
    found = np.full((len(inputs), STEPS, STEPS), np.nan)
    direction = random_direction(layer.output_size, torch.zeros(1, dtype=torch.float64))
    for row, length in enumerate(LENGTHS):
        outputs, states = run_row(layer, inputs.data[row, :length].double())
        for t in range(length):
            for s in range(t + 1):
                leaf = {name or "h": one for name, one in named_leaves(states[s])}[field]
                (g,) = torch.autograd.grad(outputs[t] @ direction, leaf, retain_graph=True, allow_unused=True)
                found[row, t, s] = 0 if g is None else g.norm()
    for t in range(STEPS):
        reference = found[:, t, max(t - behind, 0)].copy()
        reference[reference == 0] = np.nan
        found[:, t] /= reference[:, None]
    with np.errstate(all="ignore"):
        return np.nanmean(found, axis=0) if not np.isnan(found).all() else found[0]


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("name", LAYERS)
def test_is_what_back_propagation_through_the_whole_graph_gives(name):
    layer, fields = made(name), LAYERS[name][1]
    before = copy.deepcopy(layer.state_dict())
    found = gradient_flow(layer.train(), some_inputs(layer.input_size))
    assert layer.training
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    if fields is not None:
        assert list(found.fields) == fields
    for field, figures in found.fields.items():
        behind = 1 if field.endswith(("keys", "values", "last_output")) else 0
        np.testing.assert_allclose(
            figures.map, expected_map(layer, some_inputs(layer.input_size), field, behind), rtol=1e-9, err_msg=field
        )


def carried_jacobian(layer: ss.Recurrence, x: Tensor, state, field: str) -> Tensor:
    """∂(field after the steps over x [k, I]) / ∂(field before), other fields held: an explicit matrix `[H, H]`."""

    def run(leaf: Tensor) -> Tensor:
        carried = state._replace(**{field: leaf[None]})
        for item in x:
            y, carried = layer.step(item[None], carried)
        return y[0]

    return jacobian(run, getattr(state, field)[0])


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "layer_norm_lstm"])
def test_is_the_explicit_jacobian_and_what_finite_differences_give(name):
    """One full row: ‖gᵀ ∂y_t/∂h_s‖ with the Jacobian written out, and its every number from two nearby states."""
    layer = copy.deepcopy(made(name)).double()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = gradient_flow(layer, ss.Sequences(x[None], [5])).fields["h"].map
    direction = random_direction(4, x)
    with torch.no_grad():
        _, states = run_row(layer, x)
    for s, t in [(0, 4), (1, 4), (2, 3), (0, 1)]:
        state = map_state(torch.Tensor.detach, states[s])
        explicit = direction @ carried_jacobian(layer, x[s + 1 : t + 1], state, "h")
        assert found[t, s] == pytest.approx(float(explicit.norm()), rel=1e-10)  # at lag 0 it is g, of length 1

        def moved(size: Tensor, s: int = s, t: int = t, state=state) -> Tensor:
            carried = state._replace(h=state.h + size)
            for item in x[s + 1 : t + 1]:
                y, carried = layer.step(item[None], carried)
            return direction @ y[0].detach()

        small = 1e-6 * torch.eye(4, dtype=torch.float64)
        differences = torch.stack([(moved(e) - moved(-e)) / 2e-6 for e in small])
        torch.testing.assert_close(differences, explicit, rtol=1e-6, atol=1e-9)


def test_the_cell_of_an_lstm_is_counted_with_its_own_output():
    """Relative to o_t (1 − tanh² c_t) g, a cell that nothing but f acts on keeps f^k of its gradient."""
    layer = ss.LSTM(2, 3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih[3:6] = 40.0  # f = 1
        layer.bias_ih[6:9] = 0.3
    found = gradient_flow(layer, ss.Sequences(torch.zeros(2, 5, 2), [5, 5])).fields
    np.testing.assert_allclose(found["c"].map[4], 1, rtol=1e-6)
    np.testing.assert_allclose(found["h"].median, [1, 0, 0, 0, 0], atol=1e-12)  # no weight reads h
    with torch.no_grad():
        layer.bias_ih[3:6] = 0.0  # f = 1/2
    halved = gradient_flow(layer, ss.Sequences(torch.zeros(2, 5, 2), [5, 5]), field="c").fields["c"]
    np.testing.assert_allclose(halved.median, 0.5 ** np.arange(5), rtol=1e-6)


def test_linear_elman_is_the_power_of_its_matrix():
    """relu over positive sums is the identity: ‖(Wᵀ)^k g‖ exactly, at every time."""
    torch.manual_seed(0)
    layer = ss.Elman(2, 5, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh.copy_(0.15 * torch.rand(5, 5))
        layer.weight_ih.copy_(torch.rand(5, 2))
    found = gradient_flow(layer, ss.Sequences(torch.rand(3, 8, 2) + 0.1, [8, 8, 8])).fields["h"]
    vector = random_direction(5, torch.zeros(1, dtype=torch.float64))
    expected = []
    for _ in range(8):
        expected.append(float(vector.norm()))
        vector = layer.weight_hh.detach().double().T @ vector
    for curve in (found.median, found.low, found.high):
        np.testing.assert_allclose(curve, expected, rtol=1e-10)
    np.testing.assert_allclose([found.map[7, 7 - k] for k in range(8)], expected, rtol=1e-10)
    assert np.isnan(found.map[np.triu_indices(8, 1)]).all()
    assert list(found.lags) == list(range(8))


def test_median_and_quantiles_are_over_batch_and_time():
    layer = made("elman")
    data = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(2))
    found = gradient_flow(layer, ss.Sequences(data, [5, 5, 2])).fields["h"]
    values = []
    for row, length in enumerate([5, 5, 2]):
        one = gradient_flow(layer, ss.Sequences(data[row : row + 1, :length], [length])).fields["h"].map
        values += [one[t, t - 1] for t in range(1, length)]
    assert found.median[1] == pytest.approx(np.median(values), rel=1e-12)
    assert (found.low[1], found.high[1]) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])), rel=1e-12)
    assert found.map[4, 2] == pytest.approx(
        np.mean([gradient_flow(layer, ss.Sequences(data[i : i + 1], [5])).fields["h"].map[4, 2] for i in (0, 1)]),
        rel=1e-12,
    )


def test_in_pieces_it_is_the_same(monkeypatch):
    layer, inputs = made("lstm"), some_inputs()
    whole = gradient_flow(layer, inputs).fields
    monkeypatch.setattr(sys.modules["stepscan.inspection.gradient_flow"], "_MAX_STATE_ELEMENTS", 70)
    for name, figures in gradient_flow(layer, inputs).fields.items():
        np.testing.assert_allclose(figures.map, whole[name].map, rtol=1e-12)
        np.testing.assert_allclose(figures.median, whole[name].median, rtol=1e-12)


def test_starts_from_a_given_state():
    layer = made("gru")
    x = torch.randn(1, 7, 3)
    _, state = layer.scan(ss.Sequences(x[:, :3], [3]))
    later = gradient_flow(layer, ss.Sequences(x[:, 3:], [4]), state=state).fields["h"].map
    np.testing.assert_allclose(later, gradient_flow(layer, ss.Sequences(x, [7])).fields["h"].map[3:, 3:], rtol=1e-5)


def test_one_field_or_several_of_one_beginning():
    layer = made("stack")
    assert list(gradient_flow(layer, some_inputs(), field="0").fields) == ["0.h", "0.c"]
    assert list(gradient_flow(layer, some_inputs(), field="0.c").fields) == ["0.c"]
    with pytest.raises(ValueError, match=r"expected a field of Stack\(3 → 2\) \(0\.h, 0\.c, 2\.h\), got '2\.c'"):
        gradient_flow(layer, some_inputs(), field="2.c")


def test_works_in_inference_mode_and_with_frozen_weights():
    layer = made("lstm").requires_grad_(False)
    expected = gradient_flow(layer, some_inputs()).fields["c"].map
    with torch.inference_mode():
        found = gradient_flow(layer, some_inputs()).fields["c"].map
    np.testing.assert_array_equal(found, expected)


def test_a_dead_network_has_no_figures():
    layer = ss.Elman(2, 3, nonlinearity="relu")
    with torch.no_grad():
        layer.bias_ih.fill_(-100.0)
    found = gradient_flow(layer, ss.Sequences(torch.zeros(1, 4, 2), [4])).fields["h"]
    np.testing.assert_array_equal(found.median, [1, 0, 0, 0])  # h itself is the output at lag 0; nothing goes further


@pytest.mark.parametrize(
    ("layer", "kind", "words"),
    [
        (lambda: ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2)), TypeError, r"stepscan\.inspection\.recurrences lists"),
        (lambda: ss.Linear(3, 2), ValueError, r"Linear\(3 → 2\) carries nothing from step to step"),
        (lambda: ss.GRU(4, 2), ValueError, r"expected inputs \[B, T, 4\]"),
    ],
)
def test_errors(layer, kind, words):
    with pytest.raises(kind, match=words):
        gradient_flow(layer(), some_inputs())


def test_nothing_to_follow():
    with pytest.raises(ValueError, match="at least one item to roll out over, got 2 rows of length 0"):
        gradient_flow(ss.GRU(3, 2), ss.Sequences(torch.zeros(2, 4, 3), [0, 0]))


def test_a_long_sequence_takes_seconds():
    torch.manual_seed(0)
    inputs = ss.Sequences(torch.randn(8, 200, 64), [200] * 8)
    start = time.perf_counter()
    found = {name: gradient_flow(cell(64, 64), inputs) for name, cell in (("elman", ss.Elman), ("lstm", ss.LSTM))}
    assert time.perf_counter() - start < 20  # about 1.5 s on one quiet core
    curves = found["elman"].fields["h"].median, found["lstm"].fields["c"].median
    assert all(later < sooner for sooner, later in pairwise(curves[0][:40:5]))
    assert curves[0][100] < 1e-12 < curves[1][100]
