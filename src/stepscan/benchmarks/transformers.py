"""The transformer block in `stepscan bench scan` and `step`: ours beside PyTorch's, eager, and ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.backends.batches import Batch
from stepscan.backends.native_arrays import address
from stepscan.backends.weights import Weights
from stepscan.benchmarks import onnx_baseline
from stepscan.benchmarks.timing import OURS, Benchmark, Result, compare
from stepscan.cells.transformer import Transformer, rotate
from stepscan.definitions.definition import specify
from stepscan.kernels.native import library
from stepscan.registry import describe
from stepscan.sequences import Sequences

LENGTHS = (128, 1024, 4096)
SIZE, HEADS = 256, 8


def block_operations(items: int, seen: float) -> float:
    """Floating-point operations of the block's matrix products for so many items, each of which sees `seen` items."""
    return items * (24.0 * SIZE * SIZE + 4.0 * SIZE * seen)


def scan_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """One row of each length, which sees all of it."""
    for steps in LENGTHS:
        title = f"transformer {SIZE}, one row of {steps:,}"
        yield Benchmark(title, partial(_scan, title, steps, rounds, threads))


def step_benchmarks(rounds: int) -> Iterator[Benchmark]:
    """One step, on one thread, of a row that has read so many items."""
    for steps in LENGTHS:
        title = f"transformer {SIZE}, step after {steps:,} items"
        yield Benchmark(title, partial(_step, title, steps, rounds))


def _block() -> Transformer:
    return Transformer(SIZE, SIZE, heads=HEADS, context=LENGTHS[-1] + 1).eval()


def _scan(name: str, steps: int, rounds: int, threads: int) -> Result:
    block, x = _block(), torch.randn(1, steps, SIZE)
    inputs = Sequences(x, [steps])
    implementations: dict[str, Callable[[], Any]] = {
        OURS: lambda: block.scan(inputs),
        "torch eager": _eager_scan(block, x),
    }
    if onnx_baseline.is_available():
        session = _onnx(block, steps, threads, causal=True)
        feeds = {"x": x.numpy(), **_angles(np.arange(steps))}
        implementations["ONNX Runtime"] = lambda: session.run(None, feeds)
    with torch.inference_mode():
        rounds = rounds if steps < LENGTHS[-1] else min(rounds, 5)
        work = block_operations(steps, (steps + 1) / 2)
        return compare(name, implementations, rounds=rounds, min_seconds=0.05, operations=work)


def _step(name: str, steps: int, rounds: int) -> Result:
    block = _block()
    tensors = {part: tensor.numpy() for part, tensor in block.state_dict().items()}
    layer = specify(describe(block)).bind(Weights(tensors))
    before = np.random.default_rng(0).standard_normal((1, steps, SIZE)).astype(np.float32)
    _, state = layer.scan(Batch(before, np.array([steps])))
    first, stream = library.Stream(layer.native), library.Stream(layer.native)
    first.write(address(state), layer.capacity(state))
    x, y = before[0, :1].copy(), np.empty((1, SIZE), np.float32)

    def ours() -> None:
        stream.copy(first)  # so that each step is of the same length; between twins only the last item is copied
        stream.push(x, y, 1)

    implementations: dict[str, Callable[[], Any]] = {OURS: ours, "torch eager": _eager_step(block, before, x)}
    if onnx_baseline.is_available():
        session = _onnx(block, 1, 1, causal=False)
        past = np.random.default_rng(0).standard_normal((1, HEADS, steps, SIZE // HEADS)).astype(np.float32)
        feeds = {"x": x[None], "past_keys": past, "past_values": past, **_angles(np.array([steps]))}
        implementations["ONNX Runtime"] = lambda: session.run(None, feeds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            work = block_operations(1, steps + 1)
            return compare(name, implementations, rounds=rounds, unit="µs", operations=work)
    finally:
        torch.set_num_threads(threads)


def _eager_scan(block: Transformer, x: Tensor) -> Callable[[], Tensor]:
    positions = torch.arange(x.shape[1])[None]

    def scan() -> Tensor:
        u, q, k, v = block.project(x, positions)
        return block.feed_forward(u, block.attend(q, k, v, None))

    return scan


def _eager_step(block: Transformer, before: np.ndarray, x: np.ndarray) -> Callable[[], Tensor]:
    """One step with a cache that is written in place: what a careful user of PyTorch writes."""
    item, steps = torch.from_numpy(x)[None], before.shape[1]
    with torch.no_grad():
        _, _, keys, values = block.project(torch.from_numpy(before), torch.arange(steps)[None])
    keys, values = (
        F.pad(part, (0, 0, 0, 1)).unflatten(2, (HEADS, -1)).transpose(1, 2).contiguous() for part in (keys, values)
    )
    positions = torch.tensor([[steps]])

    def step() -> Tensor:
        q, k, v = block.projection(block.attention_norm(item)).chunk(3, dim=2)
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in (rotate(q, positions, HEADS), rotate(k, positions, HEADS), v)
        )
        keys[:, :, -1:], values[:, :, -1:] = k, v
        attended = F.scaled_dot_product_attention(q, keys, values)
        return block.feed_forward(item, attended.transpose(1, 2).flatten(2))

    return step


def _angles(positions: np.ndarray) -> dict[str, np.ndarray]:
    pairs = SIZE // HEADS // 2
    angles = positions[:, None] * 10000.0 ** (-np.arange(pairs) / pairs)  # [T, pairs]
    return {"cosine": np.cos(angles).astype(np.float32), "sine": np.sin(angles).astype(np.float32)}


def _onnx(block: Transformer, steps: int, threads: int, *, causal: bool) -> Any:
    """A session of the block: a scan of `steps` items or, if not causal, a step whose cache is an input, and the longer
    one an output."""
    from onnx import TensorProto

    graph = onnx_baseline.Graph()
    head = SIZE // HEADS

    def linear(name: str, x: str) -> str:
        part = getattr(block, name)
        weight = graph.weight(f"{name}.W", np.ascontiguousarray(part.weight.detach().numpy().T))
        product = graph.node("MatMul", [x, weight], [f"{name}.product"])
        return graph.node("Add", [product, graph.weight(f"{name}.b", part.bias.detach().numpy())], [f"{name}.y"])

    def norm(name: str, x: str) -> str:
        part = getattr(block, name)
        weights = [
            graph.weight(f"{name}.{letter}", t.detach().numpy()) for letter, t in (("g", part.weight), ("b", part.bias))
        ]
        return graph.node("LayerNormalization", [x, *weights], [f"{name}.y"], epsilon=1e-5)

    def heads(x: str, name: str) -> str:
        shape = graph.weight(f"{name}.shape", np.array([1, steps, HEADS, head]))
        return graph.node(
            "Transpose", [graph.node("Reshape", [x, shape], [f"{name}.parts"])], [f"{name}.heads"], perm=[0, 2, 1, 3]
        )

    def turned(x: str) -> str:
        first, second = f"{x}.1", f"{x}.2"
        graph.node("Split", [x], [first, second], axis=3)
        parts = []
        for name, (a, b), operator in (("r", (first, second), "Sub"), ("i", (second, first), "Add")):
            left = graph.node("Mul", [a, "cosine"], [f"{x}.{name}.a"])
            right = graph.node("Mul", [b, "sine"], [f"{x}.{name}.b"])
            parts.append(graph.node(operator, [left, right], [f"{x}.{name}"]))
        return graph.node("Concat", parts, [f"{x}.turned"], axis=3)

    graph.node("Split", [linear("projection", norm("attention_norm", "x"))], ["q", "k", "v"], axis=2)
    q, k, v = turned(heads("q", "q")), turned(heads("k", "k")), heads("v", "v")
    inputs: dict[str, tuple[Any, list[Any]]] = {"x": (TensorProto.FLOAT, [1, steps, SIZE])}
    inputs |= dict.fromkeys(("cosine", "sine"), (TensorProto.FLOAT, [steps, head // 2]))
    outputs: dict[str, tuple[Any, list[Any]]] = {"y": (TensorProto.FLOAT, [1, steps, SIZE])}
    if not causal:
        k = graph.node("Concat", ["past_keys", k], ["keys"], axis=2)
        v = graph.node("Concat", ["past_values", v], ["values"], axis=2)
        inputs |= dict.fromkeys(("past_keys", "past_values"), (TensorProto.FLOAT, [1, HEADS, "S", head]))
        outputs |= dict.fromkeys(("keys", "values"), (TensorProto.FLOAT, [1, HEADS, "S1", head]))
    scaled = graph.node("Mul", [q, graph.weight("scale", np.float32(head**-0.5))], ["scaled"])
    scores = graph.node("MatMul", [scaled, graph.node("Transpose", [k], ["kT"], perm=[0, 1, 3, 2])], ["scores"])
    if causal:
        mask = np.triu(np.full((steps, steps), -np.inf, np.float32), 1)
        scores = graph.node("Add", [scores, graph.weight("mask", mask)], ["masked"])
    found = graph.node("MatMul", [graph.node("Softmax", [scores], ["p"], axis=3), v], ["found"])
    joined = graph.node("Transpose", [found], ["joined"], perm=[0, 2, 1, 3])
    flat = graph.node("Reshape", [joined, graph.weight("flat.shape", np.array([1, steps, SIZE]))], ["flat"])
    z = graph.node("Add", ["x", linear("output", flat)], ["z"])
    up = linear("up", norm("forward_norm", z))
    erf = graph.node(
        "Erf", [graph.node("Mul", [up, graph.weight("root", np.float32(0.5**0.5))], ["up.scaled"])], ["erf"]
    )
    gate = graph.node("Add", [erf, graph.weight("one", np.float32(1))], ["gate"])
    wide = graph.node(
        "Mul", [graph.node("Mul", [up, gate], ["gated"]), graph.weight("half", np.float32(0.5))], ["gelu"]
    )
    graph.node("Add", [z, linear("down", wide)], ["y"])
    return graph.session(inputs, outputs, threads)
