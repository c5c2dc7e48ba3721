"""Sessions and texts that are advanced together have the bits that each has alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.decoding import Sampler
from stepscan.models.texts import WritingRequest, joint

STEPS = np.random.default_rng(0).normal(3, 2, (40, 2))
PIECES: dict[str, list[Any]] = {
    "tag": ["the", ["a", "dog", "runs"], [], ["cat"], ["a", "a"]],
    "steps": [STEPS[:1], STEPS[1:4], STEPS[:0], STEPS[9:], STEPS[2:4]],
    "mean": ["not a", "bad film", "", "good", "a film a film"],
    "attention": ["not a", "bad film", "", "good", "a film a film"],
    "judge bpe": ["not a b", "ad film", "", "g", "ood a film"],
    "write": ["one", " two three", "", "f", "ive. one"],
    "write bpe": ["the d", "og's bo", "", "they're", "  we'll s"],
    "write word": ["the d", "og's bo", "", "they're\n", "  we'll s"],
}


@pytest.mark.parametrize("folder", PIECES)
def test_pieces_together_are_pieces_alone(session_models: Path, folder: str) -> None:
    model, pieces = runtime.load(session_models / folder), PIECES[folder]
    together, alone = ([model.session() for _ in pieces] for _ in range(2))
    for turn in range(3):
        turned = pieces[turn:] + pieces[:turn]
        answers = model.push_batch(together, turned)
        for answer, one, piece in zip(answers, alone, turned, strict=True):
            expected = one.push(piece)
            assert np.array_equal(answer, expected) if isinstance(answer, np.ndarray) else answer == expected
        assert [one.state() for one in together] == [one.state() for one in alone]


def test_forecasts_and_translations_together(session_models: Path, tmp_path: Path) -> None:
    model = runtime.load(session_models / "translate")
    sources, pieces = ["ab", "ba", "abab", "b"], ["a", "", "bab", "b"]
    together, alone = ([model.session(source) for source in sources] for _ in range(2))
    for answer, one, piece in zip(model.push_batch(together, pieces), alone, pieces, strict=True):
        assert np.array_equal(answer, one.push(piece))
    assert [one.state() for one in together] == [one.state() for one in alone]
    waves = np.sin(np.arange(200) / 5)[:, None]
    ss.Forecaster(hidden_size=6, epochs=1, seasonal_period=3).fit([waves]).save(tmp_path / "model")
    forecaster = runtime.load(tmp_path / "model")
    together, alone = ([forecaster.session() for _ in range(3)] for _ in range(2))
    for cut in (slice(0, 2), slice(2, 9)):
        pieces = [waves[cut], waves[cut] + 1, waves[cut] * 2]
        answers = forecaster.push_batch(together, pieces)
        expected = [one.push(piece) for one, piece in zip(alone, pieces, strict=True)]
        assert repr(answers) == repr(expected)
    assert answers[0] is not None


def test_one_bad_piece_leaves_all_as_they_were(session_models: Path) -> None:
    model = runtime.load(session_models / "steps")
    sessions = [model.session() for _ in range(3)]
    model.push_batch(sessions, [STEPS[:2]] * 3)
    before = [one.state() for one in sessions]
    with pytest.raises(ss.SettingsError, match=r"item 2: expected finite numbers, got NaN at step 1, dimension 1"):
        model.push_batch(sessions, [STEPS[:1], np.full((1, 2), np.nan), STEPS[:1]])
    with pytest.raises(ss.SettingsError, match="an item for each session"):
        model.push_batch(sessions, [STEPS[:1]])
    assert [one.state() for one in sessions] == before
    assert model.push_batch([], []) == []


@pytest.mark.parametrize("folder", ["tag", "mean", "write bpe", "translate"])
def test_snapshots_lead_back(session_models: Path, folder: str) -> None:
    model = runtime.load(session_models / folder)
    session = model.session("ab") if folder == "translate" else model.session()
    session.push("a")
    snapshot, state = session.snapshot(), session.state()
    session.push("b"), session.push("a")
    assert session.state() != state
    assert session.return_to(snapshot).state() == state
    session.push("b"), session.push("b")
    assert session.return_to(snapshot).state() == state


@pytest.mark.parametrize("folder", ["write", "tie_weights", "write bpe", "write word"])
def test_texts_together_are_texts_alone(session_models: Path, folder: str) -> None:
    model = runtime.load(session_models / folder)
    settings: list[dict[str, Any]] = [
        *({"temperature": 0.0}, {"temperature": 0.7, "top_k": 3}, {"top_p": 0.8}),
        *({"min_p": 0.1}, {"temperature": 1.5}),
    ]
    sessions, twins = ([model.session() for _ in settings] for _ in range(2))
    for number, (one, twin) in enumerate(zip(sessions, twins, strict=True)):
        one.push("the dog's one two"[: 3 * number]), twin.push("the dog's one two"[: 3 * number])
    excluded = model.excluded_ids((), ())
    texts = [
        one.text(WritingRequest(Sampler(**setting), seed, excluded, measured=seed % 2 == 0))
        for seed, (one, setting) in enumerate(zip(sessions, settings, strict=True))
    ]
    group, ids = joint(model, texts[:3]), [[] for _ in texts]
    for step in range(30):
        if step == 7:
            group = joint(model, texts)  # more come, and go
        if step == 20:
            group = joint(model, texts[2:])
        for text, written in zip(group.texts, group.step(), strict=True):
            ids[texts.index(text)].append(written.id)
            assert (0 < written.probability <= 1) == text.measured
    assert list(map(len, ids)) == [20, 20, 30, 23, 23]
    before = [one.state() for one in sessions]
    for number, (one, twin) in enumerate(zip(sessions, twins, strict=True)):
        assert one.state() == before[number]
        assert model.decode(ids[number]) == twin.generate(len(ids[number]), seed=number, **settings[number])
        one.adopt(texts[number])
        assert one.state() == twin.state()


def test_the_probability_of_a_symbol_is_that_of_the_model(session_models: Path) -> None:
    model = runtime.load(session_models / "write")
    session = model.session()
    expected = session.push("one t")
    request = WritingRequest(Sampler(temperature=0.3, top_k=2), 5, model.excluded_ids((), ()), measured=True)
    [written] = joint(model, [session.text(request)]).step()
    assert written.probability == pytest.approx(expected[written.id], rel=1e-6)


def test_a_text_without_a_symbol_to_write_is_none_and_harms_no_other(session_models: Path) -> None:
    model = runtime.load(session_models / "write")
    symbols = len(model.tokenizers_["tokenizer"])
    good, bad = WritingRequest(Sampler(), 1, model.excluded_ids((), ())), WritingRequest(Sampler(), 1, range(symbols))
    group = joint(model, [model.session().text(one) for one in (good, bad, good)])
    for _ in range(3):
        first, none, third = group.step()
        assert none is None
        assert first == third
        assert first is not None


def test_translations_together_are_translations_alone(session_models: Path) -> None:
    model = runtime.load(session_models / "translate")
    sources = ["ab", "b", "abab"]
    sessions, twins = ([model.session(source) for source in sources] for _ in range(2))
    sessions[2].push("b"), twins[2].push("b")
    end, tokenizer = model.tokenizers_["tokenizer"].end, model.tokenizers_["tokenizer"]
    texts = [one.text(WritingRequest(Sampler(), seed, measured=True)) for seed, one in enumerate(sessions)]
    ids: list[list[int]] = [[] for _ in texts]
    running = list(texts)
    while running:
        results = list(zip(running, joint(model, running).step(), strict=True))
        for text, written in results:
            if written.id != end:
                ids[texts.index(text)].append(written.id)
        running = [text for text, written in results if written.id != end and len(ids[texts.index(text)]) < 9]
    for number, twin in enumerate(twins):
        assert tokenizer.decode(ids[number]) == twin.generate(9, temperature=1.0, seed=number)
        sessions[number].adopt(texts[number])
        assert sessions[number].state() == twin.state()


@pytest.mark.parametrize("in_python", [False, True])
def test_texts_of_cells_that_are_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_python: bool) -> None:
    """On the native library, and in Python where it cannot run the program."""
    if in_python:
        monkeypatch.setattr("stepscan.definitions.program_cell.inference_program", lambda program: None)
    quick: dict[str, Any] = {"hidden_size": 6, "epochs": 1, "bptt": 16, "batch_size": 4}
    ss.LanguageModel(cell="mingru", **quick).fit("one two three. " * 40).save(tmp_path / "model")
    model = runtime.load(tmp_path / "model")
    assert (model.writer is None) == in_python
    sessions, twins = ([model.session() for _ in range(3)] for _ in range(2))
    for number, (one, twin) in enumerate(zip(sessions, twins, strict=True)):
        one.push("one"[:number]), twin.push("one"[:number])
    excluded = model.excluded_ids((), ())
    texts = [one.text(WritingRequest(Sampler(), seed, excluded, measured=True)) for seed, one in enumerate(sessions)]
    group = joint(model, texts)
    steps = [group.step() for _ in range(12)]
    for number, twin in enumerate(twins):
        assert model.decode([step[number].id for step in steps]) == twin.generate(12, seed=number)
        assert all(0 < step[number].probability <= 1 for step in steps)
        sessions[number].adopt(texts[number])
        assert np.allclose(sessions[number].push(""), twin.push(""), atol=1e-6)
