"""Features of series by fixed convolutions: their values, the same bits in any company, and files that are not ours."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from stepscan.backends.batches import Array
from stepscan.wide.convolutions import ConvolutionFeatures
from stepscan.wide.dilated_kernels import KERNELS, convolve, positive_proportions
from stepscan.wide.series_statistics import STATISTICS, Standardiser, series_statistics

PLACES = sorted(combinations(range(9), 3), key=lambda places: places[::-1])


def _numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def _by_hand(signal: Array, kernel: int, dilation: int) -> list[float]:
    """What the sum over nine values says, zeros outside."""
    weights = [2 if place in PLACES[kernel] else -1 for place in range(9)]
    found = []
    for time in range(len(signal)):
        times = [time + (place - 4) * dilation for place in range(9)]
        found.append(sum(w * signal[t] for w, t in zip(weights, times, strict=True) if 0 <= t < len(signal)))
    return found


@pytest.mark.parametrize(("length", "dilation"), [(30, 1), (30, 3), (5, 2), (1, 1), (12, 40)])
def test_a_kernel_is_a_sum_of_nine_values(length: int, dilation: int) -> None:
    signal = _numbers(length).astype(np.float32)
    found = convolve(signal[None], dilation, 0, length)[:, 0]
    np.testing.assert_allclose(found, [_by_hand(signal, kernel, dilation) for kernel in range(KERNELS)], atol=2e-5)
    middle = length // 2
    np.testing.assert_array_equal(convolve(signal[None], dilation, middle, length)[:, 0], found[:, middle:])


@pytest.mark.parametrize("length", [6, 8, 9, 40, 4500])
def test_shares_count_how_often_a_bias_is_exceeded(length: int) -> None:
    signal = _numbers(length).astype(np.float32)
    biases = _numbers(3, KERNELS, seed=1).astype(np.float32)
    found = positive_proportions(signal[None], 2, biases, 1)[0]
    all_outputs = convolve(signal[None], 2, 0, length)[:, 0]
    for kernel in range(KERNELS):
        reaches_out = kernel % 2 == 1 or length <= 16  # 16: where no place is far enough from both ends
        seen = all_outputs[kernel] if reaches_out else all_outputs[kernel, 8:-8]
        expected = (seen > biases[:, kernel, None]).mean(axis=1)
        np.testing.assert_array_equal(found[:, kernel], expected.astype(np.float32))


def test_a_share_by_hand() -> None:
    """Kernel 0 is 2 at the first three places: at the time t it yields 3 · (x[t−4] + x[t−3] + x[t−2]) − Σ x."""
    signal = np.array([[0, 0, 1, 0, 0, 0, 0, 0, 0, 0]], np.float32)  # 2 at times 4, 5 and 6, −1 at 0, 1, 2 and 3
    assert convolve(signal, 1, 0, 10)[0, 0].tolist() == [-1, -1, -1, -1, 2, 2, 2, 0, 0, 0]
    biases = np.repeat(np.array([[-1.5], [-0.5], [0], [2]], np.float32), KERNELS, axis=1)
    expected = np.array([1, 0.6, 0.3, 0], np.float32)
    assert positive_proportions(signal, 1, biases, 0)[0, :, 0].tolist() == expected.tolist()
    assert positive_proportions(signal, 1, biases, 1)[0, :, 0].tolist() == [1, 1, 1, 0]  # at times 4 and 5 alone


def test_levels_by_hand() -> None:
    found = series_statistics(np.array([[1.0, 0.0], [3.0, -1.0], [5.0, 4.0]]))
    expected = [3, 1, np.sqrt(8 / 3), np.sqrt(14 / 3), 1, -1, 5, 4, 1, 0, 5, 4, np.log(3), np.log(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert series_statistics(np.zeros((0, 2))).tolist() == [0] * 2 * STATISTICS


def test_scale_is_that_of_all_steps_and_holds_at_any_size() -> None:
    series = [_numbers(5, 2) + np.array([100, 0]), _numbers(9, 2, seed=1)]
    joined = np.concatenate(series)
    for size in (1, 1e300, 1e-300):
        scale = Standardiser.fit([one * size for one in series])
        np.testing.assert_allclose(scale.mean, joined.mean(axis=0) * size, rtol=1e-12)
        np.testing.assert_allclose(scale.deviation, joined.std(axis=0) * size, rtol=1e-12)
    assert Standardiser.fit([np.full((4, 1), 0.1)]).deviation.tolist() == [1]
    assert Standardiser.fit([np.array([[0.0], [5e-324]])]).transform(np.array([[1.0]])).tolist() == [[1]]
    assert Standardiser.fit([np.array([[0.0], [1e-300]])]).transform(np.array([[1.0]])).tolist() == [[1e6]]


def _mixed_lengths() -> list[Array]:
    return [_numbers(length, 3, seed=length) for length in (1, 2, 8, 24, 100, 100, 0, 24, 3000)]


def test_a_series_has_the_same_bits_in_any_company() -> None:
    series = _mixed_lengths()
    convolutions = ConvolutionFeatures.fit(series, features=2000)
    together = convolutions.transform(series)
    assert together.shape == (9, convolutions.size)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for one, row in zip(series, together, strict=True):
        np.testing.assert_array_equal(convolutions.transform([one])[0], row)
        np.testing.assert_array_equal(convolutions.transform([np.asfortranarray(one)])[0], row)
    np.testing.assert_array_equal(convolutions.transform(series[::-1]), together[::-1])


def test_learning_is_by_the_seed_alone() -> None:
    series = _mixed_lengths()
    first, second, other = (ConvolutionFeatures.fit(series, features=2000, seed=seed).tensors() for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["biases"], other["biases"])


def test_biases_are_quantiles() -> None:
    """On average over the kernels a series like those learned from exceeds half of the biases."""
    series = [_numbers(200, 1, seed=seed) for seed in range(40)]
    convolutions = ConvolutionFeatures.fit(series[:20])
    found = convolutions.transform(series[20:])[:, :-STATISTICS]
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert 8000 < convolutions.size <= 10_000 + STATISTICS


@pytest.mark.parametrize("series", [[np.full((50, 2), 7.0)], [np.zeros((1, 1))], [np.full((9, 1), 1e308)] * 3])
def test_series_that_never_change_have_features(series: list[Array]) -> None:
    convolutions = ConvolutionFeatures.fit(series, features=1000)
    assert np.isfinite(convolutions.transform(series)).all()
    assert np.isfinite(convolutions.transform([np.full((30, series[0].shape[1]), -1e308)])).all()


def test_each_half_tells_what_the_other_cannot() -> None:
    """Size is in values by the training data's scale, not in those of each series by itself; level in levels alone."""
    series = [_numbers(64, 1, seed=seed) for seed in range(8)]
    convolutions = ConvolutionFeatures.fit(series, features=5000)
    small, large, high = convolutions.transform([series[0], 3 * series[0], series[0] + 4])
    views = convolutions.tensors()["views"].repeat(KERNELS)
    assert np.abs(small - large)[:-STATISTICS][views == 0].mean() > 0.05
    assert np.abs(small - large)[:-STATISTICS][views == 1].max() <= 2 / 64  # rounding may move a value over a bias
    assert np.abs(small - high)[:-STATISTICS][views == 2].max() <= 2 / 63
    scale = convolutions.tensors()["deviation"][0]
    assert (high - small)[-STATISTICS] == pytest.approx(4 / scale, rel=1e-6)
    assert convolutions.emphasis[0] == 1
    assert convolutions.emphasis[-1] == pytest.approx(50**0.5)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(ValueError, match="series: expected at least one with a step, got none"):
        ConvolutionFeatures.fit([np.zeros((0, 2))])


# Storage --------------------------------------------------------------------------------------------------------------


def test_what_is_stored_gives_the_same_features() -> None:
    series = _mixed_lengths()
    convolutions = ConvolutionFeatures.fit(series, features=1000)
    again = ConvolutionFeatures.from_tensors(convolutions.description(), convolutions.tensors())
    assert convolutions.description() == {"name": "convolutions", "dimensions": 3, "banks": 8}
    assert again.size == convolutions.size == 8 * KERNELS + 3 * STATISTICS
    np.testing.assert_array_equal(again.transform(series), convolutions.transform(series))


@pytest.mark.parametrize(
    ("description", "tensors", "message"),
    [
        ({"banks": 10**12}, {}, "banks: expected a whole number from 1 to 4096, got 1000000000000"),
        ({"dimensions": True}, {}, "dimensions: expected a whole number from 1 to 16777216, got True"),
        ({"more": 1}, {}, "expected banks, dimensions, name, got banks, dimensions, more, name"),
        ({"dimensions": 4}, {}, "mean: expected float64 [4], got float64 [3]"),
        ({}, {"more": np.zeros(1)}, "expected the tensors biases, channels"),
        ({}, {"biases": np.full((8, KERNELS), np.nan, np.float32)}, "biases: expected finite values"),
        ({}, {"deviation": np.zeros(3)}, "deviation: expected values above 0"),
        ({}, {"views": np.full(8, 4, np.int32)}, "views: expected whole numbers from 0 to 3"),
        ({}, {"dilations": np.zeros(8, np.int32)}, "dilations: expected whole numbers from 1 to 16777216"),
        ({}, {"channels": np.full((8, 9), 3, np.int32)}, "channels: expected whole numbers from -1 to 2"),
        ({}, {"channels": np.zeros((8, 9), np.int32)}, "channels: expected dimensions in ascending order, then -1"),
        ({}, {"channels": np.full((8, 9), -1, np.int32)}, "channels: expected dimensions in ascending order, then -1"),
    ],
)
def test_hostile_files_are_refused(description: dict[str, Any], tensors: dict[str, Any], message: str) -> None:
    convolutions = ConvolutionFeatures.fit(_mixed_lengths(), features=1000)
    with pytest.raises(ValueError, match=re.escape(message)):
        ConvolutionFeatures.from_tensors(convolutions.description() | description, convolutions.tensors() | tensors)
