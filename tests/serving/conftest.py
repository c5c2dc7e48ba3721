from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra `serve`")

from servers import Client, started

import stepscan as ss
from stepscan import runtime

TEXT = "one two three four five. "


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A server takes the log for itself, for as long as its process lives."""
    log = logging.getLogger("stepscan")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = before[:2]
    log.setLevel(before[2])


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small models of every kind."""
    path, draw = tmp_path_factory.mktemp("served"), np.random.default_rng(0)
    quick: dict[str, Any] = {"hidden_size": 8, "epochs": 1, "seed": 1}
    films, opinions = ["a good film", "a bad film", "not a good film", "not a bad film"], ["good", "bad", "bad", "good"]
    judge = ss.Classifier(bidirectional=False, pooling="mean", wide=False, **quick)
    judge.fit(films * 6, opinions * 6).save(path / "judge")
    ss.Classifier(wide=False, **quick).fit(films * 6, opinions * 6).save(path / "both-ways")
    sentences, tags = [["the", "dog", "runs"], ["a", "cat", "sleeps"]] * 6, [["DET", "NOUN", "VERB"]] * 12
    ss.Tagger(wide=False, bidirectional=False, **quick).fit(sentences, tags).save(path / "tagger")
    series = [draw.normal(3, 2, (length, 2)) for length in (5, 9, 7, 12)] * 3
    steps = [["up" if x[0] > 3 else "down" for x in one] for one in series]
    ss.Tagger(bidirectional=False, **quick).fit(series, steps).save(path / "steps")
    rising = ss.Classifier(bidirectional=False, **quick)
    rising.fit(series, ["up" if one[-1, 0] > 3 else "down" for one in series]).save(path / "rising")
    ss.Forecaster(seasonal_period=3, **quick).fit([np.sin(np.arange(200) / 5)]).save(path / "waves")
    writer: dict[str, Any] = {**quick, "bptt": 16, "batch_size": 4}
    ss.LanguageModel(layers=2, **writer).fit(TEXT * 40).save(path / "writer")
    ss.LanguageModel(tokenizer="word", **writer).fit((TEXT + "\n") * 40).save(path / "words")
    ss.LanguageModel(tokenizer="byte", cell="transformer", **writer).fit("aé😀 " * 60).save(path / "bytes")
    mirror = ss.Translator(tokenizer="character", **quick)
    mirror.fit(["ab", "ba", "aab", "abb"] * 6, ["ba", "ab", "baa", "bba"] * 6).save(path / "mirror")
    return {folder.name: folder for folder in path.iterdir()}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, Any]:
    """The same models, in this process."""
    return {name: runtime.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def server(folders: dict[str, Path]) -> Iterator[Client]:
    """A server of all of them."""
    with started(folders) as client:
        yield client
