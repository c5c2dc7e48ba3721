"""Forecaster: a generator over series of numbers that forecasts their continuation."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from stepscan.data.batching import TrainingBatch, pad_numbers
from stepscan.data.series.time_step import parse_step
from stepscan.data.series.values import Values
from stepscan.decoding import checked_whole, is_within
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.inference_models import InferenceGenerator
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.yardsticks import naive_forecast
from stepscan.memory import check_fits
from stepscan.options import ForecastOptions, TrainingOptions
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.patterns.numeric_generator import NumericGenerator
from stepscan.runtime.examples import as_list
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.state import select
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar

logger = logging.getLogger(__name__)
_MAX_ERROR = 1e300  # larger errors are clipped to it, so that their mean is finite
_OVERLAP = 32  # windows that start within the length of one


class Forecast(NamedTuple):
    """The next L steps, `[L, D]` each, in the units of the series."""

    median: Values
    low: Values  # lower end of the prediction interval
    high: Values  # upper end


class Forecaster(ForecastOptions, Estimator):
    """Forecasts the continuation of series of numbers.

    The network's input is `w_t = z_t − z_(t − s)`, where z is the value or its logarithm (`log_transform`) and s the
    `seasonal_period`; with a period of 0 it is z itself. A series is an array `[T]` or `[T, D]` of T time steps.
    """

    task: ClassVar[str] = "forecast"
    pattern: ClassVar[Any] = NumericGenerator
    inference_class: ClassVar[type] = InferenceGenerator

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

    def forecast(
        self, context: Any, length: int, *, level: float = 0.9, num_samples: int = 500, seed: int | None = 0
    ) -> Forecast:
        """Forecast the next `length` steps after a context, from sample paths of the model.

        Args:
            context: past values `[T]` or `[T, D]`, more than one seasonal period of them.
            length: steps to forecast.
            level: of the prediction interval, between 0 and 1: the share of sample paths between `low` and `high`.
            num_samples: number of sample paths.
            seed: random seed; None is a new one each time.

        Raises:
            NotFittedError: the estimator is not fitted.
            SettingsError: an argument is out of range, or the context is too short.
        """
        self.check_fitted()
        length, num_samples = checked_whole(length, "length", 1), checked_whole(num_samples, "num_samples", 1)
        if not is_within(level, 0, 1) or level in (0, 1):
            raise SettingsError(f"level: expected a number between 0 and 1, got {level!r}")
        if seed is not None:
            checked_whole(seed, "seed")
        [series] = checked_series([context], self.model_.embedding.size, "context")
        size = 16 * length * num_samples * series.shape[1]
        check_fits(size, f"{num_samples:,} sample paths of {length:,} steps", "use a smaller length or num_samples")
        z, w = self._transformed(series, "context")
        samples = self._sample_paths(w, length, num_samples, np.random.default_rng(seed))
        paths = np.concatenate([np.broadcast_to(z, (num_samples, *z.shape)), np.empty_like(samples)], axis=1)
        for t in range(length):
            previous = paths[:, len(z) + t - self.seasonal_period] if self.seasonal_period else 0
            paths[:, len(z) + t] = previous + samples[:, t]
        values = np.exp(paths[:, len(z) :]) if self.log_transform else paths[:, len(z) :]
        return Forecast(*np.quantile(values, [0.5, (1 - level) / 2, (1 + level) / 2], axis=0))

    @torch.inference_mode()
    def _sample_paths(self, w: Values, length: int, num_samples: int, random: np.random.Generator) -> Values:
        """Sample paths `[num_samples, length, D]` that continue `w [T, D]`."""
        outputs, state = self.model_(pad_numbers([w]).to(self._device))  # once: every path has the same context
        output, state = outputs.data[:, -1].expand(num_samples, -1, -1), select(state, [0] * num_samples)
        steps = []
        for t in range(length):
            probabilities = torch.from_numpy(random.random((num_samples, w.shape[1]))).to(self._device)
            x = self.model_.quantiles(output, probabilities)
            steps.append(x.cpu().numpy())
            if t < length - 1:
                output, state = self.model_.step(x, state)
        return np.stack(steps, axis=1)

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
        for number, series in enumerate(valid or (), start=1):
            self._transformed(series, f"validation series {number}")  # an error now, not after an epoch
        suffix = "" if valid is not None else ", without the tenth held out,"
        inputs = [self._transformed(series, f"series {n}{suffix}")[1] for n, series in enumerate(train, start=1)]
        _warn_of_constants(inputs, self.seasonal_period)
        steps = sum(map(len, inputs))
        self._choose_settings("series", steps, steps)
        together = [*all_series, *(valid or ())]
        return TrainingData([(train, held_out)], valid is not None, sum(map(len, together)), lambda: together)

    def _prepare(
        self, train: list[Values], held_out: list[tuple[Values, int]] | None, settings: TrainingOptions
    ) -> Task:
        """A new model and its training task; `held_out` are series, each validated on from an index on."""
        inputs = [self._transformed(series)[1] for series in train]
        self.model_ = self._build_model(inputs, max_length=lambda: self.effective_settings.bptt).to(settings.device)
        batches = self._windows(inputs, settings)
        if held_out is not None:
            self.yardstick_ = naive_forecast(held_out, self.seasonal_period).to_dict()
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(self.model_, batches, evaluate, len(held_out or ()), greater_is_better=False)

    def _make_model(self, inputs: Sequence[Values]) -> NumericGenerator:
        settings = self.effective_settings
        embedding = NumericEmbedding(
            inputs[0].shape[1], settings.embedding_size, self._input_dropout, settings.input_noise
        )
        layer = self._layer(settings.embedding_size, settings.hidden_size, causal=True)
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

        return Buckets([len(window) - 1 for window in windows], settings, collate)

    def _evaluate(self, held_out: Sequence[tuple[Values, int]]) -> dict[str, float]:
        """The loss, and the mean absolute error one step ahead, which may be huge at first but stays finite."""
        errors = []
        for series, start in held_out:
            with np.errstate(over="ignore"):
                median = self._one_step_ahead(series).median
            true = series[len(series) - len(median) :]
            errors.append(np.abs(true - median)[max(0, start - self.seasonal_period - 1) :].ravel())
        mae = float(np.minimum(np.concatenate(errors), _MAX_ERROR).mean())
        return {"nats" if self.head == "gaussian" else "pinball": self._loss(held_out), "mae": mae}

    @torch.inference_mode()
    def _loss(self, held_out: Sequence[tuple[Values, int]]) -> float:
        """The mean loss per value of each series from an index on, each value predicted from all before it."""
        total, count = 0.0, 0
        for series, start in held_out:
            _, w = self._transformed(series)
            outputs, _ = self.model_(pad_numbers([w[:-1]]).to(self._device))
            losses = self.model_.losses(outputs.data[0], torch.from_numpy(w[1:]).to(self._device))
            losses = losses[max(0, start - self.seasonal_period - 1) :]
            total, count = total + losses.sum().item(), count + losses.numel()
        return total / count

    def network_inputs(self, X: Any) -> list[Values]:
        """The network's input for each series: its seasonal differences `[T − s, D]`, s the seasonal period."""
        return [self._transformed(series)[1] for series in self._checked(X)]

    def _checked(self, X: Any) -> list[Values]:
        if isinstance(X, str):
            raise SettingsError("expected series of numbers, got text")
        checked = checked_series(series_list(X), self.model_.embedding.size)
        if not checked:
            raise SettingsError("expected at least one series of numbers, got none")
        return checked

    def score(self, X: Any, y: None = None) -> float:
        """Minus the loss per value (nats of a Gaussian head, pinball loss of a quantile head, both of standardised
        values): greater is better."""
        self.check_fitted()
        all_series = self._checked(X)
        for number, series in enumerate(all_series, start=1):
            self._check_length(len(series), f"series {number}")
        return -self._loss([(series, 0) for series in all_series])

    def metrics(self, X: Any, horizon: int = 0) -> dict[str, Any]:
        """Errors of forecasts of the last `horizon` steps of each series (0: of every step, one ahead).

        Returns:
            `mae` and `rmse`, mean absolute and root mean squared error; `naive_mae` and `naive_rmse` of the seasonal
            naive forecast (the value one `seasonal_period` before); `coverage_90`, the share of values within the 90 %
            interval; `nats` or `pinball`, the loss per standardised value; `numbers`, the number of values.

        Raises:
            NotFittedError: the estimator is not fitted.
            SettingsError: `horizon` is out of range, or a series is too short.
        """
        self.check_fitted()
        all_series = self._checked(X)
        horizon = checked_whole(horizon, "horizon")
        if any(0 < len(series) <= horizon for series in all_series):
            raise SettingsError(f"horizon: expected fewer steps than every series has, got {horizon}")
        suffix = f", without its last {horizon}," if horizon else ""
        for number, series in enumerate(all_series, start=1):
            self._check_length(len(series) - horizon, f"series {number}{suffix}")
        lag = max(1, self.seasonal_period)
        targets, medians, naive, is_covered = [], [], [], []
        for series in all_series:
            median, low, high = self.forecast(series[:-horizon], horizon) if horizon else self._one_step_ahead(series)
            start = len(series) - len(median)
            steps = np.arange(len(median))
            naive.append(series[start - lag + (steps % lag if horizon else steps)])
            targets.append(series[start:])
            medians.append(median)
            is_covered.append((low <= series[start:]) & (series[start:] <= high))
        true = np.concatenate(targets)
        errors, naive_errors = (np.abs(np.concatenate(forecasts) - true) for forecasts in (medians, naive))
        return {
            "mae": float(errors.mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "naive_mae": float(naive_errors.mean()),
            "naive_rmse": float(np.sqrt((naive_errors**2).mean())),
            "coverage_90": float(np.concatenate(is_covered).mean()),
            "nats" if self.head == "gaussian" else "pinball": self._loss([(series, 0) for series in all_series]),
            "numbers": int(true.size),
        }

    @torch.inference_mode()
    def _one_step_ahead(self, series: Values) -> Forecast:
        """Forecasts `[T − s − 1, D]` of each value from all before it, and 90 % intervals."""
        z, w = self._transformed(series)
        outputs = self.model_(pad_numbers([w[:-1]]).to(self._device))[0].data[0]
        levels = (torch.full(outputs.shape[:2], level, device=self._device) for level in (0.5, 0.05, 0.95))
        quantiles = [self.model_.quantiles(outputs, level).cpu().numpy() for level in levels]
        previous = z[1 : len(z) - self.seasonal_period] if self.seasonal_period else 0
        values = [previous + quantile for quantile in quantiles]
        return Forecast(*(np.exp(values) if self.log_transform else values))

    def _transformed(self, series: Values, name: str = "a series") -> tuple[Values, Values]:
        """z, the values or their logarithms, and w, the network's input: their seasonal differences."""
        self._check_length(len(series), name)
        if self.log_transform and series.min(initial=1) <= 0:
            raise SettingsError(
                f"{name} has values of 0 or below ({series.min():g}), which have no logarithm; omit log_transform"
            )
        z = np.log(series) if self.log_transform else series
        w = z[self.seasonal_period :] - z[: len(z) - self.seasonal_period] if self.seasonal_period else z
        return z, w

    def _check_length(self, length: int, name: str) -> None:
        if length < self.seasonal_period + 2:
            steps = "step" if length == 1 else "steps"
            raise SettingsError(f"{name} has {length} {steps}, but at least {self.seasonal_period + 2} are needed")


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


def series_list(X: Any) -> list[Any]:
    """Series as a list: one array `[T]` or `[T, D]`, or a pandas column or table, is one series; `[N, T, D]` and a list
    of series are several."""
    if hasattr(X, "__array__") and np.asarray(X).dtype.kind in "iuf":
        return list(X) if np.ndim(X) == 3 else [X]
    if hasattr(X, "columns"):
        return [X]  # as one, so that columns that are not numeric are an error
    items = as_list(X)
    return [items] if items and isinstance(items[0], int | float | np.number) else items
