"""Stack, Residual, Bidirectional, LayerNorm, Linear: who is a Recurrence, values by hand, errors in words."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import stepscan as ss
from stepscan.state import leaves


def both(width: int) -> ss.Bidirectional:
    return ss.Bidirectional(ss.GRU(width, width), ss.GRU(width, width))


def adder(size: int = 1) -> ss.Elman:
    """h_t = relu(x_t + h_{t−1}): a running sum, whose values can be told by hand."""
    cell = ss.Elman(size, size, "relu", bias=False)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.eye(size))
        cell.weight_hh.copy_(torch.eye(size))
    return cell


def numbers(*rows: list[float]) -> ss.Sequences:
    padded = ss.Sequences.pad(rows, dtype=torch.float32)
    return padded.replace(padded.data[:, :, None])


def values(data: Tensor) -> list:
    return data.detach().squeeze(-1).tolist()


CAUSAL: dict[str, Callable[[], ss.Layer]] = {
    "stack": lambda: ss.Stack([ss.LSTM(2, 3), ss.Dropout(3, 0.1), ss.LayerNorm(3), ss.Linear(3, 2)]),
    "nested stack": lambda: ss.Stack([ss.Stack([ss.GRU(2, 2)]), ss.Residual(ss.Stack([ss.GRU(2, 2)]))]),
    "residual": lambda: ss.Residual(ss.GRU(2, 2)),
    "residual of residual": lambda: ss.Residual(ss.Residual(ss.Linear(2, 2))),
}
NOT_CAUSAL: dict[str, Callable[[], ss.Layer]] = {
    "bidirectional": lambda: both(2),
    "stack": lambda: ss.Stack([ss.GRU(2, 2), both(2)]),
    "residual": lambda: ss.Residual(ss.Bidirectional(ss.GRU(2, 1), ss.GRU(2, 1))),
    "deep inside": lambda: ss.Stack([ss.Stack([ss.Residual(ss.Stack([both(2), ss.Linear(4, 2)]))])]),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_recurrence_if_all_parts_are(name: str) -> None:
    layer = CAUSAL[name]()
    assert isinstance(layer, ss.Recurrence)
    assert layer.step(torch.zeros(3, 2), layer.initial_state(3))[0].shape == (3, 2)


@pytest.mark.parametrize("name", NOT_CAUSAL)
def test_no_recurrence_if_one_part_is_none(name: str) -> None:
    layer = NOT_CAUSAL[name]()
    assert isinstance(layer, ss.Layer)
    assert not isinstance(layer, ss.Recurrence)
    assert not hasattr(layer, "step")


@pytest.mark.parametrize("make", [*CAUSAL.values(), *NOT_CAUSAL.values()])
@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_what_the_original_is(make: Callable[[], ss.Layer], again: Callable) -> None:
    layer = make()
    assert type(again(layer)) is type(layer)


def test_stack_by_hand() -> None:
    stack = ss.Stack([adder(), adder()])
    outputs, (first, second) = stack(numbers([1, 2, 3], [5], []))
    assert values(outputs.data) == [[1, 4, 10], [5, 0, 0], [0, 0, 0]]
    assert (values(first.h), values(second.h)) == ([6, 5, 0], [10, 5, 0])
    y, _ = stack.step(torch.ones(3, 1), (first, second))
    assert values(y) == [7 + 10, 6 + 5, 1]
    assert values(stack.readout((first, second))) == [10, 5, 0]


def test_residual_by_hand() -> None:
    residual = ss.Residual(adder())
    outputs, state = residual(numbers([1, 2, 3], [5], []))
    assert values(outputs.data) == [[2, 5, 9], [10, 0, 0], [0, 0, 0]]
    assert values(residual.readout(state)) == [9, 10, 0]
    y, after = residual.step(torch.ones(3, 1), state)
    assert values(y) == [1 + 7, 1 + 6, 1 + 1]
    assert values(residual.readout(after)) == [8, 7, 2]


def test_bidirectional_by_hand() -> None:
    layer = ss.Bidirectional(adder(), backward=ss.Residual(adder()))
    outputs, state = layer(numbers([1, 2, 3], [5], []))
    assert outputs.data[:, :, 0].tolist() == [[1, 3, 6], [5, 0, 0], [0, 0, 0]]
    assert outputs.data[:, :, 1].tolist() == [[6 + 1, 5 + 2, 3 + 3], [10, 0, 0], [0, 0, 0]]
    assert values(state.forward.h) == [6, 5, 0]
    assert values(state.backward.inner.h) == [6, 5, 0]
    assert layer.readout(state).tolist() == [[6, 7], [5, 10], [0, 0]]
    assert layer.output_size == 2


def test_bidirectional_goes_on_from_both_states() -> None:
    layer = ss.Bidirectional(adder(), adder())
    _, state = layer(numbers([1, 2]))
    outputs, _ = layer(numbers([10, 20]), state)
    assert outputs.data.tolist() == [[[13, 33], [33, 23]]]


def test_readout_of_a_stack_passes_pointwise_tops() -> None:
    project = ss.Linear(2, 1)
    with torch.no_grad():
        project.projection.weight.copy_(torch.tensor([[1.0, 10.0]]))
        project.projection.bias.fill_(100)
    stack = ss.Stack([ss.Bidirectional(adder(), ss.Residual(adder())), ss.Dropout(2, 0.5), project]).eval()
    outputs, state = stack(numbers([1, 2, 3], [5]))
    # The backward direction's readout belongs to the first item, so no output at one place equals this:
    assert values(stack.readout(state)) == [100 + 6 + 10 * 7, 100 + 5 + 10 * 10]
    assert values(outputs.data)[0] == [100 + 1 + 70, 100 + 3 + 70, 100 + 6 + 60]
    below = ss.Stack([ss.Bidirectional(adder(), adder()), ss.Dropout(2, 0.5)]).eval()
    assert below.readout(below(numbers([1, 2, 3]))[1]).tolist() == [[6, 6]]


def test_layer_norm_and_linear() -> None:
    data = torch.tensor([[[1.0, 3.0], [-5.0, 5.0]]])
    outputs, state = ss.LayerNorm(2)(ss.Sequences(data, [2]))
    torch.testing.assert_close(outputs.data, torch.tensor([[[-1.0, 1.0], [-1.0, 1.0]]]), atol=1e-4, rtol=0)
    assert torch.equal(state, outputs.data[:, 1])
    linear = ss.Linear(2, 1)
    outputs, _ = linear(ss.Sequences(data, [1]))
    expected = data[0, 0] @ linear.projection.weight[0] + linear.projection.bias
    torch.testing.assert_close(outputs.data[0, :, 0], torch.cat([expected, torch.zeros(1)]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ss.Stack([]), "Stack: expected at least one layer, got none"),
        (
            lambda: ss.Stack([ss.LSTM(8, 16), ss.GRU(8, 4)]),
            r"Stack: expected a layer of input size 16 after LSTM\(8 → 16\), got GRU\(8 → 4\)",
        ),
        (
            lambda: ss.Residual(ss.LSTM(8, 16)),
            r"Residual: expected .* of equal input and output size, got LSTM\(8 → 16\); add .*Linear\(16, 8\)",
        ),
        (
            lambda: ss.Residual(both(8)),
            r"Residual: expected a layer of equal input and output size, got Bidirectional\(8 → 16\)",
        ),
        (
            lambda: ss.Bidirectional(ss.LSTM(8, 2), ss.GRU(4, 2)),
            r"equal input size, got LSTM\(8 → 2\) and GRU\(4 → 2\)",
        ),
        (lambda: ss.Dropout(3, 1.0), "p: expected a probability, at least 0 and below 1, got 1.0"),
        (lambda: ss.VariationalDropout(3, -0.1), "p: expected a probability, at least 0 and below 1, got -0.1"),
    ],
)
def test_errors_in_words(make: Callable[[], ss.Layer], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ss.Stack([nn.LSTM(3, 4)]),
        lambda: ss.Residual(nn.LSTM(3, 3)),
        lambda: ss.Bidirectional(nn.LSTM(3, 3), ss.LSTM(3, 3)),
        lambda: ss.Encoder(None, nn.LSTM(3, 3), 2),
    ],
)
def test_only_layers_are_parts(make):
    with pytest.raises(TypeError, match=r"expected a Layer, got LSTM; stepscan.from_torch converts"):
        make()


def test_stack_takes_a_list():
    with pytest.raises(TypeError, match="Stack: expected a list of layers, got generator"):
        ss.Stack(ss.LSTM(3, 3) for _ in range(2))


def test_all_leaves_of_a_stacks_state_are_where_its_weights_are():
    stack = ss.Stack([ss.Dropout(3, 0.5), ss.LSTM(3, 4), ss.Residual(ss.GRU(4, 4)), ss.Dropout(4, 0.5)])
    assert {leaf.dtype for leaf in leaves(stack.double().initial_state(2))} == {torch.float64}
    assert {leaf.device.type for leaf in leaves(stack.to("meta").initial_state(2))} == {"meta"}
