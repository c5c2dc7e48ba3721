"""scikit-learn's own checks of `Classifier`, and its tools on the others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from toy_tasks import FAST, neighbours, ordered, reversals

import stepscan as ss

SMALL = {**FAST, "hidden_size": 4, "embedding_size": 4, "batch_size": 8, "epochs": 1}
LENGTHS = "sequences have lengths of their own: columns are time steps, and more or fewer of them are no mistake"
NOT_FOR_SEQUENCES = {
    "check_n_features_in": LENGTHS,
    "check_n_features_in_after_fitting": LENGTHS,
    "check_transformer_general": LENGTHS,
    "check_classifiers_train": LENGTHS,
    "check_estimators_empty_data_messages": "a sequence of length 0 is a sequence",
    "check_fit2d_predict1d": "the error is there, in words of our own",
    "check_dtype_object": "an array of objects may hold texts, so its numbers are not guessed at",
    "check_supervised_y_2d": "a column of labels could be labels of `problem_type='multilabel'`; it is an error",
    "check_transformer_preserve_dtypes": "a network computes in float32, whatever its input",
}


@parametrize_with_checks([ss.Classifier(**SMALL)], expected_failed_checks=lambda _: NOT_FOR_SEQUENCES)
@pytest.mark.filterwarnings("ignore")
def test_classifier(estimator, check):
    check(estimator)


def test_cross_validation():
    texts, labels = ordered(24, 0)
    assert cross_val_score(ss.Classifier(**SMALL), texts, labels, cv=3).shape == (3,)
    assert len(cross_val_predict(ss.Classifier(**SMALL), texts, labels, cv=3)) == 24
    sentences, tags = neighbours(24, 0)
    scores = cross_val_score(ss.Tagger(char_embedding_size=0, **SMALL), sentences, tags, cv=3)
    assert ((scores >= 0) & (scores <= 1)).all()
    sources, targets = reversals(24, 0)
    assert cross_val_score(ss.Translator(tokenizer="character", **SMALL), sources, targets, cv=2).shape == (2,)


def test_grid_search():
    texts, labels = ordered(24, 0)
    grid = {"cell": ["gru", "transformer"], "dropout": np.array([0.0, 0.1])}
    search = GridSearchCV(ss.Classifier(**SMALL), grid, cv=2).fit(texts, labels)
    assert len(search.cv_results_["params"]) == 4
    assert search.predict(texts[:2]).shape == (2,)


def test_pipelines():
    texts, labels = ordered(24, 0)
    features = make_pipeline(ss.Classifier(**SMALL), LinearSVC()).fit(texts, labels)
    assert features.predict(texts).shape == (24,)
    array = np.random.default_rng(0).normal(size=(24, 5))
    assert cross_val_score(ss.Classifier(**SMALL), array, labels, cv=2).shape == (2,)
