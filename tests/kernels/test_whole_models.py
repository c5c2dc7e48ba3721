"""Predictions of whole models have the same bits alone and in a batch."""

from __future__ import annotations

import random

import numpy as np
import pytest

import stepscan as ss
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")


def texts(count: int) -> list[str]:
    drawn = random.Random(0)
    return [" ".join(drawn.choices("abcdefghijkl", k=drawn.randint(1, 30))) for _ in range(count)]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_classifier(pooling: str, bidirectional: bool) -> None:
    rows = texts(60)
    labels = ["yes" if "a" in row else "no" for row in rows]
    model = ss.Classifier(pooling=pooling, bidirectional=bidirectional, epochs=1, hidden_size=40, embedding_size=20)
    together = model.fit(rows, labels).predict_proba(rows)
    for row, expected in zip(rows, together, strict=True):
        assert np.array_equal(model.predict_proba([row])[0], expected)


@pytest.mark.parametrize("cell", ["gru", "layer_norm_lstm,elman"])
def test_tagger(cell: str) -> None:
    sentences = [row.split() for row in texts(40)]
    model = ss.Tagger(cell=cell, epochs=1, hidden_size=24, embedding_size=12)
    together = model.fit(sentences, [[w.upper() for w in s] for s in sentences]).predict_proba(sentences)
    for sentence, expected in zip(sentences, together, strict=True):
        assert np.array_equal(model.predict_proba([sentence])[0], expected)
