"""`stepscan bench scan` and `step`: our recurrences beside PyTorch's and ONNX Runtime's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stepscan import kernels
from stepscan.benchmarks import onnx_rival
from stepscan.benchmarks.race import Result, race
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


def scan_results(threads: int, rounds: int) -> Iterator[Result]:
    """The lines of `stepscan bench scan`."""
    ragged, full = lengths_of_text(), torch.full((32,), 60)
    for name, make in CELLS.items():
        for size in SIZES:
            yield _training(f"{name} {size}, training", make(size, size), ragged, rounds)
    for name in ("LSTM", "GRU"):
        for size in SIZES:
            both = Bidirectional(CELLS[name](size, size), CELLS[name](size, size))
            yield _training(f"bidirectional {name} {size}, training", both, ragged, rounds)
    for size in SIZES:
        yield _training(f"LSTM {size}, equal lengths, training", LSTM(size, size), full, rounds)
    for size in SIZES:
        yield _one_thread(f"LSTM {size}, training, one thread against {threads}", LSTM(size, size), ragged, rounds, threads)
    yield _layer_norm("layer-norm LSTM 256, training", ragged, rounds)
    for name, make in CELLS.items():
        for size in SIZES:
            yield _inference(f"{name} {size}, inference", make(size, size), ragged, rounds, threads)
    for name, make in CELLS.items():
        for size in (16, 32, 64):
            yield _inference(
                f"{name} {size}, one row of 1,000, a step", make(size, size), torch.tensor([1000]), rounds, threads, per_call=1000
            )


def step_results(threads: int, rounds: int) -> Iterator[Result]:
    """The lines of `stepscan bench step`: one call from Python for one item of one row."""
    for name in ("LSTM", "GRU"):
        for size in (16, 64, 128, 256, 512):
            cell = CELLS[name](size, size)
            x, start = torch.randn(1, size), cell.initial_state(1)
            peer = (nn.LSTMCell if name == "LSTM" else nn.GRUCell)(size, size)
            given = tuple(start) if name == "LSTM" else start[0]
            runners = {"stepscan": lambda c=cell, x=x, s=start: c.step(x, s), "torch cell": lambda p=peer, x=x, g=given: p(x, g)}
            with torch.no_grad():
                yield race(f"{name} {size}, step", runners, rounds=rounds, unit="µs")
    for name in ("LSTM", "GRU"):
        cell, one = CELLS[name](16, 16), torch.ones(1, dtype=torch.long)
        runners = _train_runners(cell, one, 1)
        yield race(f"{name} 16, one item, training", runners, rounds=rounds, unit="µs")


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


def _training(name: str, layer: Any, lengths: Tensor, rounds: int) -> Result:
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


def _layer_norm(name: str, lengths: Tensor, rounds: int) -> Result:
    cell, steps = LayerNormLSTM(256, 256), int(lengths.max())
    x = torch.randn(len(lengths), steps, 256, requires_grad=True)
    gradient = Sequences(torch.randn(len(lengths), steps, 256), lengths).zeroed().data

    def run(backend: str) -> None:
        with kernels.use(backend):
            cell.scan(Sequences(x, lengths))[0].data.backward(gradient)

    runners = {"stepscan": functools.partial(run, "native"), "torch eager": functools.partial(run, "torch")}
    items = int(lengths.sum())
    return race(
        name, runners, rounds=rounds, least_seconds=0, prepare=_touch(cell), operations=3 * operations(cell, items)
    )


def _inference(name: str, cell: Cell, lengths: Tensor, rounds: int, threads: int, per_call: int = 1) -> Result:
    items, steps = int(lengths.sum()), int(lengths.max())
    x = torch.randn(len(lengths), steps, cell.input_size)
    inputs, peer = Sequences(x, lengths).zeroed(), to_torch(cell)
    runners: dict[str, Callable[[], Any]] = {
        "stepscan": lambda: cell.scan(inputs),
        "torch padded": lambda: peer(x),
        "torch packed": lambda: pad_packed_sequence(peer(pack_padded_sequence(x, lengths, batch_first=True))[0], True),
    }
    of_onnx = onnx_rival.runner(cell, inputs, threads)
    if of_onnx is not None:
        runners["ONNX Runtime"] = of_onnx
    with torch.no_grad():
        unit = "ms" if per_call == 1 else "µs"
        return race(
            name, runners, rounds=rounds, operations=operations(cell, items), unit=unit, per_call=per_call
        )
