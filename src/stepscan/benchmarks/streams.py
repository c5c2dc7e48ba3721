"""`stepscan bench stream` and `generate`: a model in use, without PyTorch, beside PyTorch and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from stepscan.benchmarks import onnx_rival
from stepscan.benchmarks.race import Race, Result, race
from stepscan.benchmarks.scans import operations
from stepscan.cells.conversion import to_torch
from stepscan.cells.lstm import LSTM
from stepscan.combinators.stack import Stack
from stepscan.contract import Layer
from stepscan.kernels.native import library
from stepscan.registry import describe
from stepscan.runtime import layers

SIZES, SMALL = (64, 128, 256, 512), (8, 16, 32, 64)
SYMBOLS, LENGTH, TEMPERATURE = 100, 100, 0.8


def _runtime(layer: Layer, weights: str) -> layers.Layer:
    tensors = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    return layers.build_layer(describe(layer), tensors, "", layers.Options(weights))


def stream_results(threads: int, rounds: int) -> Iterator[Race]:
    """One step of one LSTM layer from Python, and a step inside a block of them; one row, one thread."""
    for weights in layers.FORMATS:
        for size in SIZES:
            title = f"LSTM {size}, {weights}, a step"
            yield Race(title, partial(_step, title, size, weights, rounds))
    for size in SMALL:
        title = f"LSTM {size}, float32, a step in a block"
        yield Race(title, partial(_block, title, size, rounds))


def _step(name: str, size: int, weights: str, rounds: int) -> Result:
    cell, peer = LSTM(size, size), nn.LSTMCell(size, size)
    stream = library.Stream(_runtime(cell, weights).native)
    x, y = np.random.default_rng(0).standard_normal((1, size)).astype(np.float32), np.empty((1, size), np.float32)
    of_torch, state = torch.from_numpy(x), [torch.zeros(1, size), torch.zeros(1, size)]

    def torch_cell() -> None:
        state[:] = peer(of_torch, tuple(state))

    runners: dict[str, Callable[[], Any]] = {"stepscan": lambda: stream.push(x, y, 1), "torch cell": torch_cell}
    rival = onnx_rival.stepper(cell, 1)
    if rival is not None:
        runners["ONNX Runtime"] = rival
    with torch.inference_mode(), _one_thread():
        return race(name, runners, rounds=rounds, unit="µs", operations=operations(cell, 1))


def _block(name: str, size: int, rounds: int, steps: int = 1000) -> Result:
    cell = LSTM(size, size)
    stream, peer = library.Stream(_runtime(cell, "float32").native), to_torch(cell)
    x = np.random.default_rng(0).standard_normal((steps, size)).astype(np.float32)
    y, of_torch = np.empty((steps, size), np.float32), torch.from_numpy(x)[None]
    runners = {"stepscan": lambda: stream.push(x, y, 1), "torch padded": lambda: peer(of_torch)}
    with torch.inference_mode(), _one_thread():
        return race(name, runners, rounds=rounds, unit="µs", per_call=steps, operations=steps * operations(cell, 1))


class _Writer:
    """Embedding, two LSTMs and an output of so many units over `SYMBOLS` symbols."""

    def __init__(self, size: int) -> None:
        self.embedding, self.cells, self.head = (
            nn.Embedding(SYMBOLS, size),
            [LSTM(size, size), LSTM(size, size)],
            nn.Linear(size, SYMBOLS),
        )
        self.size = size

    def ours(self, weights: str, threads: int) -> Callable[[], Any]:
        stack = _runtime(Stack(self.cells), weights)
        weight, bias = (tensor.detach().numpy() for tensor in (self.head.weight, self.head.bias))
        head = layers.Linear(weight, bias, layers.Options(weights))
        table = self.embedding.weight.detach().numpy()
        writer = library.TokenGenerator(table.ctypes.data, SYMBOLS, stack.native, None, head.native)
        state, y = stack.initial_state(1), np.zeros((1, self.size), np.float32)
        never, ids = np.zeros(SYMBOLS, np.uint8), np.empty(LENGTH, np.int64)
        draws = np.random.default_rng(0).random(LENGTH)
        addresses = [array.ctypes.data for array in (never, draws, ids)]
        return lambda: writer.generate(
            state.ctypes.data, y.ctypes.data, LENGTH, TEMPERATURE, 0, 1.0, 0.0, *addresses, threads
        )

    def torch(self) -> Callable[[], Any]:
        cells = [to_torch(cell) for cell in self.cells]
        generator = torch.Generator().manual_seed(0)

        def write() -> None:
            symbol, states = torch.zeros(1, 1, dtype=torch.long), [None, None]
            for _ in range(LENGTH):
                x = self.embedding(symbol)
                for number, cell in enumerate(cells):
                    x, states[number] = cell(x, states[number])
                shares = (self.head(x[:, -1]) / TEMPERATURE).softmax(dim=1)
                symbol = torch.multinomial(shares, 1, generator=generator)

        return write


def generate_results(threads: int, rounds: int) -> Iterator[Race]:
    """A token of a two-layer LSTM over 100 symbols, sampled at temperature 0.8, a hundred at a time; and a step of 256
    sequences of a 2 × 256 LSTM, one after another and all together."""
    for weights in layers.FORMATS:
        for size in SIZES[1:]:
            title = f"2 LSTM {size}, {weights}, a token"
            yield Race(title, partial(_generate, title, size, weights, threads, rounds))
    for weights in layers.FORMATS:
        title = f"256 sessions of 2 LSTM 256, {weights}, a step of each"
        yield Race(title, partial(_sessions, title, weights, threads, rounds))


def _generate(name: str, size: int, weights: str, threads: int, rounds: int) -> Result:
    model = _Writer(size)
    runners: dict[str, Callable[[], Any]] = {"stepscan": model.ours(weights, 1)}
    if threads > 1:
        runners[f"stepscan, {threads} threads"] = model.ours(weights, threads)
    runners["torch"] = model.torch()
    head = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    for count in dict.fromkeys((1, threads)):
        rival = onnx_rival.writer(model.embedding.weight.detach().numpy(), model.cells, head, TEMPERATURE, count)
        if rival is not None:
            runners["ONNX Runtime" if count == 1 else f"ONNX Runtime, {count} threads"] = partial(rival, LENGTH)
    work = LENGTH * (2 * operations(model.cells[0], 1) + 2.0 * size * SYMBOLS)
    with torch.inference_mode():
        return race(name, runners, rounds=rounds, unit="µs", per_call=LENGTH, operations=work)


def _sessions(name: str, weights: str, threads: int, rounds: int, count: int = 256, size: int = 256) -> Result:
    cells = [LSTM(size, size), LSTM(size, size)]
    layer = _runtime(Stack(cells), weights)
    streams = [library.Stream(layer.native) for _ in range(count)]
    x = np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)
    y = np.empty((count, size), np.float32)

    def one_by_one() -> None:
        for number, stream in enumerate(streams):
            stream.push(x[number : number + 1], y[number : number + 1], 1)

    runners: dict[str, Callable[[], Any]] = {
        "stepscan": lambda: library.push_many(streams, x.ctypes.data, y.ctypes.data, threads),
        "one thread": lambda: library.push_many(streams, x.ctypes.data, y.ctypes.data, 1),
        "one by one": one_by_one,
    }
    return race(name, runners, rounds=rounds, per_call=1, operations=2 * operations(cells[0], count))


class _one_thread:
    """PyTorch on one thread for a while, as a stream runs."""

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
