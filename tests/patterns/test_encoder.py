"""Encoder: pooling and decisions by hand, length 0, and padding that is nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import stepscan as ss
from models import IDS, with_padding
from stepscan.fields import POOLING
from stepscan.state import State


class Echo(ss.Pointwise):
    """Gives what it takes, so that pooling can be told by hand."""

    input_size = output_size = 2

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return x


NAN = float("nan")
VECTORS = ss.Sequences(
    torch.tensor(
        [
            [[1.0, -4.0], [2.0, -6.0], [6.0, -2.0]],
            [[5.0, -7.0], [NAN, NAN], [NAN, NAN]],
            [[NAN, NAN], [NAN, NAN], [NAN, NAN]],
        ]
    ),
    [3, 1, 0],
)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("last", [[6, -2], [5, -7], [0, 0]]),
        ("mean", [[3, -4], [5, -7], [0, 0]]),
        ("max", [[6, -2], [5, -7], [0, 0]]),
    ],
)
def test_pooling_by_hand(pooling: str, expected: list[list[float]]) -> None:
    assert ss.Encoder(None, Echo(), 2, pooling).encode(VECTORS).tolist() == expected


def test_attention_pooling_by_hand() -> None:
    model = ss.Encoder(None, Echo(), 2, "attention")
    features = model.encode(VECTORS)
    items = VECTORS.data[0]
    shares = model.relevance_scores(items).softmax(dim=0)
    torch.testing.assert_close(features[0], shares @ items)
    torch.testing.assert_close(features[1:], torch.tensor([[5.0, -7.0], [0.0, 0.0]]))


@pytest.mark.parametrize("pooling", POOLING.values)
def test_nothing_at_all_gives_zeros(pooling: str) -> None:
    model = ss.Encoder(None, Echo(), 2, pooling)
    assert model.encode(ss.Sequences(torch.zeros(2, 0, 2), [0, 0])).tolist() == [[0, 0], [0, 0]]
    assert model(ss.Sequences(torch.zeros(0, 3, 2), [])).shape == (0, 2)


@pytest.mark.parametrize("pooling", POOLING.values)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(pooling: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = ss.Bidirectional(ss.LSTM(3, 2), ss.GRU(3, 2)) if bidirectional else ss.LSTM(3, 4)
    model = ss.Encoder(ss.Embedding(7, 3), layer, 3, pooling).double()
    expected = model(IDS)
    torch.testing.assert_close(model(with_padding(IDS, 6)), expected, rtol=0, atol=1e-12)
    for row, length in enumerate(IDS.lengths.tolist()):
        alone = model(ss.Sequences(IDS.data[row : row + 1, :length], [length]))
        torch.testing.assert_close(alone, expected[row : row + 1], rtol=0, atol=1e-12)
    assert not torch.allclose(expected[0], expected[3])


@pytest.mark.parametrize("pooling", POOLING.values)
def test_gradients_are_finite_with_empty_rows(pooling: str) -> None:
    model = ss.Encoder(ss.Embedding(7, 3), ss.GRU(3, 2), 2, pooling)
    model(IDS).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("problem_type", "outputs", "targets", "expected"),
    [
        ("classification", 3, torch.tensor([2, 0, 1]), lambda s, t: F.nll_loss(s.log_softmax(1), t, reduction="sum")),
        (
            "multilabel",
            2,
            torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
            lambda s, t: -(t * s.sigmoid().log() + (1 - t) * (1 - s.sigmoid()).log()).sum(),
        ),
        ("regression", 1, torch.tensor([1.0, -2.0, 0.5]), lambda s, t: ((s[:, 0] - t) ** 2).sum()),
    ],
)
def test_losses(problem_type: str, outputs: int, targets: Tensor, expected: Any) -> None:
    torch.manual_seed(0)
    model = ss.Encoder(None, Echo(), outputs, "mean", problem_type)
    loss = model.loss(VECTORS, targets)
    torch.testing.assert_close(loss.total, expected(model(VECTORS), targets))
    assert loss.items == 3
    assert loss.state is None


def test_dropout_only_in_training() -> None:
    torch.manual_seed(0)
    model = ss.Encoder(None, Echo(), 2, "mean", dropout=0.5)
    torch.nn.init.ones_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    assert len({tuple(model(VECTORS)[0].tolist()) for _ in range(20)}) > 1
    assert all(model.eval()(VECTORS)[0].tolist() == [-1, -1] for _ in range(5))


def test_unknown_settings_name_the_nearest() -> None:
    with pytest.raises(ValueError, match="pooling: expected 'last', 'mean', 'max' or 'attention', got 'maxx'"):
        ss.Encoder(None, Echo(), 2, "maxx")
    with pytest.raises(
        ValueError, match="problem_type: expected 'classification', 'multilabel' or 'regression', got 'label'"
    ):
        ss.Encoder(None, Echo(), 2, problem_type="label")


def test_only_attention_pooling_has_weights_of_its_own() -> None:
    names = {name.split(".")[0] for name, _ in ss.Encoder(None, Echo(), 2).named_parameters()}
    assert names == {"head"}
    assert hasattr(ss.Encoder(None, Echo(), 2, "attention"), "relevance")


def test_a_number_is_one_output():
    with pytest.raises(ValueError, match="outputs: expected 1 for regression, got 3"):
        ss.Encoder(None, ss.LSTM(2, 3), outputs=3, problem_type="regression")
