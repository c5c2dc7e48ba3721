"""What users pass to a forecaster: tables of pandas, and numbers that are none."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import stepscan as ss

SMALL = {"hidden_size": 4, "embedding_size": 4, "bptt": 16, "epochs": 1, "batch_size": 8, "verbose": False}
WAVE = np.sin(np.arange(60) / 3) + 5


@pytest.fixture(scope="module")
def model() -> ss.Forecaster:
    return ss.Forecaster(**SMALL).fit(WAVE)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"length": 5.0}, r"length: expected a whole number, 1 or more, got 5\.0"),
        ({"length": "5"}, "length: expected a whole number, 1 or more, got '5'"),
        ({"length": True}, "length: expected a whole number, 1 or more, got True"),
        ({"length": 0}, "length: expected a whole number, 1 or more, got 0"),
        ({"length": 2, "num_samples": 1.5}, r"num_samples: expected a whole number, 1 or more, got 1\.5"),
        ({"length": 2, "num_samples": 0}, "num_samples: expected a whole number, 1 or more, got 0"),
        ({"length": 2, "seed": "a"}, "seed: expected a whole number, 0 or more, got 'a'"),
        ({"length": 2, "seed": 1.5}, r"seed: expected a whole number, 0 or more, got 1\.5"),
        ({"length": 2, "seed": -1}, "seed: expected a whole number, 0 or more, got -1"),
        ({"length": 2, "level": "a"}, "level: expected a number between 0 and 1, got 'a'"),
        ({"length": 2, "level": None}, "level: expected a number between 0 and 1, got None"),
        ({"length": 2, "level": 90}, "level: expected a number between 0 and 1, got 90"),
        ({"length": 2, "level": float("nan")}, "level: expected a number between 0 and 1, got nan"),
    ],
)
def test_settings_of_a_forecast(model, settings, reason):
    with pytest.raises(ss.SettingsError, match=reason):
        model.forecast(WAVE, **settings)


@pytest.mark.parametrize("horizon", [1.5, "a", None, True])
def test_horizon(model, horizon):
    with pytest.raises(ss.SettingsError, match="horizon: expected a whole number, 0 or more, got"):
        model.metrics(WAVE, horizon=horizon)


def test_whole_numbers_of_numpy(model):
    one = model.forecast(WAVE, np.int64(3), num_samples=np.int32(7), seed=np.uint8(4), level=np.float32(0.5))
    other = model.forecast(WAVE, 3, num_samples=7, seed=4, level=0.5)
    np.testing.assert_array_equal(one.median, other.median)


def test_series_of_pandas(model):
    """A column and a table are each one series, and answer as their values do."""
    pd = pytest.importorskip("pandas")
    days = pd.date_range("2021-01-01", periods=60)
    expected = model.forecast(WAVE, 3).median
    for data in (pd.Series(WAVE, index=days), pd.DataFrame({"y": WAVE}, index=days), pd.Series(WAVE)):
        again = ss.Forecaster(**SMALL).fit(data, validation=data)
        np.testing.assert_array_equal(
            again.forecast(data, 3).median,
            ss.Forecaster(**SMALL).fit(WAVE, validation=WAVE).forecast(WAVE, 3).median,
        )
        np.testing.assert_array_equal(model.forecast(data, 3).median, expected)
        assert model.score(data) == model.score(WAVE)
        assert model.metrics(data, horizon=4) == model.metrics(WAVE, horizon=4)
    two = ss.Forecaster(**SMALL).fit(pd.DataFrame({"a": WAVE, "b": 2 * WAVE}))
    assert two.forecast(np.stack([WAVE, 2 * WAVE], 1), 2).median.shape == (2, 2)
    both = ss.Forecaster(**SMALL).fit([pd.Series(WAVE), pd.Series(WAVE)])
    assert both.score([WAVE, WAVE]) == both.score(WAVE)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("step", ["h", "D", "W", "MS", "ME", "B", "QS", "15min"])
def test_an_index_of_times_is_read(model, step, zone):
    pd = pytest.importorskip("pandas")
    series = pd.Series(WAVE, index=pd.date_range("2021-03-01", periods=60, freq=step, tz=zone))
    expected = model.forecast(WAVE, 2).median
    np.testing.assert_array_equal(model.forecast(series, 2).median, expected)
    gap = series.drop(series.index[20:22])
    for use in (model.score, ss.Forecaster(**SMALL).fit, lambda data: model.forecast(data, 2)):
        with pytest.raises(ss.SettingsError, match=r"1: its index: expected .* after .* \(step 20\).*: 2 rows are mis"):
            use(gap)
        with pytest.raises(ss.SettingsError, match=r"expected ascending times, .*: the newest row is first"):
            use(series[::-1])
        with pytest.raises(ss.SettingsError, match=r"again.*sort_index.*asfreq.*to_numpy"):
            use(pd.concat([series[:3], series[2:]]))
    np.testing.assert_array_equal(model.forecast(gap.to_numpy(), 2).median.shape, (2, 1))


def test_an_index_of_periods_is_read(model):
    pd = pytest.importorskip("pandas")
    series = pd.Series(WAVE, index=pd.period_range("2001-01", periods=60, freq="M"))
    assert model.forecast(series, 2).median.shape == (2, 1)
    with pytest.raises(ss.SettingsError, match=r"expected 2001-03 after 2001-02 \(step 2\).*got 2001-04: 1 row is"):
        model.forecast(series.drop(series.index[2]), 2)


def test_a_table_with_other_columns(model):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"ds": pd.date_range("2021-01-01", periods=60), "y": WAVE})
    for use in (model.score, ss.Forecaster(**SMALL).fit, lambda data: model.forecast(data, 2)):
        with pytest.raises(ss.SettingsError, match=r"1: expected columns of numbers, got .ds.; .*set_index\(.ds.\)"):
            use(table)


@pytest.mark.parametrize("data", [np.array([]), [], 5, np.array([True, False]), [["a"], ["b"]], None])
def test_neither_text_nor_numbers(data):
    with pytest.raises(ss.SettingsError, match=r"expected (at least one )?series of numbers, got"):
        ss.Forecaster(**SMALL).fit(data)


def test_numbers_too_small_to_standardise():
    with pytest.raises(ss.SettingsError, match=r"float64 can standardise, got 6e-300; rescale them"):
        ss.Forecaster(**SMALL).fit(WAVE * 1e-300)


def told(caplog):
    """What is said of the data, not of the model."""
    return [message for message in caplog.messages if not message.startswith("this model is no")]


def test_constant_series_are_said(caplog):
    with caplog.at_level(logging.WARNING):
        ss.Forecaster(**SMALL).fit(np.full(60, 5.0))
        ss.Forecaster(**SMALL, seasonal_period=12).fit(np.arange(60.0))
    assert told(caplog) == [
        "nothing to learn: the series are constant",
        "nothing to learn: the seasonal differences of the series are constant",
    ]
    caplog.clear()
    ss.Forecaster(**SMALL).fit(np.stack([WAVE, np.full(60, 5.0)], 1))
    assert told(caplog) == ["dimension 2 of the series is constant"]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """A model of each task of series, with torch and without."""
    folder, random = tmp_path_factory.mktemp("readers"), np.random.default_rng(0)
    series, small = [random.normal(size=8) for _ in range(20)], {"hidden_size": 4, "epochs": 1, "verbose": False}
    tags = [["x", "y"] * 4] * 20
    trained = {
        "classify": ss.Classifier(**small, wide=False, refit=False).fit(series, ["a", "b"] * 10),
        "tag": ss.Tagger(**small, wide=False, refit=False).fit(series, tags),
        "forecast": ss.Forecaster(**small).fit(series),
        "seasonal": ss.Forecaster(**small, seasonal_period=2).fit(series),
    }
    for task, one in trained.items():
        one.save(folder / task)
    return {task: (one, ss.runtime.load(folder / task)) for task, one in trained.items()}


ANSWERS = {
    "classify": {
        "predict": lambda model, X: model.predict(X),
        "predict_proba": lambda model, X: model.predict_proba(X),
        "metrics": lambda model, X: model.metrics(X, ["a", "b"]),
        "log_probabilities": lambda model, X: model.log_probabilities(X, ["a", "b"]),
    },
    "tag": {
        "predict": lambda model, X: model.predict(X),
        "predict_proba": lambda model, X: model.predict_proba(X),
        "metrics": lambda model, X: model.metrics(X, [["x"] * len(one) for one in X]),
        "log_probabilities": lambda model, X: model.log_probabilities(X, [["x"] * len(one) for one in X]),
    },
    "forecast": {
        "forecast": lambda model, X: model.forecast(X[1], 3, num_samples=5),
        "score": lambda model, X: model.score(X),
        "metrics": lambda model, X: model.metrics(X),
        "metrics of a horizon": lambda model, X: model.metrics(X, 2),
    },
}
ANSWERS["seasonal"] = ANSWERS["forecast"]


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task, few in ANSWERS.items() for answer in few])
@pytest.mark.parametrize("value", [1e39, -1e300])
def test_values_that_the_layers_cannot_read_are_refused(readers, task, answer, value):
    """Finite, but not as float32: all that follows would be NaN."""
    good, bad = np.linspace(-1, 1, 8), np.linspace(-1, 1, 8)
    bad[3] = value
    name = "context" if "forecast" in answer or "horizon" in answer else "series 2"
    for model in readers[task]:
        ANSWERS[task][answer](model, [good, good * 1e6])
        with pytest.raises(ss.SettingsError, match=rf"{name}: expected finite numbers, got .* which is too large"):
            ANSWERS[task][answer](model, [good, bad])


def test_validation_data_that_the_layers_cannot_read_are_refused():
    with pytest.raises(ss.SettingsError, match=r"a series: expected finite numbers, got 1e\+300 at step 6"):
        ss.Forecaster(**SMALL).fit(WAVE, validation=[[5.0, 5.1, 5.2, 5.3, 5.4, 1e300]])
