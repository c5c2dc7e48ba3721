"""Forecasts: what `LanguageModel` does where the sequence is one of numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

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
from stepscan.estimators.yardsticks import naive_forecast
from stepscan.memory import check_fits
from stepscan.patterns.forecaster import Forecaster
from stepscan.patterns.numbers import Numbers
from stepscan.runtime.examples import listed
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.state import select
from stepscan.training.loop import Task
from stepscan.training.progress import Bar
from stepscan.training.settings import TrainingSettings

logger = logging.getLogger(__name__)
_HUGE = 1e300  # an error that stands for all that are larger
_OF_TEXTS = (
    *("activation_regularisation", "embedding_dropout", "softmax_samples", "temporal_activation_regularisation"),
    *("tied", "tokenizer", "vary_window", "vocabulary_size"),
)
_WINDOWS = 32  # begin within the length of one: how far they overlap


class Forecast(NamedTuple):
    """The next L steps, `[L, D]` each, in the numbers' own units."""

    median: Values
    low: Values  # the interval's ends
    high: Values


class Forecasting(Estimator):
    """The part of `LanguageModel` that learns and forecasts numbers.

    What the network reads is `w_t = z_t − z_(t − season)`, where z is the number or its logarithm; without a season it
    is z itself.
    """

    cell: str
    head: str
    season: int
    logarithm: bool
    step: str

    def forecast(
        self, history: Any, length: int, *, interval: float = 0.9, paths: int = 500, seed: int | None = 0
    ) -> Forecast:
        """The next `length` steps after a history, by simulating it on many times.

        Args:
            history: numbers `[T]` or `[T, D]`, more than one season of them.
            length: steps to forecast.
            interval: share of the simulations that lies between `low` and `high`.
            paths: simulations.
            seed: of their random numbers; None is a new one each time.

        Raises:
            SettingsError: an argument is out of range, the model is one of text, or the history is too short.
        """
        self._check_fitted()
        if not isinstance(self.model_, Forecaster):
            raise SettingsError("this model is one of text: use generate")
        length, paths = checked_whole(length, "length", 1), checked_whole(paths, "paths", 1)
        if not is_within(interval, 0, 1) or interval in (0, 1):
            raise SettingsError(f"interval must be a number between 0 and 1, but is {interval!r}")
        if seed is not None:
            checked_whole(seed, "seed")
        [series] = checked_series([history], self.model_.embedding.size, "history")
        size = 16 * length * paths * series.shape[1]
        check_fits(size, f"{paths:,} simulations of {length:,} steps", "use a smaller length or fewer paths")
        z, w = self._changes(series, "history")
        simulated = self._simulated(w, length, paths, np.random.default_rng(seed))
        levels = np.concatenate([np.broadcast_to(z, (paths, *z.shape)), np.empty_like(simulated)], axis=1)
        for t in range(length):
            before = levels[:, len(z) + t - self.season] if self.season else 0
            levels[:, len(z) + t] = before + simulated[:, t]
        outcomes = np.exp(levels[:, len(z) :]) if self.logarithm else levels[:, len(z) :]
        return Forecast(*np.quantile(outcomes, [0.5, (1 - interval) / 2, (1 + interval) / 2], axis=0))

    @torch.inference_mode()
    def _simulated(self, w: Values, length: int, paths: int, random: np.random.Generator) -> Values:
        """`[paths, length, D]` that may come after `w [T, D]`."""
        read, state = self.model_(pad_numbers([w]).to(self._device))  # once: every path has the same history
        known, state, drawn = read.data[:, -1].expand(paths, -1, -1), select(state, [0] * paths), []
        for t in range(length):
            shares = torch.from_numpy(random.random((paths, w.shape[1]))).to(self._device)
            x = self.model_.quantiles(known, shares)
            drawn.append(x.cpu().numpy())
            if t < length - 1:
                known, state = self.model_.step(x, state)
        return np.stack(drawn, axis=1)

    def _data_of_series(self, X: Any, validation: Any) -> Data:
        parse_step(self.step)
        series = checked_series(several(X))
        self.tokenizers_, self.labels_ = {}, None
        held_out = None if validation is None else checked_series(several(validation), series[0].shape[1])
        given = held_out is not None
        train = series if given else [one[: len(one) - max(1, len(one) // 10)] for one in series]
        if held_out == []:
            raise SettingsError("there is no series to validate on; give one, or omit validation")
        if held_out is None and self.verbose:
            Bar().note("no validation data given: the last tenth of each series is held out")
        starts = [0 if given else len(one) for one in train]
        judged = [(one, 0) for one in held_out] if held_out else list(zip(series, starts, strict=True))
        for number, one in enumerate(held_out or (), start=1):
            self._changes(one, f"validation series {number}")  # an error now, not after an epoch
        rest = "" if given else ", without the tenth held out,"
        changes = [self._changes(one, f"series {number}{rest}")[1] for number, one in enumerate(train, start=1)]
        _warn_of_constants(changes, self.season)
        steps = sum(map(len, changes))
        self._choose("series", steps, steps)
        everything = [*series, *(held_out or ())]
        return Data([(train, judged)], given, sum(map(len, everything)), lambda: everything)

    def _prepare_series(
        self, train: list[Values], judged: list[tuple[Values, int]] | None, settings: TrainingSettings
    ) -> Task:
        """Model and task for series; `judged` are those to be validated on, each from a place on."""
        changes = [self._changes(one)[1] for one in train]
        self.model_ = self._built(changes, longest=lambda: self._in_force.window).to(settings.device)
        batches = self._windows(changes, settings)
        if judged is not None:
            self.yardstick_ = naive_forecast(judged, self.season).described()
        evaluate = None if judged is None else lambda: self._evaluate(judged)
        return task_of(self.model_, batches, evaluate, len(judged or ()), greater_is_better=False)

    def _forecaster(self, changes: Sequence[Values]) -> Forecaster:
        for name in _OF_TEXTS:
            if getattr(self, name) != getattr(type(self), name):
                raise SettingsError(f"{name}={getattr(self, name)!r} is for texts, but the data are numbers")
        own = self._in_force
        numbers = Numbers(changes[0].shape[1], own.embedding_size, self._input_dropout, own.input_noise)
        layer = self._network(own.embedding_size, own.hidden_size, causal=True)
        try:
            return Forecaster(numbers.standardise(changes), layer, self.head, own.dropout)
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def _windows(self, changes: Sequence[Values], settings: TrainingSettings) -> Buckets:
        """Pieces of `window` steps and the step after each, that overlap; each is read from the initial state."""
        window = self._in_force.window
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
            errors.append(np.abs(rest - middle)[max(0, start - self.season - 1) :].ravel())
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
            losses = losses[max(0, start - self.season - 1) :]
            total, count = total + losses.sum().item(), count + losses.numel()
        return total / count

    def _series(self, X: Any) -> list[Values]:
        if isinstance(X, str):
            raise SettingsError("this model is one of numbers, but the data are text; of a CSV file say format numbers")
        series = checked_series(several(X), self.model_.embedding.size)
        if not series:
            raise SettingsError("expected at least one series of numbers, got none")
        return series

    def _series_loss(self, X: Any) -> float:
        series = self._series(X)
        for number, one in enumerate(series, start=1):
            self._check_length(len(one), f"series {number}")
        return self._loss([(one, 0) for one in series])

    def _series_metrics(self, X: Any, horizon: int) -> dict[str, Any]:
        """See `LanguageModel.metrics`."""
        series = self._series(X)
        horizon = checked_whole(horizon, "horizon")
        if any(0 < len(one) <= horizon for one in series):
            raise SettingsError(f"the horizon must be shorter than every series, but is {horizon}")
        ending = f", without its last {horizon}," if horizon else ""
        for number, one in enumerate(series, start=1):
            self._check_length(len(one) - horizon, f"series {number}{ending}")
        true, found, naive, inside = [], [], [], []
        for one in series:
            middle, low, high = self.forecast(one[:-horizon], horizon) if horizon else self._one_ahead(one)
            rest = one[len(one) - len(middle) :]
            lag = max(1, self.season)
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
        before = z[1 : len(z) - self.season] if self.season else 0
        levels = [before + change for change in changes]
        return Forecast(*(np.exp(levels) if self.logarithm else levels))

    def _changes(self, series: Values, name: str = "a series") -> tuple[Values, Values]:
        """z (the numbers or their logarithms) and w, what the network reads of them."""
        self._check_length(len(series), name)
        if self.logarithm and series.min(initial=1) <= 0:
            raise SettingsError(
                f"{name} has numbers that are 0 or below ({series.min():g}), which have no logarithm; leave it away"
            )
        z = np.log(series) if self.logarithm else series
        w = z[self.season :] - z[: len(z) - self.season] if self.season else z
        return z, w

    def _check_length(self, length: int, name: str) -> None:
        if length < self.season + 2:
            steps = "step" if length == 1 else "steps"
            raise SettingsError(f"{name} has {length} {steps}, but at least {self.season + 2} are needed")


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
    items = listed(X)
    return [items] if items and isinstance(items[0], int | float | np.number) else items
