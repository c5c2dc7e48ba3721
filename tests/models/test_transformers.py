"""Transformers without torch: what PyTorch says, and the same bits however a sequence arrives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from both_sides import arrays, made, same, scan, without_torch
from safetensors.numpy import load, save

import stepscan as ss
from stepscan import runtime
from stepscan.backends.execution import Options
from stepscan.backends.layers import NativeLayer
from stepscan.backends.weights import Weights
from stepscan.definitions.definition import specify
from stepscan.kernels.native import library
from stepscan.registry import describe

BLOCKS: dict[str, Callable[[], ss.Transformer]] = {
    "small": lambda: ss.Transformer(8, 8),
    "odd heads, context of three": lambda: ss.Transformer(3, 9, heads=3, context=3),
    "context of one": lambda: ss.Transformer(8, 8, context=1),
    "two heads, context of seventy": lambda: ss.Transformer(20, 64, heads=2, context=70),
    "one wide head": lambda: ss.Transformer(40, 40, heads=1),
}
LENGTHS = [150, 0, 77, 1]
STORY = "one two three four five. " * 40
SMALL: dict[str, Any] = {"hidden_size": 16, "embedding_size": 12, "epochs": 1, "cell": "transformer"}


def native(layer: ss.Layer, weights: str = "float32", threads: int = 1) -> NativeLayer:
    return specify(describe(layer)).bind(Weights(arrays(layer), Options(weights, threads)))


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    largest = max(1.0, float(expected.abs().max()))
    assert np.abs(found - expected.numpy()).max() < 2e-5 * largest


def batch(width: int, steps: int = 150) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(LENGTHS), steps, width)).astype(np.float32)


@pytest.fixture(params=library.instruction_sets())
def isa(request: pytest.FixtureRequest) -> Any:
    best = library.instruction_set()
    library.use_instruction_set(request.param)
    yield request.param
    library.use_instruction_set(best)


@pytest.mark.parametrize("name", BLOCKS)
def test_says_what_pytorch_says(name: str, isa: str) -> None:
    block, x = made(BLOCKS[name]), batch(BLOCKS[name]().input_size)
    twin = made(lambda: ss.BidirectionalTransformer(block.input_size, block.output_size, heads=block.heads))
    for layer in (block, twin, ss.Stack([ss.Residual(ss.Transformer(x.shape[2], x.shape[2])), block]).eval()):
        with torch.no_grad(), ss.kernels.use("torch"):
            expected, state = layer.scan(ss.Sequences(torch.from_numpy(x), LENGTHS))
        outputs, final = scan(native(layer), x, np.array(LENGTHS))
        close(outputs, expected.data)
        close(native(layer).readout(final), layer.readout(state))


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", BLOCKS)
def test_the_same_bits_however_a_sequence_arrives(name: str, weights: str, isa: str) -> None:
    layer = made(BLOCKS[name])
    block, x, lengths = native(layer, weights), batch(layer.input_size), np.array(LENGTHS)
    outputs, final = scan(block, x, lengths)
    in_threads, final_in_threads = scan(native(layer, weights, threads=2), x, lengths)
    assert np.array_equal(in_threads, outputs)
    assert np.array_equal(final_in_threads, final)
    for row, length in enumerate(LENGTHS):
        alone, _ = scan(block, x[row : row + 1, :length], lengths[row : row + 1])
        assert np.array_equal(alone[0], outputs[row, :length])
    state, pieces = None, []
    for start, end in [(0, 1), (1, 1), (1, 64), (64, 65), (65, 66), (66, 130), (130, 150)]:
        piece, state = scan(block, x[:, start:end], (lengths - start).clip(0, end - start), state)
        pieces.append(piece)
    assert np.array_equal(np.concatenate(pieces, axis=1), outputs)
    assert np.array_equal(block.readout(state), block.readout(final))
    state = block.initial_state(2)
    for t in range(77):  # rows 0 and 2, one item at a time
        found, state = block.step(x[[0, 2], t], state)
        assert np.array_equal(found, outputs[[0, 2], t]), t
    assert np.array_equal(block.readout(state[1:]), block.readout(final[2:3]))


def test_room_doubles_up_to_the_context() -> None:
    block = native(ss.Transformer(4, 8, context=11))
    state, rooms = block.initial_state(2), []
    for _ in range(13):
        _, state = block.step(np.ones((2, 4), np.float32), state)
        rooms.append(block.capacity(state))
    assert rooms == [1, 2, 4, 4, 8, 8, 8, 8, 11, 11, 11, 11, 11]
    assert state.shape == (2, 8 + 2 + 11 * 16)


def test_nothing_changes_nothing() -> None:
    block = native(ss.Transformer(4, 8, context=3))
    _, state = scan(block, batch(4, 5), np.array([5, 4, 3, 2]))
    for rows, steps in ((4, 0), (4, 5), (0, 3)):
        outputs, after = scan(block, np.full((rows, steps, 4), np.nan, np.float32), np.zeros(rows, int), state[:rows])
        assert outputs.shape == (rows, steps, 8)
        assert not outputs.any()
        assert np.array_equal(after, state[:rows])


def test_states_are_reordered_and_conditions_are_first_items() -> None:
    block, x = native(made(lambda: ss.Transformer(4, 8))), batch(4, 9)
    _, state = scan(block, x, np.array([3, 0, 9, 5]))
    order = [2, 2, 0, 1]
    found, _ = block.step(x[order, 0], state[order])
    expected, _ = block.step(x[:, 0], state)
    assert np.array_equal(found[1:], block.step(x[order[1:], 0], state[order[1:]])[0])
    assert np.array_equal(found[0], block.step(x[2:3, 0], state[2:3])[0][0])
    assert np.array_equal(expected[2], block.step(x[2:3, 0], state[2:3])[0][0])
    assert block.condition_size == 4
    _, after = block.step(x[:, 1], block.initial_state(4))
    assert np.array_equal(block.condition(x[:, 1]), after)


def test_states_that_are_none() -> None:
    block = native(ss.Transformer(4, 8))
    _, state = scan(block, batch(4, 3), np.array([3, 3, 3, 3]))
    too_long, not_whole = state.copy(), state.copy()
    too_long[0, 8], not_whole[1, 8] = 4, 0.5
    for wrong in (too_long, not_whole):
        with pytest.raises(ValueError, match="a state whose cache holds as many items as it counts"):
            block.step(batch(4)[:, 0], wrong)
    with pytest.raises(ValueError, match=r"expected a state \[4, 10\], got \[4, 9\]"):
        block.step(batch(4)[:, 0], state[:, :9])


def test_late_positions_are_exact() -> None:
    layer = made(lambda: ss.Transformer(8, 8, context=4)).double()
    x = torch.randn(1, 3, 8, dtype=torch.float64)
    late = 10**7
    state = layer.initial_state(1, dtype=torch.float64)._replace(length=torch.tensor([late]))
    state = state._replace(keys=torch.randn(1, 4, 8).double(), values=torch.randn(1, 4, 8).double())
    expected, _ = layer.scan(ss.Sequences(x, [3]), state)
    row = torch.cat([state.h, torch.tensor([[late % 2**24, 0]]), state.keys.flatten(1), state.values.flatten(1)], dim=1)
    found, _ = scan(native(layer.float()), x.numpy(), np.array([3]), row.float().numpy())
    close(found, expected.data.detach())


# Whole models ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transformers")
    ss.LanguageModel(**SMALL, layers=2, bptt=16, batch_size=4).fit(STORY).save(path / "write")
    ss.LanguageModel(**SMALL | {"cell": "lstm,transformer"}, bptt=16, batch_size=4).fit(STORY).save(path / "mixed")
    texts, labels = ["a good film", "a bad film", "not a good film", "not a bad film"], ["good", "bad", "bad", "good"]
    for name, both in (("judge", True), ("decide", False)):
        ss.Classifier(**SMALL, bidirectional=both).fit(texts * 4, labels * 4).save(path / name)
    sentences, tags = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 6, [["DET", "NOUN", "VERB"]] * 12
    ss.Tagger(**SMALL, bidirectional=True).fit(sentences, tags).save(path / "tag")
    return path


ALONE = """
import sys
from stepscan import runtime
model = runtime.load(sys.argv[1])
answer = {
    "generate": lambda: model.generate("one tw", length=30, seed=3),
    "classify": lambda: model.predict_records(["a good film"]),
    "tag": lambda: model.predict([["the", "cat", "runs"]]),
}[model.task]()
assert "torch" not in sys.modules
print(answer)
"""


@pytest.mark.parametrize("name", ["write", "mixed", "judge", "decide", "tag"])
def test_a_model_answers_without_torch_as_with_it(folder: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, folder / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = ss.load(folder / name)
    expected = {
        "generate": lambda: model.generate("one tw", length=30, seed=3),
        "classify": lambda: model.predict_records(["a good film"]),
        "tag": lambda: model.predict([["the", "cat", "runs"]]),
    }[model.task]()
    assert done.stdout == f"{expected}\n"


@pytest.mark.parametrize("name", ["write", "mixed"])
def test_both_sides_give_the_same_bits(folder: Path, name: str) -> None:
    trained, used = ss.load(folder / name), runtime.load(folder / name)
    asked = ["", "one", "one two three four " * 9]
    assert np.array_equal(used.predict_proba(asked), trained.predict_proba(asked))
    assert used.log_probabilities(asked) == used.log_probabilities(asked[:1]) + used.log_probabilities(asked[1:])
    for options in ({}, {"repetition_penalty": 1.3}, {"temperature": 0.0}):
        written = [model.generate("one", length=60, seed=1, **options) for model in (trained, used)]
        assert written[0] == written[1]


def test_a_generator_without_torch() -> None:
    def make() -> ss.Generator:
        layer = ss.Stack([ss.Transformer(5, 8), ss.LayerNorm(8)])
        return ss.Generator(ss.Embedding(7, 5), layer, initial="learned")

    model = made(make)
    network, state, rows = without_torch(model), None, [[1, 2, 3], [4], [5, 6]]
    with torch.no_grad():
        of_torch = model.initial_state(3)
        scores, _, state = network.scan_rows(rows)
        expected, of_torch = model(ss.Sequences.pad([torch.tensor(row) for row in rows]), of_torch)
        same(scores, expected.data)
        for ids in ([1, 2, 3], [3, 3, 0]):
            found, state = network.step(np.array(ids), state)
            expected, of_torch = model.step(torch.tensor(ids), of_torch)
            same(found, expected)


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_small_weights(folder: Path, tmp_path: Path, weights: str) -> None:
    from stepscan.storage.compression import compress

    compress(folder / "write", weights, tmp_path / "small")
    small, same_weights = runtime.load(tmp_path / "small"), runtime.load(folder / "write", weights=weights)
    whole = runtime.load(folder / "write")
    asked = ["one", "two three"]
    found = small.predict_proba(asked)
    assert np.array_equal(found, np.concatenate([small.predict_proba([one]) for one in asked]))
    assert np.abs(found - whole.predict_proba(asked)).max() < (0.02 if weights == "int8" else 0.01)
    np.testing.assert_allclose(found, same_weights.predict_proba(asked), atol=1e-3)  # whose embedding is float32


# Sessions -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["write", "mixed"])
def test_a_text_goes_on_from_any_point(folder: Path, name: str) -> None:
    model = runtime.load(folder / name)
    session, text = model.session(), ""
    for piece in ["one ", "t", "wo three four five. one two", "", " three", " four" * 30]:
        text += piece
        assert np.array_equal(session.push(piece), model.predict_proba([text])[0])
    twin, saved = session.fork(), session.state()
    written = session.generate(50, seed=4)
    assert text + written == model.generate(text, length=50, seed=4)
    assert twin.generate(50, seed=4) == written
    elsewhere = runtime.load(folder / name).session().restore(saved)
    assert elsewhere.state() == saved
    assert elsewhere.generate(50, seed=4) == written
    assert np.array_equal(session.push("x"), model.predict_proba([text + written + "x"])[0])
    session.reset()
    assert np.array_equal(session.push("one"), model.predict_proba(["one"])[0])


def test_a_window_that_moves_on(tmp_path: Path) -> None:
    writer = ss.LanguageModel(**SMALL, layers=2, bptt=16, batch_size=4).fit(STORY)
    for block in writer.network_.modules():
        if isinstance(block, ss.Transformer):
            block.context = block.arguments["context"] = 9
    writer.save(tmp_path / "m")
    model = runtime.load(tmp_path / "m")
    assert model.network_.layer.native.context == 9
    session = model.session()
    for n, piece in enumerate(["one two", " three four five. one", " ", *"two three four"], start=1):
        found = session.push(piece)
        if n % 5 == 0:
            session = model.session().restore(session.state())
    text = "one two three four five. one two three four"
    assert np.array_equal(found, model.predict_proba([text])[0])
    assert text + session.generate(40, seed=2) == model.generate(text, length=40, seed=2)


def test_sessions_are_stepped_together_as_alone(folder: Path) -> None:
    model = runtime.load(folder / "write")
    several = [model.session() for _ in range(4)]
    beginnings = ["", "one ", "one two three four five. " * 3, "two"]
    for session, beginning in zip(several, beginnings, strict=True):
        session.push(beginning)
    for symbol in "one two":
        answers = model.step_batch(several, [symbol] * 4)
        beginnings = [beginning + symbol for beginning in beginnings]
        assert np.array_equal(answers, model.predict_proba(beginnings))


def test_a_running_decision(folder: Path) -> None:
    model = runtime.load(folder / "decide")
    session = model.session()
    for said, piece in (("not", "not"), ("not a bad", "a bad"), ("not a bad film", "film")):
        assert session.push(piece) == model.predict_records([said])[0]
    with pytest.raises(ss.SettingsError, match=r"expected a causal layer, got BidirectionalTransformer\(\d+ → 16\)"):
        runtime.load(folder / "judge").session()


def test_a_saved_state_is_as_long_as_what_it_holds(folder: Path) -> None:
    model = runtime.load(folder / "write")
    session = model.session()
    session.push("one")
    layers = load(session.state())["state"]
    assert layers.shape == (1, 2 * (16 + 2) + 4 * 2 * 2 * 16)  # of two layers; three symbols and the begin symbol


def test_states_that_nobody_saved_are_refused(folder: Path) -> None:
    model = runtime.load(folder / "write")
    session = model.session()
    session.push("one two")
    before, whole = session.state(), load(session.state())

    def changed(change: Callable[[np.ndarray], np.ndarray]) -> bytes:
        return save({**whole, "state": np.ascontiguousarray(change(whole["state"].copy()), np.float32)})

    def with_count(value: float, place: int = 16) -> Callable[[np.ndarray], np.ndarray]:
        def change(state: np.ndarray) -> np.ndarray:
            state[0, place] = value
            return state

        return change

    for hostile in (
        changed(lambda state: state[:, :-1]),
        changed(lambda state: state[:, : -4 * 16]),  # room for one item less than it says it holds
        changed(lambda state: np.pad(state, ((0, 0), (0, 64)))),
        changed(lambda state: np.pad(state, ((0, 0), (0, 64 * 600)))),
        changed(lambda state: np.repeat(state, 2, axis=0)),
        changed(lambda state: state[:, :5]),
        *(changed(with_count(value)) for value in (-1, 0.5, 2.0**24, 1e30, np.nan, np.inf)),
        changed(with_count(2.0**24, 17)),
        changed(with_count(np.nan, 70)),  # a key
    ):
        with pytest.raises(ss.StepscanError, match="state: expected that of a session of the same class"):
            session.restore(hostile)
        assert session.state() == before
    many = changed(with_count(1, 17))  # 16,777,224 items, but room for eight
    with pytest.raises(ss.StepscanError, match="a count of the items"):
        session.restore(many)
