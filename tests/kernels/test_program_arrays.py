"""Programs on the native library from arrays: the bits of PyTorch's side, other formats of weights, wrong shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.backends.native_programs import NativeProgram, native_program
from stepscan.kernels import native
from stepscan.programs.reference import step
from stepscan.programs.tracing.tracer import trace

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")


def both(format: int = 0):
    torch.manual_seed(3)
    cell = ss.ResetBeforeGRU(20, 36)
    found = trace(cell)
    weights = [weight.detach().numpy() for weight in found.weights(cell)]
    return cell, found.program, weights, NativeProgram(found.program, weights, format)


def test_scan_and_step_have_the_bits_of_pytorchs_side():
    cell, program, weights, arrays = both()
    x, lengths = torch.randn(5, 7, 20), torch.tensor([7, 0, 3, 5, 7])
    start = torch.randn(5, 36)
    with torch.no_grad():
        expected, (final,) = cell.scan(ss.Sequences(x, lengths), type(cell.initial_state(1))(start))
    y, (leaf,) = arrays.scan(x.numpy(), lengths.numpy(), [start.numpy()])
    assert np.array_equal(y, expected.data.numpy())
    assert np.array_equal(leaf, final.numpy())
    state = [start.numpy()[:1]]
    for t in range(7):
        item, state = arrays.step(x.numpy()[:1, t], state)
        assert np.array_equal(item[0], y[0, t])
    in_numpy, _ = step(program, weights, x.numpy()[:, 0], [start.numpy()])
    np.testing.assert_allclose(arrays.step(x.numpy()[:, 0], [start.numpy()])[0], in_numpy, atol=1e-5)


@pytest.mark.parametrize(("format", "limit"), [(1, 1e-2), (2, 3e-2)])
def test_weights_in_fewer_bits_give_nearly_the_same(format, limit):
    _, _, _, exact = both()
    _, _, _, rounded = both(format)
    x, state = np.random.default_rng(0).normal(size=(4, 9, 20)).astype(np.float32), [np.zeros((4, 36), np.float32)]
    lengths = np.array([9, 2, 0, 9])
    (y, _), (near, _) = exact.scan(x, lengths, state), rounded.scan(x, lengths, state)
    assert 0 < np.abs(y - near).max() < limit
    alone, _ = rounded.scan(x[1:2], lengths[1:2], [state[0][:1]])
    assert np.array_equal(alone[0], near[1])


def test_wrong_shapes_are_refused():
    _, _, _, arrays = both()
    with pytest.raises(ValueError, match="leaves"):
        arrays.scan(np.zeros((2, 3, 20)), np.array([1, 2]), [np.zeros((2, 35))])
    with pytest.raises(ValueError, match="lengths"):
        arrays.scan(np.zeros((2, 3, 20)), np.array([1, 4]), [np.zeros((2, 36))])


def test_what_the_library_cannot_run_falls_back_to_numpy(caplog):
    class Halves(ss.Recurrence):
        input_size = output_size = 4

        def initial_state(self, batch_size, *, device=None, dtype=None):
            return torch.zeros(batch_size, 4)

        def step(self, x, h):
            first, second = h.chunk(2, 1)
            return x, torch.tanh(x + h * (first * second).sum(1, keepdim=True))

    cell = Halves()
    found = trace(cell)
    weights = [weight.detach().numpy() for weight in found.weights(cell)]
    if native_program(found.program, weights) is None:
        assert "runs in NumPy" in caplog.text
    with torch.no_grad():
        out, _ = cell.scan(ss.Sequences(torch.ones(1, 2, 4), torch.tensor([2])))
    assert out.data.shape == (1, 2, 4)
