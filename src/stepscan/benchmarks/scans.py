"""`stepscan bench scan` and `step`: our recurrences compared with PyTorch's and ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stepscan import kernels
from stepscan.benchmarks import onnx_baseline, transformers
from stepscan.benchmarks.timing import OURS, Benchmark, Result, compare
from stepscan.cells.cell import Cell
from stepscan.cells.elman import Elman
from stepscan.cells.gru import GRU
from stepscan.cells.layer_norm_lstm import LayerNormLSTM
from stepscan.cells.lstm import LSTM
from stepscan.combinators.bidirectional import Bidirectional
from stepscan.contract import Layer
from stepscan.conversion import to_torch
from stepscan.sequences import Sequences

SIZES = (128, 256, 512)
CELLS: dict[str, Callable[[int, int], Cell]] = {"LSTM": LSTM, "GRU": GRU, "Elman": Elman}


def lengths_of_text(batch: int = 32, steps: int = 60, seed: int = 0) -> Tensor:
    """Lengths of sentences, gamma distributed, with maximum `steps`, longest first `[B]`; 970 items by default."""
    random = np.random.default_rng(seed)
    drawn = np.clip(np.round(random.gamma(3.2, steps * 0.54 / 3.2, batch)), 2, steps).astype(int)
    drawn = np.sort(drawn)[::-1].copy()
    drawn[0] = steps
    return torch.from_numpy(drawn)


def operations(cell: Cell, items: int) -> float:
    """Floating-point operations of the two matrix products of a scan over this number of items."""
    return 2.0 * items * cell.gates * cell.hidden_size * (cell.input_size + cell.hidden_size)


def scan_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """`stepscan bench scan`."""
    ragged, full, one_row = lengths_of_text(), torch.full((32,), 60), torch.tensor([1000])

    def benchmark(name: str, run: Callable[..., Result], make: Callable[[], Layer], *arguments: Any) -> Benchmark:
        return Benchmark(name, lambda: run(name, make(), *arguments))

    for name, make in CELLS.items():
        for size in SIZES:
            yield benchmark(f"{name} {size}, training", training, partial(make, size, size), ragged, rounds)
    for name in ("LSTM", "GRU"):
        for size in SIZES:
            make_pair = partial(_bidirectional, CELLS[name], size)
            yield benchmark(f"bidirectional {name} {size}, training", training, make_pair, ragged, rounds)
    for size in SIZES:
        yield benchmark(f"LSTM {size}, equal lengths, training", training, partial(LSTM, size, size), full, rounds)
    for size in SIZES:
        title = f"LSTM {size}, training, one thread"
        yield benchmark(title, _one_thread, partial(LSTM, size, size), ragged, rounds, threads)
    yield benchmark("layer-norm LSTM 256, training", _layer_norm, partial(LayerNormLSTM, 256, 256), ragged, rounds)
    for name, make in CELLS.items():
        for size in SIZES:
            yield benchmark(f"{name} {size}, inference", _inference, partial(make, size, size), ragged, rounds, threads)
    for name, make in CELLS.items():
        for size in (16, 32, 64):
            title = f"{name} {size}, one row of 1,000, per step"
            yield benchmark(title, _inference, partial(make, size, size), one_row, rounds, threads, 1000)
    yield from transformers.scan_benchmarks(threads, rounds)


def _bidirectional(make: Callable[[int, int], Cell], size: int) -> Bidirectional:
    return Bidirectional(make(size, size), make(size, size))


def step_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """`stepscan bench step`: one call from Python for one step of one row."""
    for name, torch_cell in (("LSTM", nn.LSTMCell), ("GRU", nn.GRUCell)):
        for size in (16, 64, 128, 256, 512):
            title = f"{name} {size}, step"
            yield Benchmark(title, partial(_step, title, CELLS[name], torch_cell, size, rounds))
    for name in ("LSTM", "GRU"):
        implementations = _training_implementations(CELLS[name](16, 16), torch.ones(1, dtype=torch.long), 1)
        title = f"{name} 16, one item, training"
        yield Benchmark(title, partial(compare, title, implementations, rounds=rounds, unit="µs"))
    yield from transformers.step_benchmarks(rounds)


def _step(name: str, make: Callable[..., Cell], torch_cell: type[nn.RNNCellBase], size: int, rounds: int) -> Result:
    cell, theirs = make(size, size), torch_cell(size, size)  # type: ignore[call-arg]
    x, start = torch.randn(1, size), cell.initial_state(1)
    torch_state = tuple(start) if isinstance(cell, LSTM) else start[0]
    implementations: dict[str, Callable[[], Any]] = {
        OURS: partial(cell.step, x, start),
        "torch cell": partial(theirs, x, torch_state),
    }
    with torch.no_grad():
        return compare(name, implementations, rounds=rounds, unit="µs")


def _training_implementations(layer: Layer, lengths: Tensor, steps: int) -> dict[str, Callable[[], Any]]:
    """Forward and backward of a layer, and of PyTorch's counterpart with packed and with padded sequences."""
    x = torch.randn(len(lengths), steps, layer.input_size, requires_grad=True)
    gradient = torch.randn(len(lengths), steps, layer.output_size)
    gradient = Sequences(gradient, lengths).zeroed().data
    theirs = to_torch(layer)

    def ours() -> None:
        outputs, _ = layer.scan(Sequences(x, lengths))
        outputs.data.backward(gradient)

    def packed() -> None:
        outputs, _ = theirs(pack_padded_sequence(x, lengths, batch_first=True))
        pad_packed_sequence(outputs, batch_first=True, total_length=steps)[0].backward(gradient)

    def padded() -> None:
        theirs(x)[0].backward(gradient)

    return {OURS: ours, "torch packed": packed, "torch padded": padded}


def _change_weights(layer: nn.Module) -> Callable[[], None]:
    """Stands for an optimiser's step: the weights count as changed, so that the kernels pack them again."""

    def change() -> None:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(1.0)

    return change


def training(name: str, layer: Any, lengths: Tensor, rounds: int) -> Result:
    """Forward and backward of a cell, or of a bidirectional pair, over a batch with these lengths `[B]`."""
    items, steps = int(lengths.sum()), int(lengths.max())
    cells = [layer] if isinstance(layer, Cell) else [layer.forward_layer, layer.backward_layer]
    return compare(
        name,
        _training_implementations(layer, lengths, steps),
        rounds=rounds,
        min_seconds=0,
        prepare=_change_weights(layer),
        operations=3 * sum(operations(cell, items) for cell in cells),
    )


def _one_thread(name: str, cell: Cell, lengths: Tensor, rounds: int, threads: int) -> Result:
    implementations = _training_implementations(cell, lengths, int(lengths.max()))
    ours = implementations[OURS]

    def alone() -> None:
        torch.set_num_threads(1)
        try:
            ours()
        finally:
            torch.set_num_threads(threads)

    implementations[OURS] = alone
    return compare(name, implementations, rounds=rounds, min_seconds=0, prepare=_change_weights(cell))


def _layer_norm(name: str, cell: Cell, lengths: Tensor, rounds: int) -> Result:
    steps = int(lengths.max())
    x = torch.randn(len(lengths), steps, cell.input_size, requires_grad=True)
    gradient = Sequences(torch.randn(len(lengths), steps, cell.hidden_size), lengths).zeroed().data

    def run(backend: str) -> None:
        with kernels.use(backend):
            cell.scan(Sequences(x, lengths))[0].data.backward(gradient)

    implementations: dict[str, Callable[[], Any]] = {
        OURS: partial(run, "native"),
        "torch eager": partial(run, "torch"),
    }
    items = int(lengths.sum())
    return compare(
        name,
        implementations,
        rounds=rounds,
        min_seconds=0,
        prepare=_change_weights(cell),
        operations=3 * operations(cell, items),
    )


def _inference(name: str, cell: Cell, lengths: Tensor, rounds: int, threads: int, per_call: int = 1) -> Result:
    items, steps = int(lengths.sum()), int(lengths.max())
    x = torch.randn(len(lengths), steps, cell.input_size)
    inputs, theirs = Sequences(x, lengths).zeroed(), to_torch(cell)

    def packed() -> Any:
        return pad_packed_sequence(theirs(pack_padded_sequence(x, lengths, batch_first=True))[0], True)

    implementations: dict[str, Callable[[], Any]] = {
        OURS: lambda: cell.scan(inputs),
        "torch padded": lambda: theirs(x),
        "torch packed": packed,
    }
    if (onnx_scan := onnx_baseline.scanner(cell, inputs, threads)) is not None:
        implementations["ONNX Runtime"] = onnx_scan
    work: dict[str, Any] = {"operations": operations(cell, items), "per_call": per_call}
    with torch.no_grad():
        return compare(name, implementations, rounds=rounds, unit="ms" if per_call == 1 else "µs", **work)
