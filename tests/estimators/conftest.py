"""An estimator trained on each toy task, once a session. Not to be changed by a test."""

from __future__ import annotations

import pytest
import torch
from toy_tasks import ALONE, FAST, NETWORK, RHYME, neighbours, ordered, reversals

import stepscan as ss


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def classifier() -> ss.Classifier:
    settings = {"cell": "lstm", "hidden_size": 16, "embedding_size": 8, "pooling": "last", "bidirectional": False}
    return ss.Classifier(**settings, epochs=8, batch_size=16, word_dropout=0.0, **NETWORK).fit(*ordered(400, 1))


@pytest.fixture(scope="session")
def tagger() -> ss.Tagger:
    settings = {"cell": "gru", "hidden_size": 16, "embedding_size": 4, "char_embedding_size": 8, "char_hidden_size": 8}
    settings |= {"bidirectional": True, "word_dropout": 0.1, "input_noise": 0.0, "lowercase": True}
    return ss.Tagger(**settings, epochs=6, batch_size=16, vocabulary_size=20, **ALONE, **FAST).fit(*neighbours(240, 1))


@pytest.fixture(scope="session")
def language_model() -> ss.LanguageModel:
    settings = {"cell": "lstm", "hidden_size": 32, "embedding_size": 16, "tie_weights": False, "tokenizer": "character"}
    return ss.LanguageModel(**settings, bptt=20, epochs=8, batch_size=4, **FAST).fit(RHYME)


@pytest.fixture(scope="session")
def translator() -> ss.Translator:
    settings = {
        "cell": "gru",
        "hidden_size": 40,
        "embedding_size": 16,
        "tokenizer": "character",
        "vocabulary_size": 4000,
    }
    settings |= {"attention": "additive", "input_feeding": False, "beam_width": 5, "length_penalty": 1.0}
    return ss.Translator(**settings, epochs=12, batch_size=16, label_smoothing=0.0, **FAST).fit(*reversals(500, 1))
