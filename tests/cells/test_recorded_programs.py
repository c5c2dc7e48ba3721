"""Programs of the classic cells: those of their equations, the same as traced ones, and of no other class."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tests.zoo import VARIANTS
from torch import Tensor

import stepscan as ss
from stepscan.kernels import native, programs
from stepscan.programs.tracing.tracer import trace

needs_library = pytest.mark.skipif(native.library is None, reason="the native library was not built")


class Doubled(ss.LSTM):
    """An LSTM whose output and hidden state are twice as large."""

    def equations(self, x: Tensor, state: object) -> tuple[Tensor, object]:
        y, new = super().equations(x, state)
        return 2 * y, new._replace(h=2 * y)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_recorded_program_is_the_traced_one(name):
    cell = VARIANTS[name](3, 4)
    assert cell.stored_program().program == trace(cell).program


def test_a_setting_that_changes_later_changes_the_program():
    cell, x = ss.Elman(3, 4), ss.Sequences(torch.randn(2, 5, 3), [5, 3])
    with torch.no_grad():
        cell.scan(x)
        cell.nonlinearity = "relu"
        found = cell.scan(x)[0].data
        with ss.kernels.use("reference"):
            expected = cell.scan(x)[0].data
    assert found.min() == 0
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("backend", [None, "torch", "reference"])
def test_a_subclass_with_its_own_equations_is_not_its_parent(backend):
    torch.manual_seed(0)
    parent, child, x = ss.LSTM(3, 4), Doubled(3, 4), torch.randn(2, 1, 3)
    child.load_state_dict(parent.state_dict())
    with torch.no_grad(), ss.kernels.use(backend):
        expected = 2 * parent.scan(ss.Sequences(x, [1, 1]))[0].data
        torch.testing.assert_close(child.scan(ss.Sequences(x, [1, 1]))[0].data, expected)
        torch.testing.assert_close(child.step(x[:, 0], child.initial_state(2))[0], expected[:, 0])
    ss.laws.check(child, examples=5)


@needs_library
def test_two_directions_of_any_cells_run_in_one_call(monkeypatch):
    torch.manual_seed(0)
    layer, x = ss.Bidirectional(ss.MinGRU(3, 4), ss.GRU(3, 5)), torch.randn(3, 6, 3)
    inputs, calls = ss.Sequences(x, [6, 0, 4]), []
    expected = layer.backward_layer.scan(inputs.reversed())[0].reversed().zeroed().data
    run = programs.ScanRun.forward

    def counting(self, *arguments, save):
        calls.append(len(self.parts))
        return run(self, *arguments, save)

    monkeypatch.setattr(programs.ScanRun, "forward", counting)
    with torch.no_grad():
        outputs, _ = layer.scan(inputs)
    assert calls == [2]
    assert torch.equal(outputs.data[..., 4:], expected)
    ss.laws.check(layer, examples=5)


@needs_library
def test_an_equation_is_recorded_without_torch():
    check = (
        "import sys; from stepscan.definitions.definition import specify; "
        "specify({'gru': {'input_size': 3, 'hidden_size': 4}}).stored_program(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "False\n"
