"""Forecaster: a generator over series of numbers that forecasts their continuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from stepscan.data.series.checks import check_range, checked_series, series_list
from stepscan.data.series.values import Values
from stepscan.decoding import checked_whole, is_within
from stepscan.errors import SettingsError
from stepscan.memory import check_fits
from stepscan.models.model import FittedModel, RuntimeModel
from stepscan.options import SeriesOptions
from stepscan.state import State, select


class Forecast(NamedTuple):
    """The next L steps, `[L, D]` each, in the units of the series."""

    median: Values
    low: Values  # lower end of the prediction interval
    high: Values  # upper end


class ForecastRequest(NamedTuple):
    """Arguments of a forecast."""

    length: int  # steps
    level: float  # of the prediction interval
    num_samples: int  # sample paths
    seed: int | None

    @classmethod
    def checked(cls, length: int, level: float, num_samples: int, seed: int | None) -> ForecastRequest:
        """The checked arguments.

        Raises:
            SettingsError: one is out of range.
        """
        length, num_samples = checked_whole(length, "length", 1), checked_whole(num_samples, "num_samples", 1)
        if not is_within(level, 0, 1) or level in (0, 1):
            raise SettingsError(f"level: expected a number between 0 and 1, got {level!r}")
        if seed is not None:
            checked_whole(seed, "seed")
        return cls(length, level, num_samples, seed)


class ForecastingMixin(SeriesOptions, FittedModel):
    """Methods of a fitted forecaster.

    The network's input is `w_t = z_t − z_(t − s)`, where z is the value or its logarithm (`log_transform`) and s the
    `seasonal_period`; with a period of 0 it is z itself. A series is an array `[T]` or `[T, D]` of T time steps.
    """

    task: ClassVar[str] = "forecast"

    @property
    def seasonal_period_(self) -> int:
        """s, as set or as chosen by the data."""
        return self.seasonal_period or 0

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
            SettingsError: an argument is out of range, or the context is too short or has a value that is too large.
        """
        self._check_usable()
        request = ForecastRequest.checked(length, level, num_samples, seed)
        [series] = checked_series([context], self.network_.embedding.size, "context")
        z, w = self._checked_input(series, "context")
        network = self.stepping_network
        outputs, _, state = network.scan_rows([w])
        return self.continue_series(z[len(z) - self.seasonal_period_ :], outputs[:, -1], state, request, network)

    def continue_series(
        self, season: Values, output: Values, state: State, request: ForecastRequest, network: Any = None
    ) -> Forecast:
        """A forecast after any number of steps.

        Args:
            season: the last values of the series (their logarithms with `log_transform`), one seasonal period
                `[s, D]`.
            output: parameters of the distribution of the network's next input, `[1, D, P]`.
            state: the network's state after the steps, of one row.
            request: what to forecast.
            network: whose state it is; None is `network_`.

        Raises:
            SettingsError: the sample paths do not fit into memory.
        """
        network, (length, level, samples, seed) = network or self.network_, request
        dimensions, lag, random = season.shape[1], self.seasonal_period_, np.random.default_rng(seed)
        size = 16 * length * samples * dimensions
        check_fits(size, f"{samples:,} sample paths of {length:,} steps", "use a smaller length or num_samples")
        output = np.broadcast_to(output, (samples, *output.shape[1:]))  # every path has the same context
        state = select(state, [0] * samples)
        paths = np.empty((samples, lag + length, dimensions))
        paths[:, :lag] = season
        for t in range(length):
            x = network.quantiles(output, random.random((samples, dimensions)))
            paths[:, lag + t] = (paths[:, t] if lag else 0) + x
            if t < length - 1:
                output, state = network.array_step(x, state)
        return Forecast(*np.quantile(self.restored(paths[:, lag:]), [0.5, (1 - level) / 2, (1 + level) / 2], axis=0))

    def restored(self, z: Values) -> Values:
        """Values from what is modelled: z, or its exponential with `log_transform`."""
        return np.exp(z) if self.log_transform else z

    def network_inputs(self, X: Any) -> list[Values]:
        """The network's input for each series: its seasonal differences `[T − s, D]`, s the seasonal period."""
        return [self._transformed(series)[1] for series in self._checked(X)]

    def _checked(self, X: Any) -> list[Values]:
        if isinstance(X, str):
            raise SettingsError("expected series of numbers, got text")
        checked = checked_series(series_list(X), self.network_.embedding.size)
        if not checked:
            raise SettingsError("expected at least one series of numbers, got none")
        return checked

    def score(self, X: Any, y: None = None) -> float:
        """Minus the loss per value (nats of a Gaussian head, pinball loss of a quantile head, both of standardised
        values): greater is better."""
        self._check_usable()
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
        self._check_usable()
        all_series = self._checked(X)
        horizon = checked_whole(horizon, "horizon")
        if any(0 < len(series) <= horizon for series in all_series):
            raise SettingsError(f"horizon: expected fewer steps than every series has, got {horizon}")
        suffix = f", without its last {horizon}," if horizon else ""
        for number, series in enumerate(all_series, start=1):
            self._check_length(len(series) - horizon, f"series {number}{suffix}")
        lag = max(1, self.seasonal_period_)
        targets, medians, naive, is_covered = [], [], [], []
        for number, series in enumerate(all_series, start=1):
            name = f"series {number}"
            ahead = self.forecast(series[:-horizon], horizon) if horizon else self._one_step_ahead(series, name)
            median, low, high = ahead
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

    def _loss(self, held_out: Sequence[tuple[Values, int]]) -> float:
        """The mean loss per value of each series from an index on, each value predicted from all before it."""
        results = (self._loss_and_count(*one, f"series {number}") for number, one in enumerate(held_out, start=1))
        totals, counts = zip(*results, strict=True)
        return sum(totals) / sum(counts)

    def _loss_and_count(self, series: Values, start: int, name: str = "a series") -> tuple[float, int]:
        """The loss of the values of a series from an index on, summed, and their number."""
        _, w = self._checked_input(series, name)
        losses = self.network_.array_losses(self.network_.scan_rows([w[:-1]])[0][0], w[1:])
        losses = losses[max(0, start - self.seasonal_period_ - 1) :]
        return float(losses.sum(dtype=np.float64)), losses.size

    def _one_step_ahead(self, series: Values, name: str = "a series") -> Forecast:
        """Forecasts `[T − s − 1, D]` of each value from all before it, and 90 % intervals."""
        z, w = self._checked_input(series, name)
        season = z[1 : len(z) - self.seasonal_period_] if self.seasonal_period_ else np.zeros_like(w[1:])
        return self.next_steps(self.network_.scan_rows([w[:-1]])[0][0], season)

    def next_steps(self, outputs: Values, season: Values) -> Forecast:
        """Forecasts of single steps, and 90 % intervals, `[T, D]` each.

        Args:
            outputs: parameters of the distributions of the network's inputs there, `[T, D, P]`.
            season: what is modelled of the values one seasonal period before, `[T, D]`; zeros without a period.
        """
        levels = (np.full(season.shape, level) for level in (0.5, 0.05, 0.95))
        return Forecast(*(self.restored(season + self.network_.quantiles(outputs, level)) for level in levels))

    def _transformed(self, series: Values, name: str = "a series") -> tuple[Values, Values]:
        """z, the values or their logarithms, and w, the network's input: their seasonal differences."""
        self._check_length(len(series), name)
        z = self.modelled(series, name)
        return z, z[self.seasonal_period_ :] - z[: len(z) - self.seasonal_period_] if self.seasonal_period_ else z

    def _checked_input(self, series: Values, name: str) -> tuple[Values, Values]:
        """As `_transformed`, of a fitted model, whose layers must be able to read w."""
        z, w = self._transformed(series, name)
        check_range([w], self.network_, name, before=self.seasonal_period_)
        return z, w

    def modelled(self, series: Values, name: str) -> Values:
        """What is modelled of values `[T, D]`: themselves, or with `log_transform` their logarithms.

        Raises:
            SettingsError: a value has no logarithm.
        """
        if self.log_transform and series.min(initial=1) <= 0:
            raise SettingsError(
                f"{name} has values of 0 or below ({series.min():g}), which have no logarithm; omit log_transform"
            )
        return np.log(series) if self.log_transform else series

    def _check_length(self, length: int, name: str) -> None:
        if length < (lag := self.seasonal_period_) + 2:
            steps = "step" if length == 1 else "steps"
            needed = f"at least {lag + 2} are needed" + f", two more than the seasonal period of {lag}" * (lag > 0)
            raise SettingsError(f"{name} has {length} {steps}, but {needed}")


@dataclass(kw_only=True, eq=False, repr=False)
class Forecaster(ForecastingMixin, RuntimeModel):
    """Forecasts the continuation of series of numbers."""
