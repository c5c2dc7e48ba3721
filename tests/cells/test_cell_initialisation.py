"""First weights: what each initialisation says, to the number, and what it refuses."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

import stepscan as ss
from stepscan.definitions.definition import specify
from stepscan.registry import build, describe

WIDE = 4000  # units: enough to see a distribution


def chrono(make, hidden_size=WIDE, t_max=100):
    torch.manual_seed(0)
    return make(1, hidden_size, initialisation="chrono", t_max=t_max)


def narrow_blocks(monkeypatch):
    """An orthogonal matrix of 4000 × 4000 takes minutes."""
    monkeypatch.setattr(torch.nn.init, "orthogonal_", lambda block: block)


def assert_chrono(forget: torch.Tensor, t_max: int) -> None:
    """b = log u, u ~ U(1, T_max − 1): all within, and the mean and quartiles of u those of the uniform distribution."""
    u = forget.exp()
    assert 1 <= u.min() < 1.1
    assert t_max - 2 < u.max() <= t_max - 1 + 1e-3
    for share in (0.25, 0.5, 0.75):
        assert u.quantile(share).item() == pytest.approx(1 + share * (t_max - 2), abs=3)
    assert u.mean().item() == pytest.approx(t_max / 2, abs=2)


def test_chrono_lstm(monkeypatch):
    narrow_blocks(monkeypatch)
    cell = chrono(ss.LSTM)
    of_input, of_forget, of_candidate, of_output = (cell.bias_ih + cell.bias_hh).detach().chunk(4)
    assert_chrono(of_forget, 100)
    assert torch.equal(of_input, -of_forget)
    assert (of_candidate == 0).all()
    assert (of_output == 0).all()


def test_chrono_gru(monkeypatch):
    narrow_blocks(monkeypatch)
    reset, update, candidate = chrono(ss.GRU).bias_ih.detach().chunk(3)
    assert_chrono(update, 100)
    assert (reset == 0).all()
    assert (candidate == 0).all()


def test_chrono_layer_norm_lstm(monkeypatch):
    narrow_blocks(monkeypatch)
    of_input, of_forget, of_candidate, of_output = chrono(ss.LayerNormLSTM).bias.detach().chunk(4)
    assert_chrono(of_forget, 100)
    assert torch.equal(of_input, -of_forget)
    assert (of_candidate == 0).all()
    assert (of_output == 0).all()


def test_chrono_leaves_the_other_weights_as_they_are():
    torch.manual_seed(0)
    plain = ss.LSTM(3, 5)
    torch.manual_seed(0)
    cell = ss.LSTM(3, 5, initialisation="chrono", t_max=20)
    assert torch.equal(plain.weight_ih, cell.weight_ih)
    assert torch.equal(plain.weight_hh, cell.weight_hh)


def test_chrono_holds_as_long_as_it_says():
    """Without input a unit keeps f = u/(1 + u) of c a step: −1/ln f lies between u and u + 1."""
    cell = chrono(ss.LSTM, hidden_size=8, t_max=50)
    with torch.no_grad():
        for weight in (cell.weight_ih, cell.weight_hh):
            weight.zero_()
    u = cell.bias_ih.detach()[8:16].exp()
    start = cell.initial_state(1)._replace(c=torch.ones(1, 8))
    _, state = cell.step(torch.zeros(1, 1), start)
    memory = -1 / state.c.detach()[0].log()
    assert ((u < memory) & (memory < u + 1)).all()


def test_identity():
    """The IRNN of Le et al. 2015."""
    torch.manual_seed(0)
    cell = ss.Elman(500, 8, "relu", initialisation="identity")
    assert torch.equal(cell.weight_hh, torch.eye(8))
    assert (cell.bias_ih == 0).all()
    assert (cell.bias_hh == 0).all()
    assert cell.weight_ih.std().item() == pytest.approx(0.001, rel=0.05)
    assert abs(cell.weight_ih.mean().item()) < 1e-4


def test_identity_keeps_its_state_and_its_gradient():
    """With no input h stays, and ∂h_t/∂h_{t−100} is I where units are alive."""
    cell = ss.Elman(2, 3, "relu", initialisation="identity")
    start = cell.condition(torch.tensor([[0.5, 1.0, 2.0]]).requires_grad_())
    outputs, _ = cell(ss.Sequences(torch.zeros(1, 100, 2), [100]), start)
    assert outputs.data[0, -1].tolist() == [0.5, 1.0, 2.0]
    (gradient,) = torch.autograd.grad(outputs.data[0, -1].sum(), start.h)
    assert gradient.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("value", [-1.0, 0.0, 2, 3.5])
def test_forget_bias(value):
    biases = ss.LSTM(3, 2, forget_bias=value)
    assert (biases.bias_ih + biases.bias_hh).tolist() == [0, 0, value, value, 0, 0, 0, 0]
    assert ss.LayerNormLSTM(3, 2, forget_bias=value).bias.tolist() == [0, 0, value, value, 0, 0, 0, 0]


def test_what_is_not_given_is_as_ever():
    assert ss.LSTM(3, 2).bias_ih.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert ss.LayerNormLSTM(3, 2).bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert describe(ss.LSTM(3, 2)) == {"lstm": {"input_size": 3, "hidden_size": 2}}


INITIALISED = [
    lambda: ss.Elman(3, 2, "relu", initialisation="identity"),
    lambda: ss.LSTM(3, 2, initialisation="chrono", t_max=30),
    lambda: ss.LSTM(3, 2, forget_bias=2.0),
    lambda: ss.GRU(3, 2, initialisation="chrono", t_max=30),
    lambda: ss.LayerNormLSTM(3, 2, initialisation="chrono", t_max=30),
    lambda: ss.LayerNormLSTM(3, 2, forget_bias=-1),
]


@pytest.mark.parametrize("make", INITIALISED)
def test_they_are_data(make):
    cell = make()
    again = build(describe(cell))
    assert again.scheme == cell.scheme
    assert describe(again) == describe(cell)
    found = specify(describe(cell))
    assert {name: one.shape for name, one in found.tensor_specs.items()} == {
        n: tuple(p.shape) for n, p in cell.named_parameters()
    }


WRONG = [
    (
        {"lstm": {"initialisation": "identity"}},
        "initialisation: expected orthogonal or chrono for the cell lstm, got identity",
    ),
    (
        {"gru": {"initialisation": "identity"}},
        "initialisation: expected orthogonal or chrono for the cell gru, got identity",
    ),
    ({"elman": {"initialisation": "chrono"}}, "expected orthogonal or identity for the cell elman, got chrono"),
    ({"elman": {"initialisation": "identity"}}, "expected 'relu' with identity initialisation .the IRNN., got 'tanh'"),
    (
        {"lstm": {"initialisation": "crono"}},
        "initialisation: expected one of orthogonal, identity, chrono, got 'crono'",
    ),
    ({"lstm": {"initialisation": "chrono"}}, "t_max: expected the longest dependency in steps"),
    (
        {"lstm": {"initialisation": "chrono", "t_max": 2}},
        "t_max: expected a whole number of at least 3 steps, below 2³¹, got 2",
    ),
    (
        {"gru": {"initialisation": "chrono", "t_max": 9.5}},
        "t_max: expected a whole number of at least 3 steps, below 2³¹, got 9.5",
    ),
    (
        {"gru": {"initialisation": "chrono", "t_max": 10**30}},
        "t_max: expected a whole number of at least 3 steps, below 2³¹",
    ),
    ({"lstm": {"initialisation": ["chrono"]}}, "initialisation: expected one of orthogonal, identity, chrono"),
    ({"lstm": {"forget_bias": 10**400}}, "forget_bias: expected a finite number"),
    ({"lstm": {"t_max": 9}}, "t_max: expected none with orthogonal initialisation, got 9"),
    ({"lstm": {"initialisation": "chrono", "t_max": 9, "forget_bias": 1}}, "omit forget_bias"),
    (
        {"lstm": {"initialisation": "chrono", "t_max": 9, "bias": False}},
        "initialisation chrono: expected a cell with biases",
    ),
    ({"lstm": {"forget_bias": 0.0, "bias": False}}, "forget_bias: expected a cell with biases, got lstm"),
    ({"lstm": {"forget_bias": math.inf}}, "forget_bias: expected a finite number, got inf"),
    ({"layer_norm_lstm": {"forget_bias": "1"}}, "forget_bias: expected a finite number, got '1'"),
]


@pytest.mark.parametrize(("description", "words"), WRONG, ids=str)
def test_wrong_combinations(description, words):
    """The constructor and, without torch, its definition say the same."""
    ((name, arguments),) = description.items()
    whole = {name: {"input_size": 3, "hidden_size": 2, **arguments}}
    for read in (build, specify):
        with pytest.raises(ValueError, match=words):
            read(whole)


def test_checking_needs_no_torch():
    check = "import sys, stepscan.definitions.cells; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "False\n"
