"""Long texts, read, scored and written in pieces: the same figures, and no array that grows with text times symbols."""

from __future__ import annotations

import time

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.models import language_model, symbol_scores, translator
from stepscan.models.stop_texts import StopTexts


@pytest.fixture(params=["runtime", "torch"])
def side(request):
    return runtime.load if request.param == "runtime" else ss.load


@pytest.mark.parametrize("scores", [1, 50, 2**10])
def test_figures_of_a_language_model(models, side, monkeypatch, scores):
    model, texts = side(models["generate"]), ["abc abd", "", "ab", "abd " * 20]
    before = model.log_probabilities(texts), model.predict_proba(texts), model.score(texts[-1] * 30)
    largest = []
    scan = type(model.network_).scan_rows
    monkeypatch.setattr(
        type(model.network_), "scan_rows", lambda *given: (found := scan(*given), largest.append(found[0].size))[0]
    )
    monkeypatch.setattr(language_model, "SCORES", scores)
    after = model.log_probabilities(texts), model.predict_proba(texts), model.score(texts[-1] * 30)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-4, atol=1e-7)
    assert after[2] == pytest.approx(before[2], rel=1e-5)
    assert max(largest) <= max(scores, len(texts) * len(model.tokenizers_["tokenizer"]))


@pytest.mark.parametrize("scores", [1, 40])
def test_figures_of_a_translator(models, side, monkeypatch, scores):
    model, sources, targets = side(models["translate"]), ["abc", "a", "bca" * 9], ["cba", "a", "acb" * 9]
    before = model.log_probabilities(sources, targets), model.translate(sources, n_best=3)
    monkeypatch.setattr(translator, "SCORES", scores)
    after = model.log_probabilities(sources, targets), model.translate(sources, n_best=3)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5)
    for several, others in zip(before[1], after[1], strict=True):
        assert [one.text for one in several] == [one.text for one in others]


def test_a_long_prompt_is_read_in_pieces(models, monkeypatch):
    model = runtime.load(models["generate"])
    said = model.generate("abc abd " * 40, length=30, seed=2)
    monkeypatch.setattr("stepscan.models.token_writer.PLACES", 7)
    assert model.generate("abc abd " * 40, length=30, seed=2) == said


def test_portions_change_no_symbol(models, monkeypatch):
    model = runtime.load(models["generate"])
    said = model.generate("ab", length=1000, seed=5)
    assert len(said) == 1002
    monkeypatch.setattr(language_model, "_CHUNK", 37)
    monkeypatch.setattr("stepscan.models.token_writer._SYMBOLS_PER_CALL", 10)
    assert model.generate("ab", length=1000, seed=5) == said
    assert model.generate("ab", length=0, seed=5) == "ab"


@pytest.mark.parametrize("stop", [["d"], ["c a", "bd a"], ["abd abc abd"], ["never there", ""], ["xyz"]])
def test_a_text_ends_before_the_first_stop(models, side, stop):
    model = side(models["generate"])
    for seed in range(4):
        whole = model.generate("ab", length=300, temperature=1.5, seed=seed)[2:]
        places = [place for text in stop if text and (place := whole.find(text)) >= 0]
        found = model.generate("ab", length=300, temperature=1.5, seed=seed, stop=stop)[2:]
        assert found == whole[: min(places, default=len(whole))]


def test_looking_for_stops_is_linear() -> None:
    decoded = []

    def decode(ids: list[int]) -> str:
        decoded.append(len(ids))
        return "".join(map(chr, ids))

    stops = StopTexts(["needle"], decode)
    assert not any(stops.is_reached([120] * 64) for _ in range(1000))
    assert sum(decoded) < 3 * 64_000
    assert not stops.is_reached(list(map(ord, "xxnee")))
    assert stops.is_reached(list(map(ord, "dlexx")))
    assert stops.text_before() == "x" * 64_002


def test_a_stop_across_portions_of_bytes() -> None:
    """A letter of four bytes; a piece that begins within one decodes to something else."""
    text = "ab😀cd😀ef"
    decode = lambda ids: bytes(ids).decode(errors="replace")  # noqa: E731
    for stop, expected in (("😀e", "ab😀cd"), ("never", text), ("d😀", "ab😀c")):
        stops = StopTexts([stop], decode)
        for byte in text.encode():
            if stops.is_reached([byte]):
                break
        assert stops.text_before() == expected, stop


def test_a_long_text_with_a_stop_takes_no_time(models):
    model = runtime.load(models["generate"])
    began = time.perf_counter()
    assert len(model.generate("ab", length=100_000, seed=1, stop=["never"])) == 100_002
    assert time.perf_counter() - began < 20  # looking at all of it after each symbol: ten minutes


def test_last_scores_are_those_of_each_row(models):
    network = runtime.load(models["generate"]).network_
    rows = [[5, 6, 7, 8, 5], [6], [7, 7, 7]]
    for steps in (1, 2, 5, 100):
        found = symbol_scores.last_scores(network, rows, steps)
        for row, scores in zip(rows, found, strict=True):
            assert np.array_equal(scores, network.scan_rows([row])[0][0, -1])
