"""A series read in pieces gives the forecasts of the whole series at once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.kernels import native

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")

SMALL = {"hidden_size": 6, "embedding_size": 5, "epochs": 1, "verbose": False, "bptt": 8, "learning_rate": 0.01}
SERIES = np.exp(np.stack([np.sin(np.arange(40.0)), np.cos(np.arange(40.0) / 2)], axis=1))


@pytest.fixture(
    scope="module",
    params=[{}, {"seasonal_period": 3, "log_transform": True}, {"head": "quantile", "cell": "transformer"}],
    ids=["plain", "seasonal", "quantiles of a transformer"],
)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecaster") / "m"
    ss.Forecaster(**SMALL, **request.param).fit(SERIES).save(folder)
    return runtime.load(folder)


def assert_same(found, expected) -> None:
    for left, right in zip(found, expected, strict=True):
        assert np.array_equal(left, right)


@pytest.mark.parametrize("pieces", [[40], [1] * 40, [0, 7, 1, 2, 30]])
def test_pieces(model, pieces):
    session, start = model.session(), 0
    for size in pieces:
        session.push(SERIES[start : start + size])
        start += size
    assert_same(session.forecast(5), model.forecast(SERIES, 5))
    assert_same(
        session.forecast(2, level=0.5, num_samples=9, seed=4),
        model.forecast(SERIES, 2, level=0.5, num_samples=9, seed=4),
    )


def test_the_next_step(model):
    session, ahead = model.session(), model._one_step_ahead(SERIES)
    first = model.seasonal_period
    for t, step in enumerate(SERIES[:-1]):
        found = session.push(step[None])
        if t < first:
            assert found is None
        else:
            for one, all_steps in zip(found, ahead, strict=True):
                assert one == pytest.approx(all_steps[t - first], rel=1e-6)


def test_too_early(model):
    with pytest.raises(ss.SettingsError, match=f"at least {model.seasonal_period + 1} steps before a forecast, got 0"):
        model.session().forecast(3)


def test_forks_states_and_pickles(model):
    session = model.session()
    session.push(SERIES[:20])
    copies = [session.fork(), model.session().restore(session.state()), pickle.loads(pickle.dumps(session))]
    session.push(SERIES[20:])
    for copy in copies:
        copy.push(SERIES[20:])
        assert_same(copy.forecast(3), session.forecast(3))
    session.reset()
    with pytest.raises(ss.SettingsError, match="before a forecast, got 0"):
        session.forecast(1)


def test_several_sessions(model):
    sessions, alone = [model.session() for _ in range(3)], [model.session() for _ in range(3)]
    for number, (one, other) in enumerate(zip(sessions, alone, strict=True)):
        for session in (one, other):
            session.push(SERIES[: 10 + number])
    steps = [SERIES[n] for n in range(3)]
    for found, session, step in zip(model.step_batch(sessions, steps), alone, steps, strict=True):
        assert_same(found, session.push(step[None]))
    before = [session.forecast(2) for session in sessions]
    with pytest.raises(ss.SettingsError, match="item 3"):
        model.step_batch(sessions, [*steps[:2], [1.0, np.nan]])
    for session, forecast in zip(sessions, before, strict=True):
        assert_same(session.forecast(2), forecast)


@pytest.mark.parametrize("items", [[[1.0, np.inf]], "text", [[1.0, 2.0, 3.0]]])
def test_wrong_values_change_nothing(model, items):
    session = model.session()
    session.push(SERIES)
    before = session.forecast(2)
    with pytest.raises(ss.SettingsError):
        session.push(items)
    assert_same(session.forecast(2), before)
