"""Programs on the native kernels: values and gradients against the step itself, and the same bits however they run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.kernels.program_runs import LENGTHS, NativeProgram, error
from torch import Tensor, nn

import stepscan as ss
from stepscan.cells.catalogue import cell_classes
from stepscan.kernels import native
from stepscan.programs.lowering import codes

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")
LIMIT, LIMIT_OF_NORMS = 1e-5, 3e-5  # a norm divides by what may be next to nothing


class TwoInARow(ss.Recurrence):
    """Two products in a step, a leaf in pieces, a gate of one number, a leaf that no step reads, softmax and norms."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size, self.size = input_size, 2 * hidden_size, hidden_size
        self.first, self.gate = nn.Linear(input_size + hidden_size, hidden_size), nn.Linear(input_size, 1)
        self.second, self.shared = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)
        self.gain = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Any:
        return tuple(self.zeros(batch_size, n * self.size, device, dtype) for n in (1, 2, 1))

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h, pair, _ = state
        old, older = pair.chunk(2, 1)
        a = torch.tanh(self.first(torch.cat([x, h], 1)))
        b = torch.softmax(self.second(a) + self.shared(old), 1) * self.size
        b = nn.functional.layer_norm(b + self.shared(a), [self.size]) * self.gain
        h = torch.lerp(h, torch.maximum(b, older), torch.sigmoid(self.gate(x)))
        y = torch.cat([h, torch.relu(a - old)], 1)
        return y, (h, torch.cat([a, old], 1), b.detach())


class SharedWeights(ss.Recurrence):
    """One matrix for x and for the state, whose gradients are one sum; an output that is x alone."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, input_size
        self.both = nn.Linear(input_size, input_size)

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Tensor:
        return self.zeros(batch_size, self.input_size, device, dtype)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(-(self.both(x) ** 2)), torch.sin(self.both(x) - self.both(h))


def is_step(name: str) -> bool:
    return "transformer" not in name


def make(name: str, input_size: int, hidden_size: int) -> Any:
    torch.manual_seed(input_size + 100 * hidden_size)
    own = {"two in a row": TwoInARow, "shared weights": SharedWeights}
    cell = (own[name] if name in own else cell_classes()[name])(input_size, hidden_size)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return cell


CELLS = [*filter(is_step, cell_classes()), "two in a row", "shared weights"]


def check(program: NativeProgram, threads: int = 1, reverse: bool = False, lengths: list[int] = LENGTHS) -> None:
    limit = LIMIT_OF_NORMS if any(value.op == "rsqrt" for value in program.trace.program.values) else LIMIT
    batch = program.batch(lengths)
    results, saved = program.forward(batch, True, threads, reverse)
    expected, expected_gradients = program.expected(batch, reverse)
    assert max(map(error, results, expected)) <= limit
    gradients = program.backward(batch, saved, results[0], threads)
    own = 1 + len(batch.state)
    gradients = [*gradients[:own], *program.parameter_gradients(gradients[own:])]
    assert max(map(error, gradients, expected_gradients)) <= limit
    inference, _ = program.forward(batch, False, threads, reverse)
    assert all(map(torch.equal, inference, results))


def test_names_of_operations_are_the_librarys() -> None:
    assert tuple(native.library.program_operations()) == codes.OPERATIONS


@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients(name: str) -> None:
    check(NativeProgram(make(name, 19, 19)))


@pytest.mark.parametrize(("input_size", "hidden_size"), [(1, 1), (3, 5), (16, 16), (7, 32), (130, 66)])
@pytest.mark.parametrize("name", ["lstm", "layer_norm_lstm", "minlstm", "slstm", "two in a row"])
def test_widths(name: str, input_size: int, hidden_size: int) -> None:
    check(NativeProgram(make(name, input_size, hidden_size)))


@pytest.mark.parametrize("name", ["gru", "rglru", "projected_lstm", "two in a row"])
def test_instruction_sets_threads_and_directions(name: str, isa: str) -> None:
    program = NativeProgram(make(name, 20, 20))
    check(program, threads=2)
    check(program, reverse=True)


@pytest.mark.parametrize("lengths", [[], [0, 0], [1], [40, 2, 300]])
def test_lengths(lengths: list[int]) -> None:
    check(NativeProgram(make("gru", 5, 6)), lengths=lengths)


def test_gradients_of_long_sequences_part_by_part() -> None:
    lengths = [1500, 900, 0, 1500, 3]  # more items than the backward pass has in memory at once
    check(NativeProgram(make("two in a row", 3, 4)), threads=2, lengths=lengths)


@pytest.mark.parametrize("name", CELLS)
def test_bits_of_steps_rows_and_threads(name: str) -> None:
    program = NativeProgram(make(name, 24, 24))
    batch = program.batch()
    results, _ = program.forward(batch)
    two, _ = program.forward(batch, threads=2)
    assert all(map(torch.equal, results, two))
    for row, length in enumerate(LENGTHS):
        alone = program.batch([length], batch.x.shape[1])
        alone.x, alone.state = (
            batch.x[row : row + 1].contiguous(),
            [leaf[row : row + 1].clone() for leaf in batch.state],
        )
        found, _ = program.forward(alone)
        assert all(torch.equal(a, b[row : row + 1]) for a, b in zip(found, results, strict=True))
        step = program.batch([1], 1)
        step.state = alone.state
        for t in range(length):
            step.x = batch.x[row : row + 1, t : t + 1].contiguous()
            (y, *step.state), _ = program.forward(step)
            assert torch.equal(y[0, 0], results[0][row, t])
        assert all(torch.equal(a, b[row : row + 1]) for a, b in zip(step.state, results[1:], strict=True))


@pytest.mark.parametrize("hidden_size", [16, 100, 256])
def test_large_cells_have_the_same_bits_on_two_threads(hidden_size: int) -> None:
    program = NativeProgram(make("lstm", 40, hidden_size))
    batch = program.batch([30, 7, 0, 21, 21])
    (one, saved), (two, saved_two) = (program.forward(batch, True, threads) for threads in (1, 2))
    assert all(map(torch.equal, one, two))
    again = program.backward(batch, saved_two, two[0], 2)
    for a, b in zip(program.backward(batch, saved, one[0]), again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_cells_have_the_bits_of_their_traced_programs(name: str, isa: str) -> None:
    for input_size, hidden_size in ((24, 40), (64, 128), (5, 17)):
        cell = make(name, input_size, hidden_size)
        program = NativeProgram(cell)
        batch = program.batch()
        found, _ = program.forward(batch)
        state = type(cell.initial_state(1))(*batch.state)
        with torch.no_grad(), ss.kernels.use("native"):
            y, final = cell.scan(ss.Sequences(batch.x, batch.lengths), state)
        assert all(map(torch.equal, found, (y.data, *final)))
