"""Features of a series by fixed convolutions: how much of the time each kernel's output exceeds a bias.

MiniRocket (Dempster, Schmidt & Webb 2021): 84 kernels at exponentially growing dilations, each with biases that are
quantiles of its output on training series; of several dimensions, a random few are added up first, as the authors'
multivariate variant does. As in MultiRocket (Tan et al. 2022), the differences from step to step are looked at beside
the values. Values are standardised in two ways, by the training data and each series by itself, because some classes
differ by size and others by shape. A few levels and spreads a dimension, which kernels that sum to zero cannot see,
complete them. Series of any lengths are taken as they are. Needs NumPy alone.

Dimension letters: N series, T time, D dimensions of a step, K banks (of 84 kernels with one bias each), F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.runtime.batches import Array
from stepscan.runtime.wide.dilated_kernels import BLOCK, KERNELS, LENGTH, outputs, shares
from stepscan.runtime.wide.series_statistics import LEVELS, Scale, levels

FEATURES = 10_000
_SIXTHS = (3, 1, 1, 1)  # of the features: values, values of each series standardised by itself, differences of both
_DILATIONS = 32  # at most a view
_TOGETHER = 9  # dimensions that are added up, at most
_EXAMPLES = 6  # series that the biases of one bank are quantiles of
_STEPS = 4096  # of a series that are looked at for that
_MOST_BANKS, _LARGEST = 2**12, 2**24  # in a file
_EMPHASIS = 50  # how many other features one level is worth, at most, and all levels together no more than half of them
_GOLDEN = (5**0.5 + 1) / 2


class _Banks(NamedTuple):
    """84 kernels with a bias each, K times; those that differ in nothing else follow each other."""

    views: Array  # [K] int32, which of the four, see _SIXTHS
    dilations: Array  # [K] int32
    channels: Array  # [K, 9] int32: dimensions that are added up, ascending, then −1
    biases: Array  # [K, 84] float32


class Convolutions:
    """Features of series `[T, D]`.

    Args:
        scale: mean and deviation of each dimension in the training data.
        banks: the kernels.
    """

    def __init__(self, scale: Scale, banks: _Banks) -> None:
        self._scale, self._banks = scale, banks
        keys = np.column_stack([banks.views, banks.dilations, banks.channels])
        starts = [0, *(np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1).tolist(), len(keys)]
        self._groups = [slice(*ends) for ends in pairwise(starts)]

    @property
    def size(self) -> int:
        """F, how many features there are."""
        return self._banks.biases.size + LEVELS * len(self._scale.mean)

    @property
    def emphasis(self) -> Array:
        """`[F]`: how much larger than the others a standardised feature is to be for a fit with a penalty: levels are
        few, and would drown."""
        convolved, few = self._banks.biases.size, LEVELS * len(self._scale.mean)
        weight = np.sqrt(np.clip(convolved / (2 * few), 1, _EMPHASIS))
        return np.concatenate([np.ones(convolved), np.full(few, weight)])

    @classmethod
    def learn(cls, series: Sequence[Array], features: int = FEATURES, seed: int = 0) -> Self:
        """Scales, dilations and biases for series like these.

        Args:
            series: `[T, D]` each, of the training data; at least one has a step.
            features: about how many.
            seed: of which dimensions are added up, and which series the biases are learned from.
        """
        series = [one for one in series if len(one)]
        if not series:
            raise ValueError("expected series to learn from, got none that has a step")
        random = np.random.default_rng(seed)
        scale = Scale.of(series)
        views = np.arange(len(_SIXTHS)).repeat([max(1, features * sixths // (6 * KERNELS)) for sixths in _SIXTHS])
        longest = max(map(len, series))
        dilations = np.concatenate([_dilations(longest, many) for many in np.bincount(views)])
        channels = _drawn(len(views), len(scale.mean), random)
        biases = np.zeros((len(views), KERNELS), np.float32)
        found = cls(scale, _Banks(views.astype(np.int32), dilations, channels, biases))
        for group in found._groups:
            found._learn_biases(group, series, random)
        return found

    def _learn_biases(self, group: slice, series: Sequence[Array], random: np.random.Generator) -> None:
        """Each kernel's are quantiles of its output on one series, at fractions that fill [0, 1] evenly."""
        several = group.stop - group.start
        places = np.arange(group.start * KERNELS + 1, group.stop * KERNELS + 1)
        fractions = (places * _GOLDEN % 1).reshape(KERNELS, several)
        chosen = random.choice(len(series), min(_EXAMPLES, len(series)), replace=False)
        kernels = random.permutation(KERNELS)
        for turn, place in enumerate(chosen):
            signal = self._signal(self._views([np.ascontiguousarray(series[place], np.float64)]), group)
            start = int(random.integers(max(1, signal.shape[1] - _STEPS + 1)))
            stop = min(signal.shape[1], start + _STEPS)
            if start < stop:
                found = outputs(signal, int(self._banks.dilations[group.start]), start, stop)[:, 0]
                for kernel in kernels[turn :: len(chosen)]:
                    self._banks.biases[group, kernel] = np.quantile(found[kernel], fractions[kernel])

    def matrix(self, series: Sequence[Array]) -> Array:
        """The features of each series, float32 `[N, F]`: the same bits in any company."""
        found = np.empty((len(series), self.size), np.float32)
        convolved = found[:, : self._banks.biases.size].reshape(len(series), -1, KERNELS)
        for rows in _of_one_length(series):
            several = [np.ascontiguousarray(series[row], np.float64) for row in rows]
            views = self._views(several)
            found[rows, self._banks.biases.size :] = [levels(self._scale.standardised(one)) for one in several]
            for turn, group in enumerate(self._groups):
                biases, dilation = self._banks.biases[group], int(self._banks.dilations[group.start])
                convolved[rows, group] = shares(self._signal(views, group), dilation, biases, turn % 2)
        return found

    def _views(self, series: Sequence[Array]) -> list[Array]:
        """Series of one length in each view: `[D, N, T]` float32, T − 1 for differences."""
        shape = (len(self._scale.mean), len(series), len(series[0]))
        values, shapes = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for place, one in enumerate(series):
            values[:, place] = self._scale.standardised(one).T
            shapes[:, place] = Scale.of([one]).standardised(one).T
        return [values, shapes, np.diff(values), np.diff(shapes)]

    def _signal(self, views: Sequence[Array], group: slice) -> Array:
        """What the kernels of a group are applied to: the sum of some dimensions, `[N, T]`."""
        first, *others = self._banks.channels[group.start].tolist()
        values = views[self._banks.views[group.start]]
        total = values[first].copy()
        for other in others:
            if other >= 0:
                total += values[other]
        return total

    # Storage ----------------------------------------------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What `from_tensors` needs beside the tensors, as JSON can say it."""
        return {"name": "convolutions", "dimensions": len(self._scale.mean), "banks": len(self._banks.views)}

    def tensors(self) -> dict[str, Array]:
        """Scales, and the views, dilations, dimensions and biases of the banks."""
        return self._scale._asdict() | self._banks._asdict()

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """What `description` and `tensors` told.

        Raises:
            ValueError: the tensors are not those of the description, or hold what `learn` does not make.
        """
        dimensions, banks = _sizes(description)
        shapes = {
            "mean": (np.float64, (dimensions,)),
            "deviation": (np.float64, (dimensions,)),
            "views": (np.int32, (banks,)),
            "dilations": (np.int32, (banks,)),
            "channels": (np.int32, (banks, _TOGETHER)),
            "biases": (np.float32, (banks, KERNELS)),
        }
        if set(tensors) != set(shapes):
            raise ValueError(f"expected the tensors {', '.join(sorted(shapes))}, got {', '.join(sorted(tensors))}")
        for name, (dtype, shape) in shapes.items():
            _check(name, tensors[name], np.dtype(dtype), shape)
        _check_values(tensors, dimensions)
        return cls(
            Scale(*(tensors[name] for name in Scale._fields)), _Banks(*(tensors[name] for name in _Banks._fields))
        )


def _dilations(length: int, banks: int) -> Array:
    """Ascending, from 1 to where a kernel is as long as the longest series; each several times if there are many."""
    exponents = np.linspace(0, np.log2(max(1, (length - 1) / (LENGTH - 1))), min(banks, _DILATIONS))
    return (2**exponents).astype(np.int32)[np.arange(banks) * len(exponents) // banks]


def _drawn(banks: int, dimensions: int, random: np.random.Generator) -> Array:
    """For each bank which dimensions are added up: few more often than many."""
    channels = np.full((banks, _TOGETHER), -1, np.int32)
    for row in channels:
        many = int(2 ** random.uniform(0, np.log2(min(dimensions, _TOGETHER) + 1)))
        row[:many] = np.sort(random.choice(dimensions, many, replace=False))
    return channels


def _of_one_length(series: Sequence[Array]) -> Iterator[Array]:
    """Which series are of one length, as many at a time as are computed at once."""
    lengths = np.array([len(one) for one in series], np.int64)
    for length in np.unique(lengths).tolist():
        (rows,) = np.nonzero(lengths == length)
        several = max(1, BLOCK // max(1, length))
        yield from np.split(rows, range(several, len(rows), several))


def _sizes(description: Mapping[str, Any]) -> tuple[int, int]:
    """How many dimensions and banks a description tells of."""
    wanted = {"name", "dimensions", "banks"}
    if set(description) != wanted:
        raise ValueError(f"expected {', '.join(sorted(wanted))}, got {', '.join(sorted(map(str, description)))}")
    for name, most in (("dimensions", _LARGEST), ("banks", _MOST_BANKS)):
        if type(description[name]) is not int or not 1 <= description[name] <= most:
            raise ValueError(f"{name}: expected a whole number from 1 to {most}, got {description[name]!r:.60}")
    return description["dimensions"], description["banks"]


def _check(name: str, tensor: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ValueError(f"{name}: expected {dtype} {list(shape)}, got {tensor.dtype} {list(tensor.shape)}")
    if dtype.kind == "f" and not np.isfinite(tensor).all():
        raise ValueError(f"{name}: expected finite numbers")


def _check_values(tensors: Mapping[str, Array], dimensions: int) -> None:
    if (tensors["deviation"] <= 0).any():
        raise ValueError("deviation: expected numbers above 0")
    for name, least, most in (
        ("views", 0, len(_SIXTHS) - 1),
        ("dilations", 1, _LARGEST),
        ("channels", -1, dimensions - 1),
    ):
        if ((tensors[name] < least) | (tensors[name] > most)).any():
            raise ValueError(f"{name}: expected whole numbers from {least} to {most}")
    channels = tensors["channels"]
    ascending = (channels[:, 1:] > channels[:, :-1]) | (channels[:, 1:] == -1)
    if (channels[:, 0] < 0).any() or not ascending.all() or ((channels[:, :-1] < 0) & (channels[:, 1:] >= 0)).any():
        raise ValueError("channels: expected dimensions in ascending order, then -1")
