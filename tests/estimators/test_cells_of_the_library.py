"""Every cell that is a step and nothing else trains in an estimator, and comes back out of its folder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from toy_tasks import ALONE, FAST, RHYME, neighbours, ordered, reversals

import stepscan as ss
from zoo import STEPS

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "batch_size": 16, "verbose": False, **FAST}
WAVE = np.sin(np.arange(40) * 0.5)


def classifier(cell):
    settings = {"cell": f"{cell},{cell},transformer", "layers": 3, "bidirectional": True}
    model = ss.Classifier(**{**TINY, **settings}, **ALONE).fit(*ordered(20, 1))
    return model, lambda one: one.predict_proba(["a b", "x b a", ""])


def tagger(cell):
    model = ss.Tagger(**{**TINY, "cell": cell, "residual": True}, char_embedding_size=0, **ALONE)
    return model.fit(*neighbours(20, 1)), lambda one: one.predict([["amny", "bmnz"]])


def language_model(cell):
    return ss.LanguageModel(cell=cell, bptt=16, **TINY).fit(RHYME[:300]), lambda one: one.generate(length=5, seed=1)


def translator(cell):
    model = ss.Translator(cell=cell, tokenizer="character", **TINY).fit(*reversals(20, 1))
    return model, lambda one: one.predict(["abc", "d"])


def forecaster(cell):
    model = ss.Forecaster(cell=cell, bptt=16, **TINY).fit(WAVE)
    return model, lambda one: one.forecast(WAVE, 3, num_samples=4).median


MAKERS = itertools.cycle([classifier, tagger, language_model, translator, forecaster])
CASES = [
    pytest.param(cell, fitted, id=f"{cell}, {fitted.__name__}") for cell, fitted in zip(STEPS, MAKERS, strict=False)
]


@pytest.mark.filterwarnings("ignore:this model is")
@pytest.mark.parametrize(("cell", "fitted"), CASES)
def test_it_trains_and_is_loaded(cell, fitted, tmp_path):
    model, use = fitted(cell)
    assert all(np.isfinite(row["train_loss"]) for row in model.history_)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(use(ss.load(tmp_path / "m")), use(model))
