"""`stepscan bench scan` and `step`: our recurrences beside PyTorch's and ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stepscan import kernels
from stepscan.benchmarks import onnx_rival
from stepscan.benchmarks.race import Race, Result, race
from stepscan.cells.cell import Cell
from stepscan.cells.conversion import to_torch
from stepscan.cells.elman import Elman
from stepscan.cells.gru import GRU
from stepscan.cells.layer_norm_lstm import LayerNormLSTM
from stepscan.cells.lstm import LSTM
from stepscan.combinators.bidirectional import Bidirectional
from stepscan.contract import Layer
from stepscan.sequences import Sequences

SIZES = (128, 256, 512)
CELLS: dict[str, Callable[[int, int], Cell]] = {"LSTM": LSTM, "GRU": GRU, "Elman": Elman}


def lengths_of_text(batch: int = 32, steps: int = 60, seed: int = 0) -> Tensor:
    """Lengths as sentences have them: gamma distributed, the longest `steps`, longest first; 970 in all by default."""
    random = np.random.default_rng(seed)
    drawn = np.clip(np.round(random.gamma(3.2, steps * 0.54 / 3.2, batch)), 2, steps).astype(int)
    drawn = np.sort(drawn)[::-1].copy()
    drawn[0] = steps
    return torch.from_numpy(drawn)


def operations(cell: Cell, items: int) -> float:
    """Floating-point operations of the two matrix products of a scan over so many items."""
    return 2.0 * items * cell.gates * cell.hidden_size * (cell.input_size + cell.hidden_size)


def scan_results(threads: int, rounds: int) -> Iterator[Race]:
    """The lines of `stepscan bench scan`."""
    ragged, full, one_row = lengths_of_text(), torch.full((32,), 60), torch.tensor([1000])

    def line(name: str, run: Callable[..., Result], make: Callable[[], Layer], *given: Any) -> Race:
        return Race(name, lambda: run(name, make(), *given))

    for name, make in CELLS.items():
        for size in SIZES:
            yield line(f"{name} {size}, training", training, partial(make, size, size), ragged, rounds)
    for name in ("LSTM", "GRU"):
        for size in SIZES:
            both = partial(_both_ways, CELLS[name], size)
            yield line(f"bidirectional {name} {size}, training", training, both, ragged, rounds)
    for size in SIZES:
        yield line(f"LSTM {size}, equal lengths, training", training, partial(LSTM, size, size), full, rounds)
    for size in SIZES:
        title = f"LSTM {size}, training, one thread"
        yield line(title, _one_thread, partial(LSTM, size, size), ragged, rounds, threads)
    yield line("layer-norm LSTM 256, training", _layer_norm, partial(LayerNormLSTM, 256, 256), ragged, rounds)
    for name, make in CELLS.items():
        for size in SIZES:
            yield line(f"{name} {size}, inference", _inference, partial(make, size, size), ragged, rounds, threads)
    for name, make in CELLS.items():
        for size in (16, 32, 64):
            title = f"{name} {size}, one row of 1,000, a step"
            yield line(title, _inference, partial(make, size, size), one_row, rounds, threads, 1000)


def _both_ways(make: Callable[[int, int], Cell], size: int) -> Bidirectional:
    return Bidirectional(make(size, size), make(size, size))


def step_results(threads: int, rounds: int) -> Iterator[Race]:
    """The lines of `stepscan bench step`: one call from Python for one item of one row."""
    for name, peer in (("LSTM", nn.LSTMCell), ("GRU", nn.GRUCell)):
        for size in (16, 64, 128, 256, 512):
            title = f"{name} {size}, step"
            yield Race(title, partial(_step, title, CELLS[name], peer, size, rounds))
    for name in ("LSTM", "GRU"):
        both = _train_runners(CELLS[name](16, 16), torch.ones(1, dtype=torch.long), 1)
        title = f"{name} 16, one item, training"
        yield Race(title, partial(race, title, both, rounds=rounds, unit="µs"))


def _step(name: str, make: Callable[..., Cell], peer: type[nn.RNNCellBase], size: int, rounds: int) -> Result:
    cell, theirs = make(size, size), peer(size, size)  # type: ignore[call-arg]
    x, start = torch.randn(1, size), cell.initial_state(1)
    given = tuple(start) if isinstance(cell, LSTM) else start[0]
    runners: dict[str, Callable[[], Any]] = {
        "stepscan": partial(cell.step, x, start),
        "torch cell": partial(theirs, x, given),
    }
    with torch.no_grad():
        return race(name, runners, rounds=rounds, unit="µs")


def _train_runners(layer: Layer, lengths: Tensor, steps: int) -> dict[str, Callable[[], Any]]:
    """Forward and backward of a layer, and of PyTorch's counterpart packed and padded."""
    x = torch.randn(len(lengths), steps, layer.input_size, requires_grad=True)
    gradient = torch.randn(len(lengths), steps, layer.output_size)
    gradient = Sequences(gradient, lengths).zeroed().data
    peer = to_torch(layer)

    def ours() -> None:
        outputs, _ = layer.scan(Sequences(x, lengths))
        outputs.data.backward(gradient)

    def packed() -> None:
        outputs, _ = peer(pack_padded_sequence(x, lengths, batch_first=True))
        pad_packed_sequence(outputs, batch_first=True, total_length=steps)[0].backward(gradient)

    def padded() -> None:
        peer(x)[0].backward(gradient)

    return {"stepscan": ours, "torch packed": packed, "torch padded": padded}


def _touch(layer: nn.Module) -> Callable[[], None]:
    """An optimiser's step, as far as it concerns kernels: the weights count as changed, so they are packed anew."""

    def change() -> None:
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(1.0)

    return change


def training(name: str, layer: Any, lengths: Tensor, rounds: int) -> Result:
    """Forward and backward of a cell, or of two of them side by side, over a batch with these lengths."""
    items, steps = int(lengths.sum()), int(lengths.max())
    cells = [layer] if isinstance(layer, Cell) else [layer.forward_layer, layer.backward_layer]
    return race(
        name,
        _train_runners(layer, lengths, steps),
        rounds=rounds,
        least_seconds=0,
        prepare=_touch(layer),
        operations=3 * sum(operations(cell, items) for cell in cells),
    )


def _one_thread(name: str, cell: Cell, lengths: Tensor, rounds: int, threads: int) -> Result:
    runners = _train_runners(cell, lengths, int(lengths.max()))

    def alone() -> None:
        torch.set_num_threads(1)
        try:
            runners["stepscan"]()
        finally:
            torch.set_num_threads(threads)

    chosen = {"stepscan": alone, "torch packed": runners["torch packed"], "torch padded": runners["torch padded"]}
    return race(name, chosen, rounds=rounds, least_seconds=0, prepare=_touch(cell))


def _layer_norm(name: str, cell: Cell, lengths: Tensor, rounds: int) -> Result:
    steps = int(lengths.max())
    x = torch.randn(len(lengths), steps, cell.input_size, requires_grad=True)
    gradient = Sequences(torch.randn(len(lengths), steps, cell.hidden_size), lengths).zeroed().data

    def run(backend: str) -> None:
        with kernels.use(backend):
            cell.scan(Sequences(x, lengths))[0].data.backward(gradient)

    runners: dict[str, Callable[[], Any]] = {
        "stepscan": partial(run, "native"),
        "torch eager": partial(run, "torch"),
    }
    items = int(lengths.sum())
    work = 3 * operations(cell, items)
    return race(name, runners, rounds=rounds, least_seconds=0, prepare=_touch(cell), operations=work)


def _inference(name: str, cell: Cell, lengths: Tensor, rounds: int, threads: int, per_call: int = 1) -> Result:
    items, steps = int(lengths.sum()), int(lengths.max())
    x = torch.randn(len(lengths), steps, cell.input_size)
    inputs, peer = Sequences(x, lengths).zeroed(), to_torch(cell)
    runners: dict[str, Callable[[], Any]] = {
        "stepscan": lambda: cell.scan(inputs),
        "torch padded": lambda: peer(x),
        "torch packed": lambda: pad_packed_sequence(peer(pack_padded_sequence(x, lengths, batch_first=True))[0], True),
    }
    of_onnx = onnx_rival.scanner(cell, inputs, threads)
    if of_onnx is not None:
        runners["ONNX Runtime"] = of_onnx
    with torch.no_grad():
        unit = "ms" if per_call == 1 else "µs"
        return race(name, runners, rounds=rounds, operations=operations(cell, items), unit=unit, per_call=per_call)
