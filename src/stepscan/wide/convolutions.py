"""Convolutional features of series: the proportion of the time at which each kernel's output exceeds a bias.

MiniRocket (Dempster, Schmidt & Webb 2021): 84 kernels at exponentially growing dilations, each with biases that are
quantiles of its output on training series; with several dimensions, the kernels are applied to sums of random subsets
of them, as in the authors' multivariate variant. As in MultiRocket (Tan et al. 2022), they are applied to the values
and to the differences between steps. Values are standardised in two ways, by the training data and per series, since
classes may differ in level or in shape. A few statistics per dimension are added, since kernels that sum to zero ignore
the level. Series may have any lengths. Needs only NumPy.

Dimension letters: N series, T time, D dimensions of a step, K banks (of 84 kernels with one bias each), F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.backends.batches import Array
from stepscan.wide.dilated_kernels import BLOCK, KERNELS, LENGTH, convolve, positive_proportions
from stepscan.wide.series_statistics import STATISTICS, Standardiser, series_statistics

FEATURES = 10_000
_SIXTHS = (3, 1, 1, 1)  # of the features by view: values, per-series standardised values, differences of both
_MAX_DILATIONS = 32  # per view
_MAX_CHANNELS = 9  # dimensions in a sum
_BIAS_SERIES = 6  # from which the biases of one bank are computed
_BIAS_STEPS = 4096  # of each of them, at most
_MAX_BANKS, _MAX_VALUE = 2**12, 2**24  # in a file
_MAX_EMPHASIS = 50  # weight of a statistic in features, so that all together weigh at most half of the others
_GOLDEN_RATIO = (5**0.5 + 1) / 2


class _Banks(NamedTuple):
    """K banks of the 84 kernels with one bias each; banks that differ only in their biases are consecutive."""

    views: Array  # [K] int32, index of the view, see _SIXTHS
    dilations: Array  # [K] int32
    channels: Array  # [K, 9] int32, dimensions in the sum, ascending, then −1
    biases: Array  # [K, 84] float32


class ConvolutionFeatures:
    """The features of series `[T, D]`; `fit` makes one.

    Args:
        scale: mean and deviation of each dimension in the training data.
        banks: the kernels.
    """

    def __init__(self, scale: Standardiser, banks: _Banks) -> None:
        self._scale, self._banks = scale, banks
        keys = np.column_stack([banks.views, banks.dilations, banks.channels])
        starts = [0, *(np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1).tolist(), len(keys)]
        self._groups = [slice(*ends) for ends in pairwise(starts)]

    @property
    def size(self) -> int:
        """F, the number of features."""
        return self._banks.biases.size + STATISTICS * len(self._scale.mean)

    @property
    def emphasis(self) -> Array:
        """`[F]`, factors for standardised features in a penalised fit: the few statistics have larger ones."""
        convolutional, statistics = self._banks.biases.size, STATISTICS * len(self._scale.mean)
        weight = np.sqrt(np.clip(convolutional / (2 * statistics), 1, _MAX_EMPHASIS))
        return np.concatenate([np.ones(convolutional), np.full(statistics, weight)])

    @classmethod
    def fit(cls, series: Sequence[Array], features: int = FEATURES, seed: int = 0) -> Self:
        """Standardisation, dilations and biases from training series.

        Args:
            series: `[T, D]` each.
            features: their approximate number.
            seed: seed of the sums of dimensions, and of the series that biases are computed from.

        Raises:
            ValueError: all series are empty.
        """
        series = [values for values in series if len(values)]
        if not series:
            raise ValueError("series: expected at least one with a step, got none")
        random = np.random.default_rng(seed)
        scale = Standardiser.fit(series)
        views = np.arange(len(_SIXTHS)).repeat([max(1, features * sixths // (6 * KERNELS)) for sixths in _SIXTHS])
        longest = max(map(len, series))
        dilations = np.concatenate([_dilations(longest, count) for count in np.bincount(views)])
        channels = _random_channels(len(views), len(scale.mean), random)
        biases = np.zeros((len(views), KERNELS), np.float32)
        fitted = cls(scale, _Banks(views.astype(np.int32), dilations, channels, biases))
        for group in fitted._groups:
            fitted._fit_biases(group, series, random)
        return fitted

    def _fit_biases(self, group: slice, series: Sequence[Array], random: np.random.Generator) -> None:
        """Quantiles of each kernel's output on one series, at levels from a low-discrepancy sequence in [0, 1]."""
        count = group.stop - group.start
        indices = np.arange(group.start * KERNELS + 1, group.stop * KERNELS + 1)
        levels = (indices * _GOLDEN_RATIO % 1).reshape(KERNELS, count)
        chosen = random.choice(len(series), min(_BIAS_SERIES, len(series)), replace=False)
        kernels = random.permutation(KERNELS)
        for turn, index in enumerate(chosen):
            signal = self._signal(self._views([np.ascontiguousarray(series[index], np.float64)]), group)
            start = int(random.integers(max(1, signal.shape[1] - _BIAS_STEPS + 1)))
            stop = min(signal.shape[1], start + _BIAS_STEPS)
            if start < stop:
                outputs = convolve(signal, int(self._banks.dilations[group.start]), start, stop)[:, 0]
                for kernel in kernels[turn :: len(chosen)]:
                    self._banks.biases[group, kernel] = np.quantile(outputs[kernel], levels[kernel])

    def transform(self, series: Sequence[Array]) -> Array:
        """The features of each series, float32 `[N, F]`; each row is the same to the bit in any batch."""
        features = np.empty((len(series), self.size), np.float32)
        convolutional = features[:, : self._banks.biases.size].reshape(len(series), -1, KERNELS)
        for rows in _batches(series):
            batch = [np.ascontiguousarray(series[row], np.float64) for row in rows]
            views = self._views(batch)
            statistics = [series_statistics(self._scale.transform(values)) for values in batch]
            features[rows, self._banks.biases.size :] = statistics
            for index, group in enumerate(self._groups):
                biases, dilation = self._banks.biases[group], int(self._banks.dilations[group.start])
                signal = self._signal(views, group)
                convolutional[rows, group] = positive_proportions(signal, dilation, biases, index % 2)
        return features

    def _views(self, series: Sequence[Array]) -> list[Array]:
        """The four views of series of one length, `[D, N, T]` float32; T − 1 steps for differences."""
        shape = (len(self._scale.mean), len(series), len(series[0]))
        values, shapes = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for index, data in enumerate(series):
            values[:, index] = self._scale.transform(data).T
            shapes[:, index] = Standardiser.fit([data]).transform(data).T
        return [values, shapes, np.diff(values), np.diff(shapes)]

    def _signal(self, views: Sequence[Array], group: slice) -> Array:
        """The input of the kernels of a group, a sum of dimensions, `[N, T]`."""
        first, *others = self._banks.channels[group.start].tolist()
        values = views[self._banks.views[group.start]]
        total = values[first].copy()
        for other in others:
            if other >= 0:
                total += values[other]
        return total

    # Storage ----------------------------------------------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """Plain data for `config.json`, from which `from_tensors` rebuilds this with the tensors."""
        return {"name": "convolutions", "dimensions": len(self._scale.mean), "banks": len(self._banks.views)}

    def tensors(self) -> dict[str, Array]:
        """The fitted arrays by name."""
        return self._scale._asdict() | self._banks._asdict()

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """The inverse of `description` and `tensors`.

        Raises:
            ValueError: the tensors do not match the description, or have values that `fit` cannot produce.
        """
        dimensions, banks = _sizes(description)
        shapes = {
            "mean": (np.float64, (dimensions,)),
            "deviation": (np.float64, (dimensions,)),
            "views": (np.int32, (banks,)),
            "dilations": (np.int32, (banks,)),
            "channels": (np.int32, (banks, _MAX_CHANNELS)),
            "biases": (np.float32, (banks, KERNELS)),
        }
        if set(tensors) != set(shapes):
            raise ValueError(f"expected the tensors {', '.join(sorted(shapes))}, got {', '.join(sorted(tensors))}")
        for name, (dtype, shape) in shapes.items():
            _check(name, tensors[name], np.dtype(dtype), shape)
        _check_values(tensors, dimensions)
        return cls(
            Standardiser(tensors["mean"], tensors["deviation"]), _Banks(*(tensors[name] for name in _Banks._fields))
        )


def _dilations(length: int, banks: int) -> Array:
    """One dilation per bank, ascending from 1 to where a kernel is as long as the longest series."""
    exponents = np.linspace(0, np.log2(max(1, (length - 1) / (LENGTH - 1))), min(banks, _MAX_DILATIONS))
    return (2**exponents).astype(np.int32)[np.arange(banks) * len(exponents) // banks]


def _random_channels(banks: int, dimensions: int, random: np.random.Generator) -> Array:
    """The dimensions in the sum of each bank; their number is log-uniform."""
    channels = np.full((banks, _MAX_CHANNELS), -1, np.int32)
    for row in channels:
        count = int(2 ** random.uniform(0, np.log2(min(dimensions, _MAX_CHANNELS) + 1)))
        row[:count] = np.sort(random.choice(dimensions, count, replace=False))
    return channels


def _batches(series: Sequence[Array]) -> Iterator[Array]:
    """Indices of series of one length, in batches."""
    lengths = np.array([len(values) for values in series], np.int64)
    for length in np.unique(lengths).tolist():
        (rows,) = np.nonzero(lengths == length)
        size = max(1, BLOCK // max(1, length))
        yield from np.split(rows, range(size, len(rows), size))


def _sizes(description: Mapping[str, Any]) -> tuple[int, int]:
    """The numbers of dimensions and banks in a description, checked."""
    keys = {"name", "dimensions", "banks"}
    if set(description) != keys:
        raise ValueError(f"expected {', '.join(sorted(keys))}, got {', '.join(sorted(map(str, description)))}")
    for name, most in (("dimensions", _MAX_VALUE), ("banks", _MAX_BANKS)):
        if type(description[name]) is not int or not 1 <= description[name] <= most:
            raise ValueError(f"{name}: expected a whole number from 1 to {most}, got {description[name]!r:.60}")
    return description["dimensions"], description["banks"]


def _check(name: str, tensor: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ValueError(f"{name}: expected {dtype} {list(shape)}, got {tensor.dtype} {list(tensor.shape)}")
    if dtype.kind == "f" and not np.isfinite(tensor).all():
        raise ValueError(f"{name}: expected finite values, got others")


def _check_values(tensors: Mapping[str, Array], dimensions: int) -> None:
    if (tensors["deviation"] <= 0).any():
        raise ValueError("deviation: expected values above 0, got others")
    for name, least, most in (
        ("views", 0, len(_SIXTHS) - 1),
        ("dilations", 1, _MAX_VALUE),
        ("channels", -1, dimensions - 1),
    ):
        if ((tensors[name] < least) | (tensors[name] > most)).any():
            raise ValueError(f"{name}: expected whole numbers from {least} to {most}, got others")
    channels = tensors["channels"]
    ascending = (channels[:, 1:] > channels[:, :-1]) | (channels[:, 1:] == -1)
    if (channels[:, 0] < 0).any() or not ascending.all() or ((channels[:, :-1] < 0) & (channels[:, 1:] >= 0)).any():
        raise ValueError("channels: expected dimensions in ascending order, then -1, got another order")
