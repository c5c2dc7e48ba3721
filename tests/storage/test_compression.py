"""Smaller weights: what is written, what comes of it, and that both sides read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import stepscan as ss
from stepscan import runtime
from stepscan.cli import app
from stepscan.storage.compression import compress, compress_tensors
from stepscan.storage.tensor_file import expanded

SENTENCES = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 8
TAGS = [["DET", "NOUN", "VERB"]] * 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    ss.Tagger(hidden_size=40, embedding_size=30, epochs=8, learning_rate=0.02, wide=False).fit(SENTENCES, TAGS).save(
        path
    )
    return path


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_a_compressed_folder(folder: Path, tmp_path: Path, weights: str) -> None:
    figures = compress(folder, weights, tmp_path / "small")
    assert figures["after"] == (tmp_path / "small" / "model.safetensors").stat().st_size
    assert figures["after"] < figures["before"] * (0.6 if weights == "bfloat16" else 0.45)
    small, whole = runtime.load(tmp_path / "small"), runtime.load(folder)
    assert small.weights == weights
    assert small.predict(SENTENCES) == whole.predict(SENTENCES) == TAGS
    found, expected = small.predict_proba(SENTENCES), whole.predict_proba(SENTENCES)
    assert 0 < max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < 0.02
    of_torch = ss.load(tmp_path / "small").predict_proba(SENTENCES)  # expanded to float32 there
    assert max(np.abs(a - b).max() for a, b in zip(found, of_torch, strict=True)) < 1e-3


def test_bfloat16_is_the_model_of_rounded_weights(folder: Path, tmp_path: Path) -> None:
    """To the bit: sums are float32 in both."""
    compress(folder, "bfloat16", tmp_path / "small")
    small, as_floats = runtime.load(tmp_path / "small"), runtime.load(tmp_path / "small", weights="float32")
    for a, b in zip(small.predict_proba(SENTENCES), as_floats.predict_proba(SENTENCES), strict=True):
        assert np.array_equal(a, b)


def test_values() -> None:
    matrix = np.array([[1.0, -0.5, 0.0], [3e38, 1e-3, -3e38], [0, 0, 0]], np.float32)
    tensors = {"a.weight": matrix, "a.bias": matrix[0], "crf.transitions": matrix, "n": np.array([1.5])}
    found = compress_tensors(tensors, "int8")
    assert found["a.weight"].tolist() == [[127, -64, 0], [127, 0, -127], [0, 0, 0]]
    assert found["a.weight.scale"][0] == np.float32(1) / np.float32(127)
    assert all(found[name] is tensors[name] for name in ("a.bias", "crf.transitions", "n"))
    rounded = expanded(compress_tensors(tensors, "bfloat16"))["a.weight"]
    assert np.array_equal(rounded, torch.from_numpy(matrix).bfloat16().float().numpy())
    largest = np.full((1, 1), np.finfo(np.float32).max)
    assert np.isfinite(expanded(compress_tensors({"weight": largest}, "bfloat16"))["weight"]).all()


def test_the_command(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "test.txt"
    data.write_text("the\tDET\ndog\tNOUN\nruns\tVERB\n\n")
    command = ["compress", str(folder), "--weights", "int8", "--out", str(tmp_path / "small"), str(data), "--json"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    figures: dict[str, Any] = json.loads(found.output.splitlines()[-1])
    assert figures["score before"] == figures["score after"] == 1.0
    assert figures["metric"] == "accuracy"
    again = CliRunner().invoke(app, [*command[:1], str(tmp_path / "small"), "--out", str(tmp_path / "smaller")])
    assert "expected float32 weights, got int8; compress the folder that it was made from" in str(again.exception)
    taken = CliRunner().invoke(app, ["compress", str(folder), "--out", str(tmp_path / "small")])
    assert "is already a model folder" in str(taken.exception)
    wrong = CliRunner().invoke(app, ["compress", str(folder), "--weights", "int9", "--out", str(tmp_path / "x")])
    assert "Did you mean 'int8'?" in str(wrong.exception)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_sessions_of_small_weights(tmp_path: Path, weights: str) -> None:
    """The laws hold in every format: alone, together, in pieces, the same bits."""
    writer = ss.LanguageModel(hidden_size=40, layers=2, bptt=16, batch_size=4, epochs=1)
    writer.fit("one two three four five. " * 40).save(tmp_path / "model")
    compress(tmp_path / "model", weights, tmp_path / "small")
    model = runtime.load(tmp_path / "small")
    session = model.session()
    session.push("one ")
    assert np.array_equal(session.push("two"), model.predict_proba(["one two"])[0])
    assert "one two" + session.generate(20, seed=2) == model.generate("one two", length=20, seed=2)
    several = [model.session() for _ in range(7)]
    for found, symbol in zip(model.step_batch(several, list("one twh")), "one twh", strict=True):
        assert np.array_equal(found, model.session().push(symbol))
