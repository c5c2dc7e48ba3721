"""Ridge regression in closed form, against scikit-learn and against leaving examples out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference
from sklearn.linear_model import RidgeClassifierCV, RidgeCV

from stepscan.backends.batches import Array
from stepscan.estimators.ridge import RidgeFit, fit_ridge

ALPHAS = np.logspace(-3, 3, 10)


def _task(examples: int, features: int, classes: int = 3) -> tuple[Array, Array, Array]:
    """Features of very different scales, targets ±1, and the right classes."""
    random = np.random.default_rng(examples)
    values = random.standard_normal((examples, features))
    ids = (values[:, :classes] + random.standard_normal((examples, classes))).argmax(axis=1)
    scales = 10.0 ** random.integers(-3, 4, features)
    return values * scales + 5 * scales, np.where(ids[:, None] == np.arange(classes), 1.0, -1.0), ids


def _standardised(features: Array) -> Array:
    return (features - features.mean(axis=0)) / features.std(axis=0)


def _scores(fit: RidgeFit, features: Array) -> Array:
    return features @ fit.weight + fit.bias


@pytest.mark.parametrize(("examples", "features"), [(30, 80), (80, 30), (40, 40)])
def test_the_same_penalty_and_decisions_as_scikit_learn(examples: int, features: int) -> None:
    values, targets, ids = _task(examples, features)
    fit = fit_ridge(values, targets, alphas=ALPHAS)
    reference = RidgeClassifierCV(alphas=ALPHAS).fit(_standardised(values), ids)
    assert fit.alpha == reference.alpha_
    np.testing.assert_allclose(
        _scores(fit, values), reference.decision_function(_standardised(values)), rtol=1e-3, atol=1e-4
    )


def test_numbers_as_scikit_learn_has_them() -> None:
    values, _, _ = _task(50, 20)
    targets = (_standardised(values)[:, :1] * 3 + 7) ** 2
    fit = fit_ridge(values, targets, alphas=ALPHAS)
    reference = RidgeCV(alphas=ALPHAS).fit(_standardised(values), targets[:, 0])
    assert fit.alpha == reference.alpha_
    np.testing.assert_allclose(_scores(fit, values)[:, 0], reference.predict(_standardised(values)), rtol=1e-4)


@pytest.mark.parametrize(("examples", "features"), [(20, 50), (50, 20), (12, 12)])
def test_left_out_is_what_the_fit_without_an_example_says_of_it(examples: int, features: int) -> None:
    values, targets, _ = _task(examples, features)
    fit = fit_ridge(values, targets)
    standard = _standardised(values)
    for example in range(examples):
        others = np.arange(examples) != example
        without = Reference(alpha=fit.alpha).fit(standard[others], targets[others])
        np.testing.assert_allclose(
            fit.leave_one_out[example], without.predict(standard[example : example + 1])[0], atol=1e-6
        )
    assert fit.rows.tolist() == list(range(examples))


def test_float32_features_fit_as_well() -> None:
    values, targets, _ = _task(40, 100)
    exact, single = fit_ridge(values, targets), fit_ridge(values.astype(np.float32), targets)
    np.testing.assert_allclose(single.leave_one_out, exact.leave_one_out, atol=1e-3)
    assert single.weight.dtype == single.bias.dtype == np.float32


def test_features_that_never_change_have_no_weight() -> None:
    values, targets, _ = _task(30, 10)
    with_constants = np.column_stack([values, np.full(30, 0.1, np.float32), np.zeros(30)])
    fit = fit_ridge(with_constants, targets)
    assert not fit.weight[10:].any()
    np.testing.assert_allclose(fit.leave_one_out, fit_ridge(values, targets).leave_one_out, atol=1e-9)


def test_targets_that_have_nothing_to_do_with_the_features_give_their_mean() -> None:
    random = np.random.default_rng(0)
    values, targets = random.standard_normal((60, 500)), random.standard_normal((60, 1)) + 4
    fit = fit_ridge(values, targets)
    mean_error = np.square(targets - targets.mean()).mean()
    assert np.square(fit.leave_one_out - targets).mean() < 1.05 * mean_error
    assert fit.leave_one_out.mean() == pytest.approx(4, abs=0.2)


def test_emphasis_is_a_smaller_penalty() -> None:
    """A feature that counts √n times is one that is there n times."""
    values, targets, _ = _task(30, 50)
    several = np.column_stack([values, *[values[:, :1]] * 8])
    emphasis = np.where(np.arange(50) == 0, 3.0, 1.0)
    fit, reference = fit_ridge(values, targets, emphasis=emphasis), fit_ridge(several, targets)
    assert fit.alpha == reference.alpha
    np.testing.assert_allclose(fit.leave_one_out, reference.leave_one_out, atol=1e-8)
    np.testing.assert_allclose(_scores(fit, values), _scores(reference, several), rtol=1e-3, atol=1e-4)


def test_a_sample_of_many_examples() -> None:
    values, targets, _ = _task(90, 5)
    fit = fit_ridge(values, targets, max_examples=40)
    assert len(fit.rows) == len(fit.leave_one_out) == 40
    assert (np.diff(fit.rows) > 0).all()
    sample = fit_ridge(values[fit.rows], targets[fit.rows])
    np.testing.assert_array_equal(fit.weight, sample.weight)


@pytest.mark.parametrize(("examples", "features"), [(30, 80), (80, 30)])
def test_large_ones_are_fitted_by_a_cholesky_factor(
    examples: int, features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, targets, _ = _task(examples, features)
    monkeypatch.setattr("stepscan.estimators.ridge._MAX_DECOMPOSED", 25)
    fit = fit_ridge(values, targets)
    monkeypatch.undo()
    expected = fit_ridge(values, targets, alphas=np.array([fit.alpha]))
    np.testing.assert_allclose(fit.leave_one_out, expected.leave_one_out, atol=1e-8)
    np.testing.assert_allclose(_scores(fit, values), _scores(expected, values), rtol=1e-3, atol=1e-4)


def test_too_few_examples_are_said() -> None:
    with pytest.raises(ValueError, match="expected as many targets as examples, and at least 2, got 1, 1"):
        fit_ridge(np.ones((1, 3)), np.ones((1, 1)))
    with pytest.raises(ValueError, match="got 2, 3"):
        fit_ridge(np.ones((3, 3)), np.ones((2, 1)))
