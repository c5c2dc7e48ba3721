"""Forecaster: a generator over series of numbers, which forecasts their continuation."""

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
from stepscan.estimators.examples import Buckets, task_of
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import GeneratorNetwork
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
_HUGE = 1e300  # an error that stands for all that are larger
_WINDOWS = 32  # begin within the length of one: how far they overlap


class Forecast(NamedTuple):
    """The next L steps, `[L, D]` each, in the numbers' own units."""

    median: Values
    low: Values  # the interval's ends
    high: Values


class Forecaster(ForecastOptions, Estimator):
    """Learns series of numbers, and forecasts their continuation.

    What the network reads is `w_t = z_t − z_(t − s)`, where z is the value or its logarithm (`log_transform`) and s the
    `seasonal_period`; with a period of 0 it is z itself. A series is an array `[T]` or `[T, D]` of T time steps.
    """

    task: ClassVar[str] = "forecast"
    pattern: ClassVar[Any] = NumericGenerator
    adaptor: ClassVar[type] = GeneratorNetwork

    def fit(self, X: Any, y: None = None, validation: Any = None) -> Self:
        """Learn from one series `[T]` or `[T, D]`, or several in a list; validated on the series `validation`, or on
        the last tenth of each.

        Raises:
            SettingsError: a setting is wrong, or a series is too short.
        """
        return self._fit(X, validation)

    def forecast(
        self, context: Any, length: int, *, level: float = 0.9, num_samples: int = 500, seed: int | None = 0
    ) -> Forecast:
        """The next `length` steps after a context, from sample paths of the model.

        Args:
            context: past values `[T]` or `[T, D]`, more than one seasonal period of them.
            length: steps to forecast.
            level: of the prediction interval, between 0 and 1: the share of sample paths between `low` and `high`.
            num_samples: number of sample paths.
            seed: random seed; None is a new one each time.

        Raises:
            NotFittedError: the model was not trained.
            SettingsError: an argument is out of range, or the context is too short.
        """
        self._check_fitted()
        length, num_samples = checked_whole(length, "length", 1), checked_whole(num_samples, "num_samples", 1)
        if not is_within(level, 0, 1) or level in (0, 1):
            raise SettingsError(f"level: expected a number between 0 and 1, got {level!r}")
        if seed is not None:
            checked_whole(seed, "seed")
        [series] = checked_series([context], self.model_.embedding.size, "context")
        size = 16 * length * num_samples * series.shape[1]
        check_fits(size, f"{num_samples:,} sample paths of {length:,} steps", "use a smaller length or num_samples")
        z, w = self._changes(series, "context")
        simulated = self._simulated(w, length, num_samples, np.random.default_rng(seed))
        levels = np.concatenate([np.broadcast_to(z, (num_samples, *z.shape)), np.empty_like(simulated)], axis=1)
        for t in range(length):
            before = levels[:, len(z) + t - self.seasonal_period] if self.seasonal_period else 0
            levels[:, len(z) + t] = before + simulated[:, t]
        outcomes = np.exp(levels[:, len(z) :]) if self.log_transform else levels[:, len(z) :]
        return Forecast(*np.quantile(outcomes, [0.5, (1 - level) / 2, (1 + level) / 2], axis=0))

    @torch.inference_mode()
    def _simulated(self, w: Values, length: int, num_samples: int, random: np.random.Generator) -> Values:
        """Sample paths `[num_samples, length, D]` that continue `w [T, D]`."""
        read, state = self.model_(pad_numbers([w]).to(self._device))  # once: every path has the same context
        known, state, drawn = read.data[:, -1].expand(num_samples, -1, -1), select(state, [0] * num_samples), []
        for t in range(length):
            shares = torch.from_numpy(random.random((num_samples, w.shape[1]))).to(self._device)
            x = self.model_.quantiles(known, shares)
            drawn.append(x.cpu().numpy())
            if t < length - 1:
                known, state = self.model_.step(x, state)
        return np.stack(drawn, axis=1)

    def _data(self, X: Any, validation: Any) -> Data:
        if not is_series(X):
            raise SettingsError(
                f"expected series of numbers, got {reprlib.repr(X)}; for texts use stepscan.LanguageModel"
            )
        parse_step(self.step)
        series = checked_series(several(X))
        self.tokenizers_, self.labels_ = {}, None
        held_out = None if validation is None else checked_series(several(validation), series[0].shape[1])
        given = held_out is not None
        train = series if given else [one[: len(one) - max(1, len(one) // 10)] for one in series]
        if held_out == []:
            raise SettingsError("there is no series to validate on; give one, or omit validation")
        if held_out is None and self.verbose:
            ProgressBar().note("no validation data given: the last tenth of each series is held out")
        starts = [0 if given else len(one) for one in train]
        judged = [(one, 0) for one in held_out] if held_out else list(zip(series, starts, strict=True))
        for number, one in enumerate(held_out or (), start=1):
            self._changes(one, f"validation series {number}")  # an error now, not after an epoch
        rest = "" if given else ", without the tenth held out,"
        changes = [self._changes(one, f"series {number}{rest}")[1] for number, one in enumerate(train, start=1)]
        _warn_of_constants(changes, self.seasonal_period)
        steps = sum(map(len, changes))
        self._choose("series", steps, steps)
        everything = [*series, *(held_out or ())]
        return Data([(train, judged)], given, sum(map(len, everything)), lambda: everything)

    def _prepare(self, train: list[Values], judged: list[tuple[Values, int]] | None, settings: TrainingOptions) -> Task:
        """Model and task for series; `judged` are those to validate on, each from an index on."""
        changes = [self._changes(one)[1] for one in train]
        self.model_ = self._built(changes, longest=lambda: self._in_force.bptt).to(settings.device)
        batches = self._windows(changes, settings)
        if judged is not None:
            self.yardstick_ = naive_forecast(judged, self.seasonal_period).to_dict()
        evaluate = None if judged is None else lambda: self._evaluate(judged)
        return task_of(self.model_, batches, evaluate, len(judged or ()), greater_is_better=False)

    def _model(self, changes: Sequence[Values]) -> NumericGenerator:
        own = self._in_force
        numbers = NumericEmbedding(changes[0].shape[1], own.embedding_size, self._input_dropout, own.input_noise)
        layer = self._network(own.embedding_size, own.hidden_size, causal=True)
        try:
            return NumericGenerator(numbers.standardise(changes), layer, self.head, own.dropout)
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def _windows(self, changes: Sequence[Values], settings: TrainingOptions) -> Buckets:
        """Pieces of `bptt` steps and the step after each, that overlap; each is read from the initial state."""
        window = self._in_force.bptt
        stride = max(1, window // _WINDOWS)
        pieces = [
            one[start : start + window + 1] for one in changes for start in range(0, max(1, len(one) - window), stride)
        ]

        def collate(chosen: np.ndarray) -> TrainingBatch:
            inputs, targets = (pad_numbers([pieces[i][a:b] for i in chosen]) for a, b in ((None, -1), (1, None)))
            return TrainingBatch(inputs, targets, len(chosen), int(inputs.lengths.sum()), inputs.mask.numel())

        return Buckets([len(piece) - 1 for piece in pieces], settings, collate)

    def _evaluate(self, judged: Sequence[tuple[Values, int]]) -> dict[str, float]:
        """The loss, and the mean absolute error one step ahead, which may be huge at first but stays finite."""
        errors = []
        for one, start in judged:
            with np.errstate(over="ignore"):
                middle = self._one_ahead(one).median
            rest = one[len(one) - len(middle) :]
            errors.append(np.abs(rest - middle)[max(0, start - self.seasonal_period - 1) :].ravel())
        mae = float(np.minimum(np.concatenate(errors), _HUGE).mean())
        return {"nats" if self.head == "gaussian" else "pinball": self._loss(judged), "mae": mae}

    @torch.inference_mode()
    def _loss(self, series: Sequence[tuple[Values, int]]) -> float:
        """The mean loss of the numbers of each series from a place on, each given all before it."""
        total, count = 0.0, 0
        for one, start in series:
            _, w = self._changes(one)
            known, _ = self.model_(pad_numbers([w[:-1]]).to(self._device))
            losses = self.model_.losses(known.data[0], torch.from_numpy(w[1:]).to(self._device))
            losses = losses[max(0, start - self.seasonal_period - 1) :]
            total, count = total + losses.sum().item(), count + losses.numel()
        return total / count

    def network_inputs(self, X: Any) -> list[Values]:
        """What the network reads: of each series its changes `[T − s, D]`, s the seasonal period."""
        return [self._changes(one)[1] for one in self._series(X)]

    def _series(self, X: Any) -> list[Values]:
        if isinstance(X, str):
            raise SettingsError("expected series of numbers, got text")
        series = checked_series(several(X), self.model_.embedding.size)
        if not series:
            raise SettingsError("expected at least one series of numbers, got none")
        return series

    def score(self, X: Any, y: None = None) -> float:
        """Minus the loss per value (nats of a Gaussian head, pinball loss of a quantile head, both of standardised
        values): greater is better."""
        self._check_fitted()
        series = self._series(X)
        for number, one in enumerate(series, start=1):
            self._check_length(len(one), f"series {number}")
        return -self._loss([(one, 0) for one in series])

    def metrics(self, X: Any, horizon: int = 0) -> dict[str, Any]:
        """Errors of forecasts of the last `horizon` steps of each series (0: of every step, one ahead).

        Returns:
            `mae` and `rmse`, mean absolute and root mean squared error; `naive_mae` and `naive_rmse` of the seasonal
            naive forecast (the value one `seasonal_period` before); `coverage_90`, the share of values within the 90 %
            interval; `nats` or `pinball`, the loss per standardised value; `numbers`, how many values they are over.
        """
        self._check_fitted()
        series = self._series(X)
        horizon = checked_whole(horizon, "horizon")
        if any(0 < len(one) <= horizon for one in series):
            raise SettingsError(f"horizon: expected fewer steps than every series has, got {horizon}")
        ending = f", without its last {horizon}," if horizon else ""
        for number, one in enumerate(series, start=1):
            self._check_length(len(one) - horizon, f"series {number}{ending}")
        true, found, naive, inside = [], [], [], []
        for one in series:
            middle, low, high = self.forecast(one[:-horizon], horizon) if horizon else self._one_ahead(one)
            rest = one[len(one) - len(middle) :]
            lag = max(1, self.seasonal_period)
            start = len(one) - len(middle)
            places = np.arange(len(middle))
            naive.append(one[start - lag + (places % lag if horizon else places)])
            true.append(rest)
            found.append(middle)
            inside.append((low <= rest) & (rest <= high))
        answers, forecasts, as_before = (np.concatenate(parts) for parts in (true, found, naive))
        errors, of_naive = np.abs(forecasts - answers), np.abs(as_before - answers)
        return {
            "mae": float(errors.mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "naive_mae": float(of_naive.mean()),
            "naive_rmse": float(np.sqrt((of_naive**2).mean())),
            "coverage_90": float(np.concatenate(inside).mean()),
            "nats" if self.head == "gaussian" else "pinball": self._loss([(one, 0) for one in series]),
            "numbers": int(answers.size),
        }

    @torch.inference_mode()
    def _one_ahead(self, series: Values) -> Forecast:
        """Each number, from the first that can be, after all before it."""
        z, w = self._changes(series)
        known = self.model_(pad_numbers([w[:-1]]).to(self._device))[0].data[0]
        shares = (torch.full(known.shape[:2], share, device=self._device) for share in (0.5, 0.05, 0.95))
        changes = [self.model_.quantiles(known, share).cpu().numpy() for share in shares]
        before = z[1 : len(z) - self.seasonal_period] if self.seasonal_period else 0
        levels = [before + change for change in changes]
        return Forecast(*(np.exp(levels) if self.log_transform else levels))

    def _changes(self, series: Values, name: str = "a series") -> tuple[Values, Values]:
        """z (the numbers or their logarithms) and w, what the network reads of them."""
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
    """Whether the data are numbers (or a table, which is to hold them), and not a text."""
    if isinstance(X, str) or not isinstance(X, Iterable):
        return False
    return hasattr(X, "columns") or are_numbers(several(X))


def _warn_of_constants(changes: Sequence[Values], season: int) -> None:
    """Log a warning if there is nothing to learn in the training data, or in one of their dimensions."""
    steps = np.concatenate(changes)
    constant = np.flatnonzero(steps.min(axis=0) == steps.max(axis=0))
    if len(constant) == steps.shape[1]:
        what = "the changes from one season to the next are all the same in" if season else "the numbers of"
        logger.warning(f"nothing to learn: {what} the series{'' if season else ' never change'}")
    elif len(constant):
        logger.warning(f"dimension {constant[0] + 1} of the series never changes")


def several(X: Any) -> list[Any]:
    """Series as a list: one array `[T]` or `[T, D]`, or a column or table of pandas, is one series; `[N, T, D]` and a
    list of them are several."""
    if hasattr(X, "__array__") and np.asarray(X).dtype.kind in "iuf":
        return list(X) if np.ndim(X) == 3 else [X]
    if hasattr(X, "columns"):
        return [X]  # a table that does not hold numbers alone is refused as one
    items = as_list(X)
    return [items] if items and isinstance(items[0], int | float | np.number) else items
