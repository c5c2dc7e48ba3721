"""Models of cells that are programs, loaded from their folders: each kind of session on native layers, from PyTorch's
predictions to joint steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss
from stepscan import kernels, runtime
from stepscan.backends.layers import NativeLayer
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")
QUICK: dict[str, Any] = {"hidden_size": 8, "epochs": 1, "batch_size": 8, "verbose": False}
TEXT = "one two three four five. " * 12
MIXED = "rglru,rglru,lstm"


def loaded(estimator: Any, path: Path, **options: Any) -> Any:
    """The model in a folder, whose layers are one native layer."""
    estimator.save(path)
    model = runtime.load(path, **options)
    assert isinstance(model.network_.layer, NativeLayer)
    return model


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Language models of one program, of a built-in cell and of layers of both kinds: as trained, and loaded."""
    found = {}
    of_each = {"mingru": {"tie_weights": True}, MIXED: {"layers": 3, "residual": True}, "slstm": {}, "lstm": {}}
    for cell, settings in of_each.items():
        trained = ss.LanguageModel(cell=cell, bptt=16, **QUICK, **settings).fit(TEXT)
        found[cell] = trained, loaded(trained, tmp_path_factory.mktemp("writers") / "model")
    return found


@pytest.mark.parametrize("cell", ["mingru", MIXED, "slstm", "lstm"])
def test_generation(writers: dict[str, tuple[Any, Any]], cell: str) -> None:
    trained, model = writers[cell]
    assert model.writer is not None
    text = model.generate("one t", length=30, seed=3)
    assert isinstance(trained.stepping_network.layer, NativeLayer)
    assert text == trained.generate("one t", length=30, seed=3)
    penalty = {"length": 20, "seed": 3, "repetition_penalty": 1.2}
    assert model.generate("one t", **penalty) == trained.generate("one t", **penalty)
    with kernels.use("reference"):
        assert trained.stepping_network is trained.model_
    session = model.session()
    session.push("one t")
    assert "one t" + session.generate(30, seed=3) == text
    assert np.allclose(model.predict_proba(["one t"]), trained.predict_proba(["one t"]), atol=1e-6)
    assert model.score(TEXT[:90]) == pytest.approx(trained.score(TEXT[:90]), abs=1e-5)


@pytest.mark.parametrize("cell", ["mingru", MIXED, "slstm"])
def test_sessions_of_language_models(writers: dict[str, tuple[Any, Any]], cell: str) -> None:
    """One symbol at a time, in pieces, restored, and many together: the same bits."""
    model = writers[cell][1]
    whole, pieces = model.session(), model.session()
    expected = whole.push("one two")
    for piece in ("o", "ne", " two"):
        found = pieces.push(piece)
    assert np.array_equal(found, expected)
    assert pieces.state() == whole.state() == model.session().restore(whole.state()).state()
    several = [whole.fork() for _ in range(5)]
    together = model.step_batch(several, list(" thre"))
    assert np.array_equal(np.stack(together), np.stack([whole.fork().push(symbol) for symbol in " thre"]))


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    random = np.random.default_rng(0)
    series = [random.normal(size=(9, 2)) for _ in range(8)]
    tags = [["up" if row[0] > 0 else "down" for row in one] for one in series]
    trained = ss.Tagger(cell=MIXED, layers=3, bidirectional=False, **QUICK).fit(series, tags)
    return trained, loaded(trained, tmp_path_factory.mktemp("tagger") / "model"), series


def test_a_tagger_of_series(tagger: Any) -> None:
    trained, model, series = tagger
    expected = model.predict_proba(series[:1])[0]
    assert np.allclose(expected, trained.predict_proba(series[:1])[0], atol=1e-6)
    session, out = model.session(), np.zeros((9, 2), np.float32)
    blocks = [session.push_block(series[0][a:b], out).copy() for a, b in ((0, 4), (4, 5), (5, 9))]
    assert np.array_equal(np.concatenate(blocks), expected)
    sessions = [model.session() for _ in range(3)]
    together = model.step_batch(sessions, [one[0] for one in series[:3]])
    assert together == [model.session().push(one[:1])[0] for one in series[:3]]


def test_a_bidirectional_tagger(tmp_path: Path) -> None:
    sentences, tags = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 6, [["DET", "NOUN", "VERB"]] * 12
    trained = ss.Tagger(cell="peephole_lstm", layers=2, wide=False, **QUICK).fit(sentences, tags)
    model = loaded(trained, tmp_path / "model", threads=2)
    assert model.predict(sentences) == trained.predict(sentences)
    expected = trained.predict_proba(sentences[:2])
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(model.predict_proba(sentences[:2]), expected, strict=True))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_classifier(tmp_path: Path, pooling: str) -> None:
    texts, labels = ["a good film", "a bad film", "good", "bad"] * 6, ["p", "n"] * 12
    settings = QUICK | {"bidirectional": False, "wide": False, "pooling": pooling}
    trained = ss.Classifier(cell="indrnn,mgu", layers=2, **settings).fit(texts, labels)
    model = loaded(trained, tmp_path / "model")
    assert np.allclose(model.predict_proba(texts[:4]), trained.predict_proba(texts[:4]), atol=1e-6)
    session = model.session()
    for piece in ("a", "good", "film"):
        record = session.push(piece)
    [expected] = model.predict_records(["a good film"])
    assert (record["label"], record["probability"]) == (expected["label"], pytest.approx(expected["probability"]))


def test_a_forecaster(tmp_path: Path) -> None:
    series = np.exp(np.stack([np.sin(np.arange(40.0)), np.cos(np.arange(40.0) / 2)], axis=1))
    trained = ss.Forecaster(cell="sru", bptt=8, **QUICK).fit(series)
    model = loaded(trained, tmp_path / "model")
    session = model.session()
    for start in (0, 1, 8, 9):
        session.push(series[start : {0: 1, 1: 8, 8: 9, 9: 40}[start]])
    found, expected, other = session.forecast(4), model.forecast(series, 4), trained.forecast(series, 4)
    for mine, whole, torchs in zip(found, expected, other, strict=True):
        assert np.array_equal(mine, whole)
        assert np.array_equal(whole, torchs)


def test_a_translator_decodes(tmp_path: Path) -> None:
    settings = {"embedding_size": 8, "tokenizer": "character", **QUICK}
    trained = ss.Translator(cell="janet", attention="none", **settings).fit(["ab", "ba"] * 8, ["ba", "ab"] * 8)
    trained.save(tmp_path / "model")
    model = runtime.load(tmp_path / "model")
    assert isinstance(model.network_.generator.layer, NativeLayer)
    assert isinstance(trained.stepping_network.generator.layer, NativeLayer)
    assert model.predict(["ab", "ba"]) == trained.predict(["ab", "ba"])


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_fewer_bits(writers: dict[str, tuple[Any, Any]], weights: str) -> None:
    model = writers[MIXED][1]
    small = runtime.load(model.path, weights=weights)
    assert isinstance(small.network_.layer, NativeLayer)
    assert small.score(TEXT[:90]) == pytest.approx(model.score(TEXT[:90]), abs=0.02)
    session, twin = small.session(), small.session()
    session.push("one t"), [twin.push(symbol) for symbol in "one t"]
    assert session.state() == twin.state()


def test_without_torch(writers: dict[str, tuple[Any, Any]]) -> None:
    model = writers[MIXED][1]
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from stepscan import runtime\n"
        f"model = runtime.load({str(model.path)!r})\n"
        "session = model.session()\n"
        "session.push('one t')\n"
        "print(model.generate('one t', length=20, seed=3) == 'one t' + session.generate(20, seed=3))\n"
        "print(type(model.network_.layer).__name__, model.writer is not None)"
    )
    environment = {"PYTHONPATH": str(Path(ss.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["True", "NativeLayer True"]
