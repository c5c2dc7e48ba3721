"""What a session is given: only finite numbers get in, and nothing is written where it may not be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from both_sides import made, without_torch
from safetensors.numpy import load, save

import stepscan as ss
from stepscan import runtime
from stepscan.kernels.native import library
from stepscan.models.tagger import Tagger
from stepscan.patterns.numeric_embedding import NumericEmbedding

GOOD = np.array([[3.0, 1.0], [2.5, 4.0], [1.0, 0.5]])


@pytest.fixture
def model(session_models: Path) -> Any:
    return runtime.load(session_models / "steps")


def room(steps: int = 3) -> np.ndarray:
    return np.full((steps, 2), 7, np.float32)


def with_one(value: float) -> np.ndarray:
    """A block whose number at step 2, dimension 1 is this."""
    block = GOOD.copy()
    block[1, 0] = value
    return block


DOORS: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "push": lambda session, block: session.push(block),
    "push_block": lambda session, block: session.push_block(block, room()),
    "push_block of float32": lambda session, block: session.push_block(block.astype(np.float32), room()),
    "step_batch": lambda session, block: session._model.step_batch([session._model.session(), session], block[:2]),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e39])
@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_in_what_is_not_finite(model: Any, door: str, value: float) -> None:
    """A session that refused a piece goes on as if it had not been there; 1e300 is finite, but not in float32."""
    session, never = model.session(), model.session()
    for one in (session, never):
        one.push(GOOD)
    before = session.state()
    with pytest.raises(ss.SettingsError, match=r"at step [12], dimension 1"):
        DOORS[door](session, with_one(value))
    assert session.state() == before
    assert np.array_equal(session.push_block(GOOD, room()), never.push_block(GOOD, room()))


def test_what_is_refused_is_named(model: Any) -> None:
    session, out = model.session(), room()
    with pytest.raises(
        ss.SettingsError, match=r"the block: expected finite numbers, got NaN at step 2, dimension 1; fill"
    ):
        session.push_block(with_one(np.nan), out)
    with pytest.raises(ss.SettingsError, match=r"got 1e\+300 at step 2, dimension 1; which is too large for the model"):
        session.push_block(with_one(1e300), out)
    assert (out == 7).all()
    with pytest.raises(ss.SettingsError, match="item 2: expected finite numbers, got NaN at step 1, dimension 1"):
        model.step_batch([session, model.session()], [GOOD[0], [np.nan, 1.0]])


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (np.ones((3, 2), bool), "expected a series of numbers"),
        (np.ones((3, 2), complex), "expected a series of numbers"),
        (np.full((3, 2), "1"), "expected a series of numbers"),
        (np.ma.masked_array(GOOD, mask=GOOD > 3), "masked"),
        ([[1.0, 2.0], [3.0]], "ragged"),
        (np.zeros((3, 1)), r"block: expected the shape \[T, 2\], got \[3, 1\]"),
        (np.zeros(2), r"block: expected the shape \[T, 2\], got \[2\]"),
        (np.float64(1), r"block: expected the shape \[T, 2\], got \[\]"),
        (None, "expected a series of numbers"),
    ],
)
def test_blocks_that_are_not_numbers(model: Any, block: Any, reason: str) -> None:
    session = model.session()
    before = session.state()
    with pytest.raises(ss.SettingsError, match=reason):
        session.push_block(block, room())
    assert session.state() == before


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x.astype(">f8"),
        lambda x: x.astype(">f4"),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float64).reshape(x.shape),
        lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),  # read-only
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.longdouble),
        lambda x: x.tolist(),
        lambda x: np.ma.masked_array(x, mask=False),
    ],
)
def test_blocks_in_any_memory(model: Any, given: Callable[[np.ndarray], Any]) -> None:
    """GOOD's numbers are exact in all of these types."""
    expected = model.predict_proba([GOOD])[0]
    assert np.array_equal(model.session().push_block(given(GOOD), room()), expected)
    assert model.session().push(given(GOOD)) == model.predict([GOOD])[0]


def test_whole_numbers_and_nothing(model: Any) -> None:
    steps = np.array([[3, 1], [2, 4]])
    session = model.session()
    for nothing in (np.zeros((0, 2)), np.zeros((0, 2), np.float32)):
        assert session.push_block(nothing, room()).shape == (0, 2)
    for nothing in ([], np.zeros(0), np.zeros((0, 2))):
        assert session.push(nothing) == []
    assert np.array_equal(session.push_block(steps, room()), model.predict_proba([steps])[0])


def test_a_step_as_a_list(model: Any) -> None:
    assert model.step_batch([model.session()], [[3.0, 1.0]]) == model.session().push(GOOD[:1])
    for item in ([3.0], [3.0, 1.0, 2.0], GOOD, 3.0):
        with pytest.raises(ss.SettingsError, match=r"dimensions|expected one item"):
            model.step_batch([model.session()], [item])


def read_only(tmp_path: Path) -> np.ndarray:
    path = tmp_path / "out"
    path.write_bytes(bytes(24))
    return np.memmap(path, np.float32, "r", shape=(3, 2))


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (read_only, "read-only"),
        (lambda _: np.frombuffer(bytes(24), np.float32).reshape(3, 2), "read-only"),
        (lambda _: np.broadcast_to(np.zeros(2, np.float32), (3, 2)), "read-only"),
        (lambda _: np.zeros((3, 4), np.float32)[:, ::2], "not contiguous"),
        (lambda _: np.zeros((3, 2)), "float64"),
        (lambda _: np.zeros((3, 2), ">f4"), ">f4"),
        (lambda _: np.zeros((2, 2), np.float32), r"\[2, 2\]"),
        (lambda _: np.zeros((3, 3), np.float32), r"\[3, 3\]"),
        (lambda _: np.zeros(6, np.float32), r"\[6\]"),
        (lambda _: np.zeros(25, np.uint8)[1:].view(np.float32).reshape(3, 2), "of float32"),  # not aligned
        (lambda _: [[0.0, 0.0]] * 3, "got list"),
        (lambda _: bytearray(24), "got bytearray"),
    ],
)
def test_room_that_may_not_be_written(model: Any, tmp_path: Path, out: Callable[[Path], Any], reason: str) -> None:
    session, given = model.session(), out(tmp_path)
    before, held = session.state(), bytes(memoryview(given)) if isinstance(given, bytearray) else np.array(given)
    with pytest.raises(ss.SettingsError, match=rf"out: expected \[3 or more, 2\] of float32.*{reason}"):
        session.push_block(GOOD, given)
    assert session.state() == before
    assert np.array_equal(np.array(given), held) or given == held


def test_room_that_is_the_block(model: Any) -> None:
    block = GOOD.astype(np.float32)
    with pytest.raises(ss.SettingsError, match="got memory that it shares with the block"):
        model.session().push_block(block, block)
    assert np.array_equal(block, GOOD.astype(np.float32))


def test_the_library_itself_writes_to_no_read_only_array(model: Any) -> None:
    held = np.frombuffer(bytes(24), np.float32).reshape(3, 2)
    stream, x = model.session()._state.stream, np.zeros((3, 2), np.float32)
    mean = np.zeros(2)
    for write in (
        lambda: library.probabilities(x, held, 1),
        lambda: library.standardise(x, mean.ctypes.data, mean.ctypes.data, held),
        lambda: stream.push(x, held, 1),
    ):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            write()
    for short in (np.zeros((2, 2), np.float32), np.zeros((3, 3), np.float32)):
        with pytest.raises(ValueError, match=r"expected scores .* output array"):
            library.probabilities(x, short, 1)
    assert not held.any()


def test_blocks_are_for_series(session_models: Path) -> None:
    with pytest.raises(ss.SettingsError, match="push_block: expected a tagger of series"):
        runtime.load(session_models / "tag").session().push_block(GOOD, room())


def growing() -> Any:
    """A tagger of one dimension whose state doubles at each step: h_t = relu(x_t + 2 h_{t−1})."""
    layer = ss.Elman(1, 1, nonlinearity="relu", bias=False)
    transducer = made(lambda: ss.Transducer(NumericEmbedding(1), layer, 2))
    layer.weight_ih.data.fill_(1)
    layer.weight_hh.data.fill_(2)
    folder: Any = SimpleNamespace(path=Path("grows"), model={}, tensors={}, programs={})
    network = without_torch(transducer)
    return Tagger(folder=folder, network_=network, tokenizers_={}, labels_=["a", "b"], weights="float32", threads=1)


@pytest.mark.parametrize(
    "read",
    [
        lambda session: session.push(np.ones((40, 1))),
        lambda session: session.push_block(np.ones((40, 1)), room(40)),
        lambda session: [
            session._model.step_batch([session._model.session(), session], [[0.0], [1.0]]) for _ in "x" * 40
        ],
    ],
)
def test_numbers_that_overflow_the_state(read: Callable[[Any], Any]) -> None:
    """All inputs are finite; the state is 1, 3, 7, …, past float32's greatest after 128 steps."""
    session = growing().session()
    session.push(np.ones((100, 1)))
    before = session.state()
    with pytest.raises(ss.SettingsError, match="its state would not be finite; the session is unchanged"):
        read(session)
    assert np.isfinite(load(session.state())["state"]).all()
    session.restore(before)
    session.push(np.zeros((1, 1)))
    assert np.array_equal(load(session.state())["state"], 2 * load(before)["state"])


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("mean", lambda t: t | {"state": t["state"] * np.nan}, "'state': expected finite numbers, got nan"),
        ("mean", lambda t: t | {"total": t["total"] + np.inf}, "'total': expected finite numbers, got inf"),
        ("max", lambda t: t | {"highest": -t["highest"] * np.float32(np.inf)}, "'highest': expected finite"),
        ("attention", lambda t: t | {"weight": t["weight"] * -1}, "'weight': expected a number from 0"),
        ("mean", lambda t: t | {"steps": -t["steps"]}, "'steps': expected a number from 0"),
        ("mean", lambda t: t | {"steps": t["steps"] + 2**62}, "'steps': expected a number from 0"),
        (
            "mean",
            lambda t: t | {"steps": t["steps"].astype(np.int32)},
            r"'steps': expected int64 \[1\], got int32 \[1\]",
        ),
        (
            "mean",
            lambda t: t | {"state": t["state"][:, 1:]},
            r"'state': expected float32 \[1, 20\], got float32 \[1, 19\]",
        ),
        ("mean", lambda t: t | {"more": t["steps"]}, r"'more': expected nothing, got int64 \[1\]"),
        ("mean", lambda t: {k: v for k, v in t.items() if k != "steps"}, "'steps': .* got nothing"),
        ("mean", lambda t: {k: v for k, v in t.items() if k != "state"}, "'state' is missing"),
        ("write", lambda t: t | {"y": t["y"] + np.nan}, "'y': expected finite"),
        ("write word", lambda t: t | {"held": np.frombuffer(b"the dog is ", np.uint8)}, "impossible pending text"),
        ("write word", lambda t: t | {"held": np.frombuffer(b"\xff", np.uint8)}, "state: expected bytes"),
    ],
)
def test_states_that_no_session_comes_to(session_models: Path, name: str, change: Any, reason: str) -> None:
    session = runtime.load(session_models / name).session()
    session.push("not a")
    before = session.state()
    with pytest.raises(ss.StepscanError, match=reason):
        session.restore(save(change(load(before))))
    assert session.state() == before


@pytest.mark.parametrize("state", [None, 5, "text", [], np.zeros(3)])
def test_states_that_are_not_bytes(session_models: Path, state: Any) -> None:
    session = runtime.load(session_models / "mean").session()
    with pytest.raises(ss.SettingsError, match=f"state: expected bytes .*, got {type(state).__name__}"):
        session.restore(state)
    fresh = session.state()
    for same in (bytearray(fresh), memoryview(fresh)):
        assert session.restore(same).state() == fresh


@pytest.mark.parametrize("length", [-1, 5.0, True, "5", None])
def test_lengths_that_are_not(session_models: Path, length: Any) -> None:
    session = runtime.load(session_models / "write").session()
    before = session.state()
    with pytest.raises(ss.SettingsError, match=f"length: expected .*{re.escape(repr(length))}"):
        session.generate(length)
    with pytest.raises(ss.SettingsError, match="seed: expected a whole number"):
        session.generate(3, seed=1.5)
    with pytest.raises(ss.SettingsError, match="10,000,000,000,000 symbols would take"):
        session.generate(10**13)
    assert session.state() == before
    assert session.generate(np.int64(0)) == ""
