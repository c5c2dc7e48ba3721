from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepscan as ss

TEXT = "one two three four five. "
PIECES = "the dog's bone isn't 3.5 cm\nthey're well-made,  we'll see\r\n"


@pytest.fixture(scope="session")
def session_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models of every kind that has sessions, and some that have none."""
    path = tmp_path_factory.mktemp("models")
    tagger: dict[str, Any] = {"wide": False, "bidirectional": False, "hidden_size": 9, "epochs": 3, "batch_size": 4}
    sentences, tags = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 6, [["DET", "NOUN", "VERB"]] * 12
    ss.Tagger(cell="gru", **tagger).fit(sentences, tags).save(path / "tag")
    ss.Tagger(crf=True, **tagger).fit(sentences, tags).save(path / "crf")
    ss.Tagger(hidden_size=5, epochs=1).fit(sentences, tags).save(path / "both ways")
    random = np.random.default_rng(0)
    series = [random.normal(3, 2, (length, 2)) for length in (5, 9, 7, 12)] * 3
    steps = [["up" if x[0] > 3 else "down" for x in one] for one in series]
    ss.Tagger(layers=2, **tagger).fit(series, steps).save(path / "steps")
    texts, classes = ["a good film", "a bad film", "not a good film", "not a bad film"], ["good", "bad", "bad", "good"]
    for pooling in ("last", "mean", "max", "attention"):
        classifier: dict[str, Any] = {"bidirectional": False, "hidden_size": 10, "epochs": 3, "embedding_size": 6}
        ss.Classifier(pooling=pooling, **classifier).fit(texts * 6, classes * 6).save(path / pooling)
    settings: dict[str, Any] = {"hidden_size": 20, "layers": 2, "bptt": 16, "batch_size": 4, "epochs": 2}
    ss.LanguageModel(**settings).fit(TEXT * 50).save(path / "write")
    ss.LanguageModel(tie_weights=True, cell="lstm,gru", **settings).fit(TEXT * 50).save(path / "tie_weights")
    ss.Translator(hidden_size=8, embedding_size=8, epochs=1, tokenizer="character").fit(["ab"] * 8, ["ba"] * 8).save(
        path / "translate"
    )
    for kind in ("word", "whitespace", "byte", "bpe"):
        of_kind: dict[str, Any] = {"tokenizer": kind, "vocabulary_size": 270 if kind == "bpe" else None}
        ss.LanguageModel(**of_kind, **settings | {"epochs": 1}).fit(PIECES * 20).save(path / f"write {kind}")
        judged = ss.Classifier(pooling="mean", **of_kind, **classifier | {"epochs": 1})
        judged.fit(texts * 6, classes * 6).save(path / f"judge {kind}")
    return path
