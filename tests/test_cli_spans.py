"""`stepscan train tag --crf` and what `evaluate` says of spans, as text and as JSON."""

from __future__ import annotations

import json

import pytest

LINES = "he\tO\nsees\tO\nNew\tB-place\nYork\tI-place\n\nAnn\tB-person\nsleeps\tO\n\n"
FAST = ["--hidden-size", "8", "--embedding-size", "8", "--char-embedding-size", "0", "--dropout", "0", "--epochs", "12"]


@pytest.fixture
def model(run, tmp_path):
    (tmp_path / "train.conll").write_text(LINES * 40)
    (tmp_path / "valid.conll").write_text(LINES)
    files = ["--train", tmp_path / "train.conll", "--valid", tmp_path / "valid.conll", "--out", tmp_path / "model"]
    result = run("train", "tag", *map(str, files), *FAST, "--learning-rate", "0.02", "--crf")
    assert result.code == 0, result.err
    assert "the tags mark spans (IOB2): the best weights are those with the best F1 of 2 spans" in result.err
    assert "validation: f1 1.0000 · accuracy 1.0000" in result.err
    return tmp_path / "model"


def test_evaluate_says_f1_by_type(run, model, tmp_path):
    (tmp_path / "test.conll").write_text(LINES + "York\tB-place\nsleeps\tB-person\n\n")
    shown = run("evaluate", str(model), str(tmp_path / "test.conll"))
    figures = json.loads(run("evaluate", str(model), str(tmp_path / "test.conll"), "--json").out)
    assert list(figures)[2:] == [
        "f1",
        "precision",
        "recall",
        "spans",
        "types",
        "accuracy",
        "tokens",
        "sentences",
        "yardstick",
    ]
    assert list(figures["types"]) == ["person", "place"]
    person = figures["types"]["person"]
    line = f"person            f1 {person['f1']:.4f} · precision {person['precision']:.4f} · "
    assert line + f"recall {person['recall']:.4f} · spans 2" in shown.out
    assert f"f1               {figures['f1']:.4f}\n" in shown.out
    said = run("predict", str(model), "he sees New York")
    assert said.out == "he\tO\nsees\tO\nNew\tB-place\nYork\tI-place\n\n"


def test_crf_is_for_tag(run, tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    result = run("train", "classify", "--train", str(tmp_path / "train.csv"), "--out", str(tmp_path / "m"), "--crf")
    assert result.code == 2
    assert "no such option: --crf. It is an option of train tag." in result.words
