"""Whatever ends a call early, a session is as it was before the call or after it, and can be used."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime

STEPS = np.random.default_rng(0).normal(3, 2, (40, 2))


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def states_after(model: Any, begun: bytes, call: Callable[[list[Any]], Any], count: int) -> list[bytes]:
    sessions = [model.session().restore(begun) for _ in range(count)]
    call(sessions)
    return [one.state() for one in sessions]


CALLS: dict[str, tuple[str, int, Callable[[Any], Callable[[list[Any]], Any]]]] = {
    "generate": ("write", 1, lambda _: lambda those: those[0].generate(40, seed=1)),
    "push": ("write bpe", 1, lambda _: lambda those: those[0].push("the dog's bone isn't")),
    "push of a decision": ("attention", 1, lambda _: lambda those: those[0].push("not a bad film")),
    "push_block": ("steps", 1, lambda _: lambda those: those[0].push_block(STEPS, np.empty((40, 2), np.float32))),
    "step_batch": ("mean", 9, lambda model: lambda those: model.step_batch(those, ["film"] * 9)),
    "step_batch of texts": ("write bpe", 9, lambda model: lambda those: model.step_batch(those, ["a"] * 9)),
    "reset": ("write", 1, lambda _: lambda those: those[0].reset()),
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_any_moment(session_models: Path, name: str) -> None:
    folder, count, make = CALLS[name]
    model = runtime.load(session_models / folder)
    call = make(model)
    session = model.session()
    session.push(STEPS[:3] if folder == "steps" else "not a b")
    old = session.state()
    new = states_after(model, old, call, count)
    started = time.perf_counter()
    states_after(model, old, call, count)
    duration, chance, hits = time.perf_counter() - started, random.Random(0), 0
    sessions = [model.session() for _ in range(count)]
    before = signal.signal(signal.SIGALRM, interrupted)
    try:
        for _ in range(150):
            for one in sessions:
                one.restore(old)
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, duration))
                call(sessions)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                hits += 1
            assert [one.state() for one in sessions] in (new, [old] * count)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert hits


def raising(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("folder", "part", "call"),
    [
        ("write", "decode", lambda session: session.generate(5, seed=1)),
        ("write", "network_.score", lambda session: session.push("ab")),
        ("write", "network_.score", lambda session: session._model.step_batch([session], ["a"])),
        ("mean", "network_.head", lambda session: session.push("film")),
        ("mean", "network_.head", lambda session: session._model.step_batch([session], ["film"])),
        ("tag", "network_.head", lambda session: session.push("the")),
    ],
)
def test_what_ends_after_the_layers_ran(
    session_models: Path, monkeypatch: pytest.MonkeyPatch, folder: str, part: str, call: Callable[[Any], Any]
) -> None:
    model = runtime.load(session_models / folder)
    session = model.session()
    session.push("not" if folder != "write" else "one")
    before = session.state()
    with monkeypatch.context() as patch:
        *owner, name = part.split(".")
        patch.setattr(getattr(model, owner[0]) if owner else model, name, raising)
        with pytest.raises(KeyboardInterrupt):
            call(session)
    assert session.state() == before
    assert call(session) is not None


@pytest.mark.parametrize(
    ("folder", "items", "reason"),
    [
        ("write", ["a", ""], "item 2: expected one item, got 0"),
        ("write", ["ab", "a"], "item 1: expected one item, got 2"),
        ("write word", ["the", " "], "item 2: expected one item, got 0"),
        ("mean", ["film", ""], "item 2: expected one item, got 0"),
        ("tag", ["the", []], r"item 2: expected one item, got 0"),
        ("tag", [["the", "dog"], "the"], "item 1: expected one item, got 2"),
        ("steps", [STEPS[0], STEPS[:0]], "item 2: expected one item, got 0"),
        ("write", ["", ""], "item 1: expected one item, got 0"),
    ],
)
def test_items_that_are_not_one(session_models: Path, folder: str, items: list[Any], reason: str) -> None:
    model = runtime.load(session_models / folder)
    sessions = [model.session(), model.session()]
    before = [one.state() for one in sessions]
    with pytest.raises(ss.SettingsError, match=reason):
        model.step_batch(sessions, items)
    assert [one.state() for one in sessions] == before


def test_sessions_that_are_not(session_models: Path) -> None:
    model = runtime.load(session_models / "mean")
    with pytest.raises(ss.SettingsError, match="session 2: expected a session of this model, got None"):
        model.step_batch([model.session(), None], ["film", "film"])


def test_a_state_of_a_model_with_other_labels_or_symbols(session_models: Path) -> None:
    model = runtime.load(session_models / "mean")
    other = runtime.load(session_models / "mean")
    assert other.fingerprint == model.fingerprint
    state = model.session().state()
    other = runtime.load(session_models / "mean")
    other.labels_ = other.labels_[::-1]
    with pytest.raises(ss.StepscanError, match=r"another model, .* labels or tokenizers"):
        other.session().restore(state)
    other = runtime.load(session_models / "mean")
    other.tokenizers_ = runtime.load(session_models / "judge whitespace").tokenizers_
    with pytest.raises(ss.StepscanError, match="another model"):
        other.session().restore(state)
    with pytest.raises(ss.StepscanError, match="another model"):
        runtime.load(session_models / "mean", weights="int8").session().restore(state)
    assert runtime.load(session_models / "mean", threads=2).session().restore(state).state() == state


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_of_a_parent_that_is_writing(session_models: Path) -> None:
    """A thread of the parent has the session's turn at the fork; no thread of the child has it."""
    model = runtime.load(session_models / "write")
    session = model.session()
    expected = session.push("one")
    state = session.state()
    thread = threading.Thread(target=session.generate, args=(150_000,))
    thread.start()
    time.sleep(0.05)
    held = thread.is_alive()
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a child that hangs
        same = session.state() == state and np.array_equal(session.push(""), expected)
        many = model.step_batch([session, model.session()], ["a", "b"])
        os._exit(0 if same and len(many) == 2 and len(session.generate(5)) == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert held


def test_threads_step_sessions_in_any_order(session_models: Path) -> None:
    """Two threads that take the same sessions in opposite orders, and one that pushes, all get their turns."""
    model = runtime.load(session_models / "mean")
    sessions = [model.session() for _ in range(5)]

    def step(those: list[Any]) -> None:
        for _ in range(60):
            model.step_batch(those, ["film"] * len(those))

    jobs: list[Callable[[], Any]] = [
        lambda: step(sessions),
        lambda: step(sessions[::-1]),
        lambda: [sessions[2].push("film") for _ in range(60)],
    ]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert sessions[2].push("") == model.predict_records(["film " * 180])[0]
    assert sessions[0].push("") == model.predict_records(["film " * 120])[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_ends_the_wait_for_a_turn(session_models: Path) -> None:
    session = runtime.load(session_models / "write").session()
    thread = threading.Thread(target=session.generate, args=(200_000,))
    thread.start()
    time.sleep(0.05)
    before = signal.signal(signal.SIGALRM, interrupted)
    started = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            session.push("a")
        waited, writing = time.perf_counter() - started, thread.is_alive()
    finally:
        signal.signal(signal.SIGALRM, before)
    thread.join()
    assert writing
    assert waited < 0.5
    session.push("a")
