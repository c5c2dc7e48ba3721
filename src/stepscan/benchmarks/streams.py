"""`stepscan bench stream` and `generate`: inference without PyTorch, compared with PyTorch and ONNX Runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from stepscan.backends.arrays import Linear
from stepscan.backends.execution import FORMATS, Options
from stepscan.backends.layers import NativeLayer
from stepscan.backends.weights import Weights
from stepscan.benchmarks import onnx_baseline
from stepscan.benchmarks.scans import operations
from stepscan.benchmarks.timing import OURS, Benchmark, Result, compare
from stepscan.cells.lstm import LSTM
from stepscan.combinators.stack import Stack
from stepscan.contract import Layer
from stepscan.conversion import to_torch
from stepscan.definitions.definition import specify
from stepscan.kernels.native import library
from stepscan.registry import describe

SIZES, SMALL = (64, 128, 256, 512), (8, 16, 32, 64)
SYMBOLS, LENGTH, TEMPERATURE = 100, 100, 0.8


def _runtime(layer: Layer, weights: str) -> NativeLayer:
    tensors = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    return specify(describe(layer)).bind(Weights(tensors, Options(weights)))


def stream_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """`stepscan bench stream`: one step of one LSTM layer, per call from Python and in a block of steps; one row, one
    thread."""
    for weights in FORMATS:
        for size in SIZES:
            title = f"LSTM {size}, {weights}, per step"
            yield Benchmark(title, partial(_step, title, size, weights, rounds))
    for size in SMALL:
        title = f"LSTM {size}, float32, per step in a block"
        yield Benchmark(title, partial(_block, title, size, rounds))


def _step(name: str, size: int, weights: str, rounds: int) -> Result:
    cell, theirs = LSTM(size, size), nn.LSTMCell(size, size)
    stream = library.Stream(_runtime(cell, weights).native)
    x, y = np.random.default_rng(0).standard_normal((1, size)).astype(np.float32), np.empty((1, size), np.float32)
    x_tensor, state = torch.from_numpy(x), [torch.zeros(1, size), torch.zeros(1, size)]

    def torch_cell() -> None:
        state[:] = theirs(x_tensor, tuple(state))

    implementations: dict[str, Callable[[], Any]] = {OURS: lambda: stream.push(x, y, 1), "torch cell": torch_cell}
    if (onnx_step := onnx_baseline.stepper(cell, 1)) is not None:
        implementations["ONNX Runtime"] = onnx_step
    with torch.inference_mode(), _single_thread():
        return compare(name, implementations, rounds=rounds, unit="µs", operations=operations(cell, 1))


def _block(name: str, size: int, rounds: int, steps: int = 1000) -> Result:
    cell = LSTM(size, size)
    stream, theirs = library.Stream(_runtime(cell, "float32").native), to_torch(cell)
    x = np.random.default_rng(0).standard_normal((steps, size)).astype(np.float32)
    y, x_tensor = np.empty((steps, size), np.float32), torch.from_numpy(x)[None]
    implementations = {OURS: lambda: stream.push(x, y, 1), "torch padded": lambda: theirs(x_tensor)}
    work: dict[str, Any] = {"per_call": steps, "operations": steps * operations(cell, 1)}
    with torch.inference_mode(), _single_thread():
        return compare(name, implementations, rounds=rounds, unit="µs", **work)


class _LanguageModel:
    """An embedding, two LSTMs of `size` units and an output layer over `SYMBOLS` symbols."""

    def __init__(self, size: int) -> None:
        self.embedding, self.cells, self.head = (
            nn.Embedding(SYMBOLS, size),
            [LSTM(size, size), LSTM(size, size)],
            nn.Linear(size, SYMBOLS),
        )
        self.size = size

    def ours(self, weights: str, threads: int) -> Callable[[], Any]:
        """Generates `LENGTH` symbols on the native kernels."""
        stack = _runtime(Stack(self.cells), weights)
        weight, bias = (tensor.detach().numpy() for tensor in (self.head.weight, self.head.bias))
        head = Linear(weight, bias, Options(weights))
        table = self.embedding.weight.detach().numpy()
        generator = library.TokenGenerator(table.ctypes.data, SYMBOLS, stack.native, None, head.native)
        state, y = stack.initial_state(1), np.zeros((1, self.size), np.float32)
        excluded, ids = np.zeros(SYMBOLS, np.uint8), np.empty(LENGTH, np.int64)
        draws = np.random.default_rng(0).random(LENGTH)
        addresses = [array.ctypes.data for array in (excluded, draws, ids)]
        return lambda: generator.generate(
            state.ctypes.data, 0, y.ctypes.data, LENGTH, TEMPERATURE, 0, 1.0, 0.0, *addresses, threads
        )

    def torch(self) -> Callable[[], Any]:
        """Generates `LENGTH` symbols with PyTorch."""
        cells = [to_torch(cell) for cell in self.cells]
        generator = torch.Generator().manual_seed(0)

        def generate() -> None:
            symbol, states = torch.zeros(1, 1, dtype=torch.long), [None, None]
            for _ in range(LENGTH):
                x = self.embedding(symbol)
                for i, cell in enumerate(cells):
                    x, states[i] = cell(x, states[i])
                probabilities = (self.head(x[:, -1]) / TEMPERATURE).softmax(dim=1)
                symbol = torch.multinomial(probabilities, 1, generator=generator)

        return generate


def generate_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """`stepscan bench generate`: sampling 100 symbols per call from a two-layer LSTM at temperature 0.8; and one step
    of each of 256 sessions of a 2 × 256 LSTM, one by one and as a batch."""
    for weights in FORMATS:
        for size in SIZES[1:]:
            title = f"2 LSTM {size}, {weights}, per token"
            yield Benchmark(title, partial(_generate, title, size, weights, threads, rounds))
    for weights in FORMATS:
        title = f"256 sessions of 2 LSTM 256, {weights}, one step of each"
        yield Benchmark(title, partial(_sessions, title, weights, threads, rounds))


def _generate(name: str, size: int, weights: str, threads: int, rounds: int) -> Result:
    model = _LanguageModel(size)
    implementations: dict[str, Callable[[], Any]] = {OURS: model.ours(weights, 1)}
    if threads > 1:
        implementations[f"{OURS}, {threads} threads"] = model.ours(weights, threads)
    implementations["torch"] = model.torch()
    head = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    for count in dict.fromkeys((1, threads)):
        embedding = model.embedding.weight.detach().numpy()
        generate = onnx_baseline.generator(embedding, model.cells, head, TEMPERATURE, count)
        if generate is not None:
            title = "ONNX Runtime" if count == 1 else f"ONNX Runtime, {count} threads"
            implementations[title] = partial(generate, LENGTH)
    work = LENGTH * (2 * operations(model.cells[0], 1) + 2.0 * size * SYMBOLS)
    with torch.inference_mode():
        return compare(name, implementations, rounds=rounds, unit="µs", per_call=LENGTH, operations=work)


def _sessions(name: str, weights: str, threads: int, rounds: int, count: int = 256, size: int = 256) -> Result:
    cells = [LSTM(size, size), LSTM(size, size)]
    layer = _runtime(Stack(cells), weights)
    streams = [library.Stream(layer.native) for _ in range(count)]
    x = np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)
    y = np.empty((count, size), np.float32)

    def one_by_one() -> None:
        for i, stream in enumerate(streams):
            stream.push(x[i : i + 1], y[i : i + 1], 1)

    implementations: dict[str, Callable[[], Any]] = {
        OURS: lambda: library.push_many(streams, x.ctypes.data, y.ctypes.data, threads),
        "one thread": lambda: library.push_many(streams, x.ctypes.data, y.ctypes.data, 1),
        "one by one": one_by_one,
    }
    return compare(name, implementations, rounds=rounds, per_call=1, operations=2 * operations(cells[0], count))


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """PyTorch on one thread, like a stream."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
