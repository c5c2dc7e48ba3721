"""Layers in graphs of `torch.compile` and `torch.export`: one graph for all batches, with the answers of eager mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.programs.program_cells import Leaky
from torch import Tensor, nn
from torch.export import Dim

import stepscan as ss
from stepscan.kernels.native import library

LAYERS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: ss.LSTM(4, 8),
    "GRU": lambda: ss.GRU(4, 8),
    "Elman without biases": lambda: ss.Elman(4, 8, bias=False),
    "layer-norm LSTM": lambda: ss.LayerNormLSTM(4, 8),
    "own cell": lambda: Leaky(4, 8),
    "MGU": lambda: ss.MGU(4, 8),
    "sLSTM": lambda: ss.SLSTM(4, 8, heads=2),
    "transformer": lambda: ss.Transformer(4, 8, heads=2),
    "deep": lambda: ss.Stack(
        [
            ss.Bidirectional(ss.LSTM(4, 8), ss.GRU(4, 8)),
            ss.Dropout(16, 0.3),
            ss.Residual(ss.LSTM(16, 16)),
            ss.BidirectionalTransformer(16, 16, heads=2),
            ss.LayerNorm(16),
        ]
    ),
}


class Model(nn.Module):
    """A layer in a user's module, between tensors."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(layer.output_size, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        outputs, _ = self.layer(ss.Sequences(x, lengths))
        return self.head(outputs.data)


@pytest.fixture(params=LAYERS)
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    torch.manual_seed(0)
    yield Model(LAYERS[request.param]()).eval()
    torch._dynamo.reset()


def batch(rows: int, steps: int) -> tuple[Tensor, Tensor]:
    """Random inputs, and lengths from 0 to `steps`."""
    x = torch.randn(rows, steps, 4, generator=torch.Generator().manual_seed(rows), requires_grad=True)
    return x, torch.arange(rows) * steps // (rows - 1)


def same_as_eager(compiled: Any, model: Model) -> None:
    for rows, steps in ((3, 5), (2, 7), (4, 9)):
        x, lengths = batch(rows, steps)
        outputs, expected = compiled(x, lengths), model(x, lengths)
        assert torch.equal(outputs, expected)
        sources = [x, *model.parameters()]
        gradients, wanted = (torch.autograd.grad(y.square().sum(), sources) for y in (outputs, expected))
        assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(gradients, wanted, strict=True))


def test_compiled_in_one_graph_for_all_batches_with_gradients(model):
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    same_as_eager(torch.compile(model, fullgraph=True, dynamic=True, backend=backend), model)
    assert len(graphs) == 1


def test_gradients_are_in_the_graph_too():
    model = Model(ss.LSTM(4, 8)).eval()
    same_as_eager(torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager"), model)
    torch._dynamo.reset()


def test_exported_with_batch_and_steps_free(model):
    model(*batch(3, 5))  # a cell that is traced is traced here: while a graph is exported, its weights have no numbers
    shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    exported = torch.export.export(model, batch(3, 5), dynamic_shapes=shapes).module()
    for rows, steps in ((2, 9), (5, 3)):
        x, lengths = batch(rows, steps)
        assert torch.equal(exported(x, lengths), model(x, lengths))


@pytest.mark.skipif(library is None, reason="the native kernels are not built")
def test_a_graph_checks_the_lengths_that_it_is_given():
    exported = torch.export.export(
        Model(ss.LSTM(4, 8)), batch(3, 5), dynamic_shapes=({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    )
    x, _ = batch(2, 5)
    with pytest.raises(ValueError, match=r"lengths: expected 0 … 5, got 2 … 6"):
        exported.module()(x, torch.tensor([2, 6]))
    with pytest.raises(ValueError, match=r"lengths: expected 0 … 5, got -1 … 3"):
        exported.module()(x, torch.tensor([-1, 3]))
