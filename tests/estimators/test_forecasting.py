"""Forecaster: learns series of numbers, and forecasts them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from toy_tasks import FAST, RHYME

import stepscan as ss

SIZES = {"hidden_size": 16, "embedding_size": 8, "bptt": 24, "batch_size": 16}
SMALL_OPTIONS = "--hidden-size 8 --embedding-size 4 --epochs 3"
SMALL = {**FAST, **SIZES, "epochs": 20, "learning_rate": 0.01}


def seasonal(steps: int, season: int = 6) -> np.ndarray:
    """Growth by 2 % a step, and a season."""
    t = np.arange(steps)
    return np.exp(0.02 * t + 0.5 * np.sin(2 * np.pi * t / season))


@pytest.fixture(scope="module")
def model() -> ss.Forecaster:
    return ss.Forecaster(seasonal_period=6, log_transform=True, **SMALL).fit(seasonal(90))


@pytest.mark.parametrize("head", ["gaussian", "quantile"])
def test_forecasts_a_wave(head):
    """No season is given: the network itself must know where in the wave it is."""
    wave = np.stack([np.sin(np.arange(140) * 0.5), np.cos(np.arange(140) * 0.5)], axis=1)
    model = ss.Forecaster(head=head, **{**SMALL, "epochs": 60}).fit(wave[:120])
    forecast = model.forecast(wave[:120], 8, num_samples=100)
    assert forecast.median.shape == (8, 2)
    assert np.abs(forecast.median - wave[120:128]).max() < 0.35
    assert (forecast.low <= forecast.median).all()
    assert (forecast.median <= forecast.high).all()


def test_season_and_growth(model):
    whole = seasonal(100)
    forecast = model.forecast(whole[:90], 10)
    np.testing.assert_allclose(forecast.median[:, 0], whole[90:], rtol=0.05)
    figures = model.metrics(whole, horizon=10)
    assert figures["mae"] == pytest.approx(np.abs(forecast.median[:, 0] - whole[90:]).mean())
    naive = np.concatenate([whole[84:90], whole[84:88]])
    assert figures["naive_mae"] == pytest.approx(np.abs(naive - whole[90:]).mean())
    assert figures["mae"] < 0.5 * figures["naive_mae"]
    assert figures["numbers"] == 10


def test_one_step_ahead(model):
    """Without a horizon, every step is forecast from those before it: as a forecast of one step from there."""
    whole = seasonal(40)
    figures = model.metrics(whole)
    assert figures["numbers"] == 40 - 6 - 1
    middles = [model._one_step_ahead(checked)[0][-1, 0] for checked in (whole[:t, None] for t in range(8, 41))]
    assert figures["mae"] == pytest.approx(np.abs(np.array(middles) - whole[7:]).mean())
    assert figures["naive_mae"] == pytest.approx(np.abs(whole[1:34] - whole[7:]).mean())
    assert model.score(whole) == pytest.approx(-figures["nats"])


def test_interval(model):
    wide, narrow = (model.forecast(seasonal(90), 5, level=share) for share in (0.95, 0.3))
    assert (wide.low < narrow.low).all()
    assert (narrow.high < wide.high).all()
    assert (model.forecast(seasonal(90), 5, seed=1).low != model.forecast(seasonal(90), 5, seed=2).low).all()
    assert (model.forecast(seasonal(90), 5).low == model.forecast(seasonal(90), 5).low).all()


def test_several_series_and_validation():
    series = [seasonal(40) * scale for scale in (1, 2, 3)]
    model = ss.Forecaster(seasonal_period=6, log_transform=True, **{**SMALL, "epochs": 2}).fit(
        series, validation=[seasonal(50)]
    )
    best = [row for row in model.history_ if row["best"]][-1]
    assert best["valid_nats"] == pytest.approx(-model.score([seasonal(50)]), rel=1e-4)
    assert model.metrics(series, horizon=3)["numbers"] == 9


def test_folder(model, tmp_path):
    model.save(tmp_path / "m")
    again = ss.load(tmp_path / "m")
    assert (again.forecast(seasonal(90), 3).high == model.forecast(seasonal(90), 3).high).all()


def test_transformer():
    model = ss.Forecaster(cell="transformer", seasonal_period=6, log_transform=True, **{**SMALL, "epochs": 3}).fit(
        seasonal(60)
    )
    assert np.isfinite(model.forecast(seasonal(60), 4, num_samples=20).high).all()


def test_refused(model):
    for kind, error in (
        (lambda: model.forecast([1.0, 2.0], 3), "context has 2 steps, but at least 8 are needed"),
        (lambda: model.forecast(-seasonal(20), 3), r"context has values of 0 or below \(-.*omit log_transform"),
        (
            lambda: model.forecast(np.ones((20, 2)), 3),
            "context 1: expected 1 dimensions per step, as the model has, got 2",
        ),
        (lambda: model.forecast(seasonal(20), 0), "length: expected a whole number, 1 or more, got 0"),
        (
            lambda: model.metrics(seasonal(20), horizon=20),
            "horizon: expected fewer steps than every series has, got 20",
        ),
        (lambda: model.metrics(seasonal(20), horizon=1.5), "horizon: expected a whole number, 0 or more, got 1.5"),
        (lambda: model.forecast(seasonal(20), 3.0), "length: expected a whole number, 1 or more, got 3.0"),
        (
            lambda: model.forecast(seasonal(20), 3, num_samples="9"),
            "num_samples: expected a whole number, 1 or more, got '9'",
        ),
        (
            lambda: model.forecast(seasonal(20), 3, level="a"),
            "level: expected a number between 0 and 1, got 'a'",
        ),
        (lambda: model.forecast(seasonal(20), 3, seed=1.5), "seed: expected a whole number, 0 or more, got 1.5"),
        (lambda: model.metrics("month,x"), "expected series of numbers, got text"),
        (lambda: model.score("month,x"), "expected series of numbers, got text"),
        (
            lambda: ss.Forecaster(seasonal_period=6).fit(seasonal(7)),
            "series 1, without the tenth held out, has 6 steps, but",
        ),
        (
            lambda: ss.Forecaster().fit(seasonal(70), validation=[]),
            "validation: expected at least one series, got none",
        ),
        (lambda: ss.Forecaster(head="t").fit(seasonal(70)), "head: expected 'gaussian' or 'quantile', got 't'"),
        (
            lambda: ss.Forecaster().fit(RHYME),
            "expected series of numbers, got .*; for texts use stepscan.Lang",
        ),
        (lambda: ss.Forecaster(bidirectional=True), "unexpected keyword"),
    ):
        with pytest.raises((ss.SettingsError, TypeError), match=error):
            kind()
    with pytest.raises(ss.SettingsError, match=r"expected one text, got array.*series of numbers use stepscan\.Fore"):
        ss.LanguageModel().fit(seasonal(70))


def test_command_line(run, tmp_path):
    rows = [f"{2000 + t // 12}-{1 + t % 12:02},{x:.4f}" for t, x in enumerate(seasonal(80))]
    path = tmp_path / "a.csv"
    path.write_text("date,value\n" + "\n".join(rows) + "\n")
    small = [
        "--hidden-size",
        "8",
        "--embedding-size",
        "4",
        "--epochs",
        "3",
        "--seasonal-period",
        "6",
        "--log-transform",
        "--quiet",
    ]
    result = run("train", "forecast", "--train", path, "--out", tmp_path / "m", *small)
    assert result.code == 0, result.err
    figures = json.loads(run("evaluate", tmp_path / "m", path, "--horizon", "6", "--json").out)
    assert figures["numbers"] == 6
    lines = run("forecast", tmp_path / "m", "--context", path, "--length", "2", "--num-samples", "50").out
    [first, second] = [line.split("\t") for line in lines.splitlines()]
    assert (first[0], first[4], second[0], second[4]) == ("1", "2006-09", "2", "2006-10")
    row = json.loads(run("forecast", tmp_path / "m", "--context", path, "--length", "1", "--json").out)
    assert row.keys() == {"step", "time", "median", "low", "high"}
    assert row["time"] == "2006-09"
    assert ss.load(tmp_path / "m").step == "1 month"
    assert "expected a language model, got" in run("generate", tmp_path / "m").words
    assert "--history is called --context (of stepscan forecast) now" in run("generate", "m", "--history", path).words
    assert (
        "expected neither --dynamic, --horizon nor --bleu-tokenize"
        in run("evaluate", tmp_path / "m", path, "--per-line", "--horizon", "2").words
    )
    assert (
        "--dynamic: expected a model for generate, got one for forecast"
        in run("evaluate", tmp_path / "m", path, "--dynamic", "0.1").words
    )
    output = run("evaluate", tmp_path / "m", path, "--ensemble", tmp_path / "m").words
    assert "expected models that classify, tag, generate or translate, got forecasters" in output
    assert "predict is not available for forecasters" in run("predict", tmp_path / "m", "x").words
    wrong = run("train", "generate", "--train", path, "--format", "csv", "--out", tmp_path / "n")
    assert "For series of numbers train forecast" in wrong.words
    wrong = run("train", "generate", "--train", path, "--format", "numbers", "--out", tmp_path / "n")
    assert "expected text, but" in wrong.words


def _naive(series: np.ndarray, season: int, horizon: int) -> list[float]:
    """Written out: what was one season before, or the last number; of a forecast, as far as was known."""
    lag, known = max(1, season), len(series) - horizon
    if not horizon:
        return [abs(series[t - lag] - series[t]) for t in range(season + 1, len(series))]
    forecast = list(series[:known])
    for _ in range(horizon):
        forecast.append(forecast[-lag])
    return [abs(forecast[t] - series[t]) for t in range(known, len(series))]


@pytest.mark.parametrize("season", [0, 1, 5])
def test_every_length_and_horizon(season):
    """Short series are forecast as a plain calculation says, or refused in words."""
    numbers = np.random.default_rng(0).normal(size=2 * season + 40)
    model = ss.Forecaster(seasonal_period=season, hidden_size=4, embedding_size=4, bptt=8, epochs=1).fit(numbers)
    for length in range(1, 2 * season + 4):
        series = numbers[:length]
        if length < season + 2:
            steps = "1 step" if length == 1 else f"{length} steps"
            message = f"has {steps}, but at least {season + 2} are needed"
            for use in (model.score, model.metrics, lambda series: model.forecast(series, 2)):
                with pytest.raises(ss.SettingsError, match=message):
                    use(series)
            with pytest.raises(ss.SettingsError, match=f"validation series 1 {message}"):
                ss.Forecaster(seasonal_period=season).fit(numbers, validation=series)
            continue
        assert np.isfinite(model.forecast(series, 2, num_samples=3).high).all()
        assert model.score(series) == pytest.approx(-model.metrics(series)["nats"])
        for horizon in range(length + 1):
            if length - horizon < season + 2:
                with pytest.raises(ss.SettingsError, match=r"fewer steps than every series|without its last \d+, has"):
                    model.metrics(series, horizon=horizon)
                continue
            figures, errors = model.metrics(series, horizon=horizon), _naive(series, season, horizon)
            assert figures["numbers"] == len(errors)
            assert figures["naive_mae"] == pytest.approx(np.mean(errors))
            assert figures["naive_rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
            if horizon:
                middle = model.forecast(series[:-horizon], horizon).median[:, 0]
                assert figures["mae"] == pytest.approx(np.abs(middle - series[-horizon:]).mean())


def test_no_series_at_all(model):
    for use in (model.score, model.metrics):
        with pytest.raises(ss.SettingsError, match="expected at least one series of numbers, got none"):
            use([])
