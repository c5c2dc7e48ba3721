"""Forecaster: a generator over series of numbers that forecasts their continuation."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.data.batching import TrainingBatch, pad_numbers
from stepscan.data.series.checks import are_numbers, checked_series, series_list
from stepscan.data.series.differences import steadiest_lag
from stepscan.data.series.time_step import parse_step
from stepscan.data.series.values import Values
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.yardsticks import naive_forecast
from stepscan.models.forecaster import ForecastingMixin
from stepscan.options import ForecastOptions, TrainingOptions
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.patterns.numeric_generator import NumericGenerator
from stepscan.processes.joining import join
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar

logger = logging.getLogger(__name__)
_MAX_ERROR = 1e300  # larger errors are clipped to it, so that their mean is finite
_OVERLAP = 32  # windows that start within the length of one


class Forecaster(ForecastingMixin, ForecastOptions, Estimator):
    """Forecasts the continuation of series of numbers.

    The network's input is `w_t = z_t − z_(t − s)`, where z is the value or its logarithm (`log_transform`) and s the
    `seasonal_period`; with a period of 0 it is z itself. A series is an array `[T]` or `[T, D]` of T time steps.
    """

    pattern: ClassVar[Any] = NumericGenerator

    def fit(self, X: Any, y: None = None, validation: Any = None) -> Self:
        """Train on series.

        Args:
            X: one series `[T]` or `[T, D]`, or several in a list.
            y: not used.
            validation: series; without it, the last tenth of each training series is held out.

        Raises:
            SettingsError: a setting is wrong, or a series is too short.
        """
        return self._fit(X, validation)

    def _data(self, X: Any, validation: Any) -> TrainingData:
        if not is_series(X):
            raise SettingsError(
                f"expected series of numbers, got {reprlib.repr(X)}; for texts use stepscan.LanguageModel"
            )
        parse_step(self.step)
        all_series = checked_series(series_list(X))
        self.tokenizers_, self.labels_ = {}, None
        valid = None if validation is None else checked_series(series_list(validation), all_series[0].shape[1])
        if valid == []:
            raise SettingsError("validation: expected at least one series, got none; give one, or omit validation")
        train = all_series
        if valid is None:
            train = [series[: len(series) - max(1, len(series) // 10)] for series in all_series]
            if self.verbose:
                ProgressBar().note("no validation data given: the last tenth of each series is held out")
        held_out = [(series, 0) for series in valid or ()] or list(zip(all_series, map(len, train), strict=True))
        suffix = "" if valid is not None else ", without the tenth held out,"
        names = [f"series {number}{suffix}" for number in range(1, len(train) + 1)]
        values = [self.modelled(series, name) for series, name in zip(train, names, strict=True)]
        steps = sum(map(len, values))
        shortest = min(map(len, [*train, *(valid or ())]))
        lag = steadiest_lag(values, shortest) if self.seasonal_period is None else 0
        self._choose_settings("series", steps, steps, lag=lag)
        for number, series in enumerate(valid or (), start=1):
            self._transformed(series, f"validation series {number}")  # an error now, not after an epoch
        inputs = [self._transformed(series, name)[1] for series, name in zip(train, names, strict=True)]
        _warn_of_constants(inputs, self.seasonal_period_)
        together = [*all_series, *(valid or ())]
        return TrainingData([(train, held_out)], valid is not None, sum(map(len, together)), lambda: together)

    @property
    def seasonal_period_(self) -> int:
        """See `ForecastingMixin.seasonal_period_`."""
        return self.effective_settings.seasonal_period or 0

    def _prepare(
        self, train: list[Values], held_out: list[tuple[Values, int]] | None, settings: TrainingOptions
    ) -> Task:
        """A new model and its training task; `held_out` are series, each validated on from an index on."""
        inputs = [self._transformed(series)[1] for series in train]
        self.model_ = self._build_model(inputs, max_length=lambda: self.effective_settings.bptt).to(settings.device)
        batches = self._windows(inputs, settings)
        if held_out is not None:
            self.yardstick_ = naive_forecast(held_out, self.seasonal_period_).to_dict()
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(self.model_, batches, evaluate, len(held_out or ()), greater_is_better=False)

    def _make_layers(self) -> Any:
        settings = self.effective_settings
        return self._layer(settings.embedding_size, settings.hidden_size, causal=True)

    def _make_model(self, inputs: Sequence[Values]) -> NumericGenerator:
        settings = self.effective_settings
        embedding = NumericEmbedding(
            inputs[0].shape[1], settings.embedding_size, self._input_dropout, settings.input_noise
        )
        layer = self._make_layers()
        try:
            return NumericGenerator(embedding.standardise(inputs), layer, self.head, settings.dropout)
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def _windows(self, inputs: Sequence[Values], settings: TrainingOptions) -> Buckets:
        """Overlapping windows of `bptt` steps and the step after each; each starts from the initial state."""
        length = self.effective_settings.bptt
        stride = max(1, length // _OVERLAP)
        windows = [
            series[start : start + length + 1]
            for series in inputs
            for start in range(0, max(1, len(series) - length), stride)
        ]

        def collate(indices: np.ndarray) -> TrainingBatch:
            x, targets = (pad_numbers([windows[i][a:b] for i in indices]) for a, b in ((None, -1), (1, None)))
            return TrainingBatch(x, targets, len(indices), int(x.lengths.sum()), x.mask.numel())

        return Buckets(np.array([len(window) - 1 for window in windows]), settings, collate)

    def _evaluate(self, held_out: Sequence[tuple[Values, int]]) -> dict[str, float]:
        """The loss, and the mean absolute error one step ahead, which may be huge at first but stays finite."""
        results = join(self.training_options()).map(self._losses_and_errors, held_out)
        totals, counts, errors = zip(*results, strict=True)
        mae = float(np.minimum(np.concatenate(errors), _MAX_ERROR).mean())
        return {"nats" if self.head == "gaussian" else "pinball": sum(totals) / sum(counts), "mae": mae}

    def _losses_and_errors(self, held_out: Sequence[tuple[Values, int]]) -> list[tuple[float, int, np.ndarray]]:
        """Of each series the loss, the number of values, and the absolute errors one step ahead."""
        results = []
        for series, start in held_out:
            with np.errstate(over="ignore"):
                median = self._one_step_ahead(series).median
            true = series[len(series) - len(median) :]
            errors = np.abs(true - median)[max(0, start - self.seasonal_period_ - 1) :].ravel()
            results.append((*self._loss_and_count(series, start), errors))
        return results


def is_series(X: Any) -> bool:
    """Whether the data are series of numbers (or a table) and not a text."""
    if isinstance(X, str) or not isinstance(X, Iterable):
        return False
    return hasattr(X, "columns") or are_numbers(series_list(X))


def _warn_of_constants(inputs: Sequence[Values], seasonal_period: int) -> None:
    """Log a warning if all training data, or one of their dimensions, are constant."""
    steps = np.concatenate(inputs)
    constant = np.flatnonzero(steps.min(axis=0) == steps.max(axis=0))
    if len(constant) == steps.shape[1]:
        what = "seasonal differences of the series" if seasonal_period else "series"
        logger.warning(f"nothing to learn: the {what} are constant")
    elif len(constant):
        logger.warning(f"dimension {constant[0] + 1} of the series is constant")
