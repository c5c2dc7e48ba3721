"""Every cell's program in NumPy gives what the cell's step gives in PyTorch, in double precision: outputs, states and
all gradients, over ragged rows from given states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from program_cells import USERS_CELLS

import stepscan as ss
from stepscan.cells.catalogue import cell_classes
from stepscan.combinators.causal_convolution import CausalConvolution
from stepscan.programs.derivative import differentiate
from stepscan.programs.program import Program
from stepscan.programs.reference import Scan, step
from stepscan.programs.tracing.tracer import trace
from stepscan.programs.tracing.verification import verify
from stepscan.state import leaves, map_state

STEP_CELLS = {name: cls for name, cls in cell_classes().items() if "transformer" not in name}
CELLS = {
    **{cls.__name__: lambda cls=cls: cls(5, 6) for cls in USERS_CELLS},
    **{name: lambda cls=cls: cls(5, 6) for name, cls in STEP_CELLS.items()},
    "sru, I = H": lambda: STEP_CELLS["sru"](6, 6),
    "slstm, 3 heads": lambda: STEP_CELLS["slstm"](5, 6, heads=3),
    "rglru, 2 heads": lambda: STEP_CELLS["rglru"](6, 6, heads=2),
    "elman, relu": lambda: ss.Elman(5, 6, nonlinearity="relu"),
    "lstm without biases": lambda: ss.LSTM(5, 6, bias=False),
    "causal_convolution": lambda: CausalConvolution(5),
    "width 1": lambda: STEP_CELLS["layer_norm_lstm"](1, 1),
}
LENGTHS = torch.tensor([3, 5, 0, 1])


def prepare(name):
    """A cell in double precision whose weights are not the first ones, x, and a state that it reached."""
    torch.manual_seed(sum(map(ord, name)))
    cell = CELLS[name]().double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        x = torch.randn(len(LENGTHS), 5, cell.input_size, dtype=torch.float64)
        state = cell.initial_state(len(LENGTHS))
        for t in range(2):
            _, state = cell.step(torch.randn_like(x[:, t]), state)
        state = map_state(lambda leaf: leaf + 0.1 * torch.randn_like(leaf), state)
    return cell, x.requires_grad_(), map_state(lambda leaf: leaf.requires_grad_(), state)


def flat(tensor):
    return tensor.detach().reshape(len(tensor), -1).numpy()


def by_loop(cell, x, state):
    outputs = []
    for t in range(x.shape[1]):
        y, new = cell.step(x[:, t], state)
        running = t < LENGTHS
        outputs.append(torch.where(running[:, None], y, 0.0))
        state = map_state(lambda n, o, r=running: torch.where(r.reshape(-1, *[1] * (n.dim() - 1)), n, o), new, state)
    return torch.stack(outputs, 1), list(leaves(state))


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("name", CELLS)
def test_program_is_the_step(name):
    cell, x, state = prepare(name)
    found = trace(cell)
    weights = found.weights(cell)
    arrays = [weight.detach().numpy() for weight in weights]
    run = Scan(found.program, arrays, x.detach().numpy(), LENGTHS.numpy(), [flat(leaf) for leaf in leaves(state)])
    y, final = by_loop(cell, x, state)
    assert_close(run.y, y.detach().numpy())
    for leaf, expected in zip(run.state, final, strict=True):
        assert_close(leaf, flat(expected))

    dy, dstate = torch.randn_like(y), [torch.randn_like(leaf) for leaf in final]
    parameters = list(cell.parameters())
    expected = torch.autograd.grad(
        [y, *final], [x, *leaves(state), *parameters], [dy, *dstate], allow_unused=True, materialize_grads=True
    )
    gradients = run.backward(differentiate(found.program), dy.numpy(), [flat(d) for d in dstate])
    assert_close(gradients.x, expected[0].numpy())
    for leaf, d in zip(gradients.state, expected[1:], strict=False):
        assert_close(leaf, flat(d))
    of_weights = torch.autograd.grad(
        [weight for weight in weights if weight.requires_grad],
        parameters,
        [torch.from_numpy(d) for w, d in zip(weights, gradients.weights, strict=True) if w.requires_grad],
        allow_unused=True,
        materialize_grads=True,
    )
    for d, e in zip(of_weights, expected[1 + len(final) :], strict=True):
        assert_close(d.numpy(), e.numpy())


@pytest.mark.parametrize("name", CELLS)
def test_program_is_verified_and_comes_back_from_json(name):
    cell, x, state = prepare(name)
    found = trace(cell)
    verify(cell, found)
    assert Program.from_json(found.program.to_json()) == found.program
    weights = [weight.detach().float().numpy() for weight in found.weights(cell)]
    y, _ = step(
        found.program, weights, flat(x[:, 0]).astype(np.float32), [flat(s).astype(np.float32) for s in leaves(state)]
    )
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, flat(cell.step(x[:, 0], state)[0]), rtol=0, atol=1e-4)
