"""Sessions: what they say piece by piece is what the model says of the whole, to the bit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime

WORDS = ["the", "dog", "runs", "a", "cat", "sleeps", "dogs", "the"]


@pytest.fixture
def folder(session_models: Path) -> Path:
    return session_models


def test_tags_as_the_words_arrive(folder: Path) -> None:
    model = runtime.load(folder / "tag")
    session = model.session()
    found = [*session.push(WORDS[:2]), *session.push([]), *session.push("runs"), *session.push(WORDS[3:])]
    assert found == model.predict([WORDS])[0]


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_a_running_decision(folder: Path, pooling: str) -> None:
    model = runtime.load(folder / pooling)
    session = model.session()
    assert session.push("") == model.predict_records([""])[0] | {}
    for said, piece in (("not", "not"), ("not a bad", "a bad"), ("not a bad film", "film")):
        found, expected = session.push(piece), model.predict_records([said])[0]
        assert found["label"] == expected["label"]
        close = pytest.approx(expected["probability"], abs=1e-6) if pooling == "attention" else expected["probability"]
        assert found["probability"] == close


@pytest.mark.parametrize("name", ["write", "tie_weights"])
def test_a_text_goes_on_from_any_point(folder: Path, name: str) -> None:
    model = runtime.load(folder / name)
    session = model.session()
    session.push("one ")
    assert np.array_equal(session.push("tw"), model.predict_proba(["one tw"])[0])
    choice: dict[str, Any] = {"temperature": 0.7, "top_k": 9, "top_p": 0.95, "min_p": 0.01, "seed": 4}
    twin = session.fork()
    written = session.generate(30, **choice)
    assert "one tw" + written == model.generate("one tw", length=30, **choice)
    assert "one tw" + written == ss.load(folder / name).generate("one tw", length=30, **choice)
    assert twin.generate(30, **choice) == written
    assert np.array_equal(session.push("x"), model.predict_proba(["one tw" + written + "x"])[0])


def test_states_travel(folder: Path) -> None:
    model, elsewhere = runtime.load(folder / "write"), runtime.load(folder / "write")
    session = model.session()
    session.push("one two th")
    state = session.state()
    session.push("something else")
    again = elsewhere.session().restore(state)
    assert again.generate(20, seed=1) == model.session().restore(state).generate(20, seed=1)
    session.reset()
    assert np.array_equal(session.push("o"), model.session().push("o"))


@pytest.mark.parametrize(
    "broken",
    [b"", b"junk", "half", "twisted"],
)
def test_bytes_that_are_no_state(folder: Path, broken: Any) -> None:
    session = runtime.load(folder / "mean").session()
    session.push("not a")
    state = session.state()
    before = session.push("")
    given = {"half": state[: len(state) // 2], "twisted": state.replace(b"steps", b"stops")}.get(broken, broken)
    with pytest.raises(ss.StepscanError, match="state: expected "):
        session.restore(given)
    assert session.push("") == before


def test_a_state_of_another_model(folder: Path) -> None:
    state = runtime.load(folder / "mean").session().state()
    with pytest.raises(ss.StepscanError, match="another model"):
        runtime.load(folder / "max").session().restore(state)


@pytest.mark.parametrize("name", ["tag", "steps", "last", "mean", "max", "write", "tie_weights"])
def test_many_together(folder: Path, name: str) -> None:
    """A step of many sessions says of each what its own push would say; some are pushed apart in between."""
    model = runtime.load(folder / name, threads=2)
    random = np.random.default_rng(1)

    def item() -> Any:
        return (
            random.normal(3, 2, 2)
            if name == "steps"
            else str(random.choice(list("one tw") if name in ("write", "tie_weights") else WORDS))
        )

    together, alone = [model.session() for _ in range(9)], [model.session() for _ in range(9)]
    for t in range(4):
        items = [item() for _ in together]
        found = model.step_batch(together, items)
        for place, (session, one) in enumerate(zip(alone, items, strict=True)):
            expected = session.push(one[None] if name == "steps" else one)
            expected = expected[0] if name in ("tag", "steps") else expected
            assert np.array_equal(found[place], expected)
        if t == 1:
            together[3].reset(), alone[3].reset()
            together[5], alone[5] = together[4].fork(), alone[4].fork()
    assert model.step_batch([], []) == []


def test_many_wrongly(folder: Path) -> None:
    model = runtime.load(folder / "tag")
    one, two = model.session(), model.session()
    for sessions, items in (([one, two], ["the"]), ([one, one], ["the", "dog"])):
        with pytest.raises(ss.SettingsError, match="an item for each session"):
            model.step_batch(sessions, items)
    with pytest.raises(ss.SettingsError, match="expected one item, got"):
        model.step_batch([one, two], [["the", "dog"], ["a", "cat"]])
    with pytest.raises(ss.SettingsError, match="got another"):
        model.step_batch([one, runtime.load(folder / "tag").session()], ["the", "dog"])


def test_who_has_no_session(folder: Path) -> None:
    with pytest.raises(ss.SettingsError, match=r"Bidirectional\(\d+ → 10\), whose outputs depend on later items"):
        runtime.load(folder / "both ways").session()
    with pytest.raises(ss.SettingsError, match="expected a tagger without a CRF"):
        runtime.load(folder / "crf").session()


@pytest.mark.parametrize(("name", "task"), [("tag", "tag"), ("mean", "classify"), ("write", "generate")])
def test_who_reads_no_source(folder: Path, name: str, task: str) -> None:
    reason = rf"source: expected none for a model of the task '{task}', got 'ab'; use model\.session\(\)"
    with pytest.raises(ss.SettingsError, match=reason):
        runtime.load(folder / name).session("ab")


def test_threads_share_a_session(folder: Path) -> None:
    """Pushes of several Python threads do not mix: the session has read all of them, in some order."""
    model = runtime.load(folder / "mean")
    session = model.session()
    threads = [threading.Thread(target=lambda: [session.push("film") for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.push("") == model.predict_records(["film " * 200])[0]


@pytest.mark.parametrize("pieces", [[1] * 30, [30], [7, 0, 16, 7]])
def test_blocks_of_a_signal(folder: Path, pieces: list[int]) -> None:
    model = runtime.load(folder / "steps")
    signal = np.random.default_rng(3).normal(3, 2, (30, 2))
    session, out, found = model.session(), np.empty((30, 2), np.float32), []
    for end, size in zip(np.cumsum(pieces), pieces, strict=True):
        found.append(session.push_block(signal[end - size : end], out).copy())
    assert np.array_equal(np.concatenate(found), model.predict_proba([signal])[0])
    with pytest.raises(ss.SettingsError, match=r"block: expected the shape \[T, 2\], got \[3, 1\]"):
        session.push_block(np.zeros((3, 1)), out)
    with pytest.raises(ss.SettingsError, match="out: expected"):
        session.push_block(np.zeros((3, 2)), np.empty((2, 2), np.float32))
