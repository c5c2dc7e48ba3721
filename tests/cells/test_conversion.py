"""from_torch and to_torch: the same outputs and final states, all kinds, layers, directions and biases, both ways."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

import stepscan as ss
from stepscan.state import State, leaves

KINDS = {
    "tanh": lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k),
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
ALL = list(itertools.product(KINDS, [1, 2, 3], [False, True], [False, True]))


def finals_as_in_torch(state: State, layers: int, directions: int, leaves_each: int) -> list[Tensor]:
    """Our nested final states as PyTorch's: each leaf (h, c) stacked over layers and directions."""
    flat = list(leaves(state))
    assert len(flat) == layers * directions * leaves_each
    return [torch.stack(flat[k::leaves_each]) for k in range(leaves_each)]


def run_both(module: nn.RNNBase, layer: ss.Layer, layers: int) -> None:
    data = torch.randn(2, 4, module.input_size, dtype=torch.float64)
    expected, hidden = module(data if module.batch_first else data.transpose(0, 1))
    expected = expected if module.batch_first else expected.transpose(0, 1)
    outputs, final = layer.eval()(ss.Sequences(data, [4, 4]))
    torch.testing.assert_close(outputs.data, expected, rtol=0, atol=1e-9)
    hidden = hidden if isinstance(hidden, tuple) else (hidden,)
    ours = finals_as_in_torch(final, layers, 1 + module.bidirectional, len(hidden))
    for got, wanted in zip(ours, hidden, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("kind", "layers", "bidirectional", "bias"), ALL)
def test_there_and_back(kind: str, layers: int, bidirectional: bool, bias: bool) -> None:
    torch.manual_seed(0)
    module = KINDS[kind](3, 2, layers, bidirectional=bidirectional, bias=bias).double()
    layer = ss.from_torch(module)
    run_both(module, layer, layers)
    back = ss.to_torch(layer)
    assert type(back) is type(module)
    assert back.batch_first
    assert back.state_dict().keys() == module.state_dict().keys()
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in back.state_dict().items())
    run_both(back, layer, layers)


@pytest.mark.parametrize(("layers", "bidirectional", "bias"), [(1, False, True), (2, True, True), (2, False, False)])
def test_an_lstm_with_a_projection(layers: int, bidirectional: bool, bias: bool) -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 5, layers, bidirectional=bidirectional, bias=bias, proj_size=2).double()
    layer = ss.from_torch(module)
    run_both(module, layer, layers)
    with pytest.raises(ValueError, match="to_torch: expected Elman, LSTM, GRU, Bidirectional, Stack or Dropout, got P"):
        ss.to_torch(layer)


def test_own_layer_to_torch() -> None:
    torch.manual_seed(0)
    layer = ss.Stack([ss.Bidirectional(ss.LSTM(3, 2), ss.LSTM(3, 2)), ss.Bidirectional(ss.LSTM(4, 2), ss.LSTM(4, 2))])
    module = ss.to_torch(layer.double())
    assert (module.num_layers, module.bidirectional, module.dropout) == (2, True, 0.0)
    run_both(module, layer, 2)


def test_weights_are_copies() -> None:
    module = nn.GRU(3, 2)
    layer = ss.from_torch(module)
    back = ss.to_torch(layer)
    with torch.no_grad():
        module.weight_ih_l0.zero_()
        back.weight_hh_l0.zero_()
    assert layer.weight_ih.abs().sum() > 0
    assert layer.weight_hh.abs().sum() > 0


def test_shape_of_the_tree() -> None:
    assert isinstance(ss.from_torch(nn.GRU(3, 2)), ss.GRU)
    assert isinstance(ss.from_torch(nn.LSTM(3, 2, bidirectional=True)), ss.Bidirectional)
    deep = ss.from_torch(nn.RNN(3, 2, 2, nonlinearity="relu"))
    assert isinstance(deep, ss.Stack)
    assert isinstance(deep, ss.Recurrence)
    assert [part.nonlinearity for part in deep.layers] == ["relu", "relu"]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_is_carried(bidirectional: bool) -> None:
    module = nn.LSTM(3, 2, num_layers=3, dropout=0.25, bidirectional=bidirectional).double()
    layer = ss.from_torch(module)
    assert isinstance(layer, ss.Stack)
    assert [part.p for part in layer.layers if isinstance(part, ss.Dropout)] == [0.25, 0.25]
    assert [isinstance(part, ss.Dropout) for part in layer.layers] == [False, True, False, True, False]
    back = ss.to_torch(layer)
    assert back.dropout == 0.25
    data = torch.randn(1, 5, 3, dtype=torch.float64)
    expected, _ = module.eval()(data.transpose(0, 1))
    torch.testing.assert_close(layer.eval()(ss.Sequences(data, [5]))[0].data, expected.transpose(0, 1))
    torch.testing.assert_close(back.eval()(data)[0], expected.transpose(0, 1))


def test_dtype_is_kept() -> None:
    assert ss.from_torch(nn.GRU(3, 2).double()).weight_ih.dtype == torch.float64
    assert ss.to_torch(ss.GRU(3, 2).double()).weight_ih_l0.dtype == torch.float64


def test_from_torch_refuses_in_words() -> None:
    with pytest.raises(TypeError, match=r"from_torch: expected an nn.RNN, nn.LSTM or nn.GRU, got Linear"):
        ss.from_torch(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            ss.Residual(ss.LSTM(2, 2)),
            r"expected Elman, LSTM, GRU, Bidirectional, Stack or Dropout, got .*Residual\(2 → 2\)",
        ),
        (ss.Stack([ss.LSTM(2, 2), ss.Linear(2, 2)]), r"got Linear\(2 → 2\)"),
        (
            ss.Stack([ss.LSTM(3, 2), ss.GRU(2, 2)]),
            r"layers of one class, size and bias, got LSTM\(3 → 2\) and GRU\(2 → 2\)",
        ),
        (ss.Stack([ss.GRU(3, 2), ss.GRU(2, 3)]), r"got GRU\(3 → 2\) and GRU\(2 → 3\)"),
        (ss.Stack([ss.GRU(3, 2), ss.GRU(2, 2, bias=False)]), "layers of one class, size and bias"),
        (ss.Stack([ss.Elman(2, 2), ss.Elman(2, 2, "relu")]), "layers of one class, size and bias"),
        (ss.Bidirectional(ss.GRU(2, 2), ss.LSTM(2, 2)), "layers of one class, size and bias"),
        (ss.Stack([ss.Bidirectional(ss.GRU(2, 1), ss.GRU(2, 1)), ss.GRU(2, 1)]), "layers of one class, size and bias"),
        (ss.Stack([ss.GRU(2, 2), ss.Dropout(2, 0.1), ss.GRU(2, 2), ss.GRU(2, 2)]), "Dropout with one probability"),
        (
            ss.Stack([ss.GRU(2, 2), ss.Dropout(2, 0.1), ss.GRU(2, 2), ss.Dropout(2, 0.1)]),
            "Dropout with one probability",
        ),
        (
            ss.Stack([ss.GRU(2, 2), ss.Dropout(2, 0.1), ss.GRU(2, 2), ss.Dropout(2, 0.2), ss.GRU(2, 2)]),
            "Dropout with one probability between all layers or none",
        ),
        (ss.Dropout(2, 0.1), "at least one Elman, LSTM or GRU, got only Dropout"),
    ],
)
def test_to_torch_refuses_in_words(layer: ss.Layer, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ss.to_torch(layer)


def test_mode_comes_along():
    module = nn.LSTM(3, 4, 2, dropout=0.5).eval()
    layer = ss.from_torch(module)
    assert not any(part.training for part in layer.modules())
    assert not ss.to_torch(layer).training
    assert ss.from_torch(module.train()).training
