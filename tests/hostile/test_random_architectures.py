"""Layers made at random, with random and with extreme weights: a step is a scan, alone and in a batch, to the bit.

Answers may be infinite or NaN here. What this looks for is what only the sanitizers see (`make sanitize`): numbers that
do not fit where they are written, memory that is not there.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from stepscan.backends.arrays import Linear
from stepscan.backends.batches import Batch
from stepscan.backends.execution import FORMATS, Options
from stepscan.backends.layers import NativeLayer
from stepscan.backends.weights import Weights
from stepscan.decoding import Sampler
from stepscan.definitions.definition import specify
from stepscan.errors import StepscanError
from stepscan.kernels import native
from stepscan.models.token_writer import TokenWriter
from stepscan.registry import build
from stepscan.sequences import Sequences
from zoo import CELLS

pytestmark = pytest.mark.skipif(native.library is None, reason="needs the native library")

ROUNDS = 200  # a few milliseconds each
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 33)
TINY, HUGE = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
EXTREMES = np.array([0, -0.0, TINY, -TINY, 1e-39, -1e-38, 3.6e-37, 1e-20, 1, -1, 1e20, -3e37, HUGE, -HUGE], np.float32)


def cell(draw: random.Random, inputs: int, hidden: int) -> dict[str, Any]:
    name = draw.choice(list(CELLS))
    more: dict[str, Any] = {} if name == "layer_norm_lstm" else {"bias": draw.random() < 0.7}
    return {name: {"input_size": inputs, "hidden_size": hidden, **more}}


def layer(draw: random.Random, inputs: int, outputs: int, depth: int = 2) -> dict[str, Any]:
    """The description of a layer."""
    kinds = ["cell", "cell", "linear"]
    kinds += ["stack", "stack", "zoneout", "weight_drop"] if depth else []
    kinds += ["bidirectional"] if depth and outputs > 1 else []
    kinds += ["dropout", "variational_dropout", "layer_norm"] + ["residual"] * bool(depth) if inputs == outputs else []
    match kind := draw.choice(kinds):
        case "cell":
            return cell(draw, inputs, outputs)
        case "linear":
            return {kind: {"input_size": inputs, "output_size": outputs}}
        case "stack":
            sizes = [inputs, *(draw.choice(SIZES) for _ in range(draw.randint(0, 2))), outputs]
            return {kind: [layer(draw, *pair, depth - 1) for pair in itertools.pairwise(sizes)]}
        case "zoneout":
            return {kind: {"layer": cell(draw, inputs, outputs), "p": 0.25}}
        case "weight_drop":
            return {kind: {"layer": cell(draw, inputs, outputs), "p": 0.25}}
        case "bidirectional":
            left = draw.randint(1, outputs - 1)
            parts = {"forward": left, "backward": outputs - left}
            return {kind: {name: layer(draw, inputs, size, depth - 1) for name, size in parts.items()}}
        case "dropout" | "variational_dropout":
            return {kind: {"size": inputs, "p": 0.5}}
        case "layer_norm":
            return {kind: {"size": inputs}}
    return {"residual": {"layer": layer(draw, inputs, outputs, depth - 1)}}


def weights(draw: random.Random, description: Any) -> dict[str, np.ndarray]:
    """Tensors for a description: in one tensor of two ordinary, in the others each row, or each value, extreme."""
    numbers, found = np.random.default_rng(draw.getrandbits(32)), {}
    for name, (_, shape) in specify(description).tensor_specs.items():
        array = numbers.normal(size=shape).astype(np.float32)
        match draw.randint(0, 3):
            case 0:
                array *= numbers.choice(np.abs(EXTREMES), size=(*shape[:1], *[1] * len(shape[1:])))
            case 1:
                array = numbers.choice(EXTREMES, size=shape)
        found[name] = np.clip(array, -HUGE, HUGE).astype(np.float32)
    return found


def scanned(built: NativeLayer, data: np.ndarray, lengths: Any, state: np.ndarray | None = None) -> tuple[Any, ...]:
    outputs, final = built.scan(Batch(data, np.array(lengths)), state)
    outputs = outputs.data
    return outputs, final, built.readout(final)


def check(built: NativeLayer, draw: random.Random) -> None:
    numbers = np.random.default_rng(draw.getrandbits(32))
    lengths = [draw.randint(0, 6) for _ in range(draw.randint(0, 5))]
    steps = max(lengths, default=0) + draw.randint(0, 1)
    data = numbers.normal(size=(len(lengths), steps, built.input_size)).astype(np.float32)
    if draw.random() < 0.3:
        data = numbers.choice(EXTREMES, size=data.shape)
    together = scanned(built, data, lengths)
    for row, length in enumerate(lengths):
        alone = scanned(built, data[row : row + 1, :length], [length])
        np.testing.assert_array_equal(alone[0][0], together[0][row, :length])
        for one, all_ in zip(alone[1:], together[1:], strict=True):
            np.testing.assert_array_equal(one[0], all_[row])
    if built.condition_size:
        assert built.condition(np.ones((3, built.condition_size), np.float32)).shape == (3, built.state_size)
    if not built.causal:
        return
    state = built.initial_state(len(lengths))
    for t in range(min(lengths, default=0)):
        outputs, state = built.step(data[:, t], state)
        np.testing.assert_array_equal(outputs, together[0][:, t])


@pytest.mark.parametrize("weights_in", FORMATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_is_a_scan(weights_in):
    draw = random.Random(weights_in)
    for _ in range(ROUNDS):
        description = layer(draw, draw.choice(SIZES), draw.choice(SIZES), depth=3)
        tensors = weights(draw, description)
        check(specify(description).bind(Weights(tensors, Options(weights_in, draw.choice([1, 2])))), draw)


@pytest.mark.parametrize("weights_in", FORMATS)
def test_networks_answer(weights_in):
    """What is around the layers: embeddings, heads, pooling, CRF, bridge, and writing."""
    draw = random.Random(f"{weights_in} networks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(ROUNDS // 2):
            size, hidden, symbols = draw.choice(SIZES), draw.choice(SIZES), draw.choice(SIZES) + 4
            embedding = {"embedding": {"vocabulary_size": symbols, "size": size}}
            rows = [[draw.randrange(symbols) for _ in range(draw.randint(0, 5))] for _ in range(draw.randint(1, 4))]
            for name, more in (
                ("encoder", {"outputs": 3, "pooling": draw.choice(["last", "mean", "max", "attention"])}),
                ("transducer", {"outputs": draw.choice(SIZES)}),
                ("crf_transducer", {"outputs": draw.choice(SIZES)}),
            ):
                parts = {"embedding": embedding, "layer": layer(draw, size, hidden), **more}
                found = network(draw, {name: parts}, weights_in).scores(rows)
                assert len(found) == len(rows)
            generator = {"generator": {"embedding": embedding, "layer": cell(draw, size, hidden), "tie_weights": True}}
            writer = TokenWriter(network(draw, generator, weights_in))
            state, y = writer.read([2, 0])
            with contextlib.suppress(StepscanError):  # scores that are not finite
                assert len(writer.write(state, y, np.array([0.5] * 3), Sampler(), [0], 1)) == 3
            translator = {"embedding": None, "encoder": layer(draw, size, hidden), "generator": generator}
            made = network(draw, {"conditioned_generator": translator}, weights_in)
            made.generator.step(np.zeros(len(rows), np.int64), made.encode_rows(rows))


def network(draw: random.Random, description: dict[str, Any], weights_in: str) -> Any:
    return specify(description).bind(Weights(weights(draw, description), Options(weights_in, 1)))


@pytest.mark.parametrize("weights_in", FORMATS)
def test_sums_that_need_more_than_32_bits(weights_in):
    """70,000 products of 127 and 255 do not fit; a row of 10 million must not stand on the stack of a thread."""
    for inputs in (66_311, 66_312, 70_000, 140_000, 10_000_000):
        linear = Linear(np.ones((1, inputs), np.float32), None, Options(weights_in))
        for value in (1.0, -1.0):
            found = float(linear(np.full((1, inputs), value, np.float32))[0, 0])
            assert found == pytest.approx(value * inputs, rel=1e-4)


def test_int8_of_rows_that_are_almost_zero():
    """127 / 3e-37 is infinite in float32."""
    weight = np.array([[1, -0.5, 0.25], [0, 0, 0]], np.float32)
    for greatest in (1e-36, 3.7e-37, 1e-38, 1e-40, TINY):
        found = Linear(np.float32(greatest) * weight, None, Options("int8"))(np.ones((2, 3), np.float32))
        np.testing.assert_allclose(found, [[0.75 * greatest, 0]] * 2, atol=1.2e-38 * 127)


def test_int8_of_what_is_not_finite():
    linear = Linear(np.ones((2, 3), np.float32), None, Options("int8"))
    found = linear(np.array([[1, np.inf, 1], [1, 2, 3], [np.nan, 1, 1], [-np.inf, np.inf, 0]], np.float32))
    assert np.isnan(found[[0, 2, 3]]).all()
    np.testing.assert_allclose(found[1], 6, rtol=1e-4)


LINEAR, NORM = {"linear": {"input_size": 2, "output_size": 2}}, {"layer_norm": {"size": 2}}


@pytest.mark.parametrize(
    "top",
    [{"stack": [LINEAR]}, {"stack": [NORM, LINEAR]}, {"weight_drop": {"layer": LINEAR, "p": 0.1, "name": "weight"}}],
    ids=["stack", "stack of two", "weight_drop"],
)
def test_a_stack_reads_out_of_a_state_that_is_there(top):
    """Of pointwise layers around pointwise layers it read memory behind the state."""
    draw, description = random.Random(0), {"stack": [LINEAR, NORM, top]}
    numbers = np.random.default_rng(0)
    tensors = {
        name: numbers.normal(size=one.shape).astype(np.float32)
        for name, one in specify(description).tensor_specs.items()
    }
    built = specify(description).bind(Weights(tensors, Options()))
    for _ in range(5):
        check(built, draw)
    outputs, _, said = scanned(built, numbers.normal(size=(2, 3, 2)), [3, 0])
    np.testing.assert_allclose(said[0], outputs[0, 2], rtol=1e-5)
    whole = build(description).eval()
    whole.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    empty = whole.readout(whole.scan(Sequences(torch.zeros(1, 0, 2), torch.tensor([0])))[1])
    np.testing.assert_allclose(said[1], empty[0].detach().numpy(), atol=1e-6)
