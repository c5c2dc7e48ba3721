"""Scales of scores: temperatures, and the two factors of scores that are added."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stepscan.backends.batches import Array
from stepscan.estimators.temperature import fit_scales, fit_temperature


def _nats(scores: Array, classes: Array, temperature: float) -> float:
    logs = scores / temperature - np.log(np.exp(scores / temperature).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(classes)), classes].mean())


def test_the_temperature_has_the_least_cross_entropy() -> None:
    random = np.random.default_rng(0)
    log_odds = 2 * random.standard_normal((20_000, 3))
    shares = np.exp(log_odds) / np.exp(log_odds).sum(axis=1, keepdims=True)
    classes = (random.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    temperature = fit_temperature(log_odds * 0.25, classes)
    assert temperature == pytest.approx(0.25, rel=0.05)
    assert all(
        _nats(log_odds * 0.25, classes, temperature) <= _nats(log_odds * 0.25, classes, other) for other in (0.2, 0.3)
    )


def test_scores_without_an_error_do_not_make_certain() -> None:
    """Of 9 examples without an error, 1 of 20 is left to both classes together: 1 of 40 to the wrong one."""
    scores = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]] * 3)
    temperature = fit_temperature(scores, scores.argmax(axis=1))
    assert 2 / temperature == pytest.approx(np.log(39), rel=1e-3)
    assert fit_temperature(-scores, scores.argmax(axis=1)) == pytest.approx(1e4, rel=0.01)  # wrong ones say nothing


def test_two_scales_are_those_of_logistic_regression_without_intercept() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 2, 3000)
    first, second = (scale * np.eye(2)[classes] + random.standard_normal((3000, 2)) for scale in (1.0, 0.3))
    first, second = 20 * first, 0.01 * second  # of very different sizes
    differences = np.stack([first[:, 1] - first[:, 0], second[:, 1] - second[:, 0]], axis=1)
    features = differences / differences.std(axis=0)
    expected = LogisticRegression(C=1e6, fit_intercept=False).fit(features, classes).coef_[0] / differences.std(axis=0)
    assert fit_scales(first, second, classes) == pytest.approx(tuple(expected), rel=0.01)


def test_scales_are_not_negative() -> None:
    random = np.random.default_rng(1)
    classes = random.integers(0, 3, 500)
    good, noise = np.eye(3)[classes] + random.standard_normal((2, 500, 3)) * np.array([1.0, 2.0])[:, None, None]
    first, second = fit_scales(good, noise - 3 * np.eye(3)[classes], classes)
    assert second == 0
    assert first == pytest.approx(1 / fit_temperature(good, classes), rel=0.01)
