"""Session of a forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.data.series.checks import checked_series
from stepscan.errors import SettingsError
from stepscan.models.forecaster import Forecast, ForecastRequest
from stepscan.models.sessions.series_input import series_vectors
from stepscan.models.sessions.session import locked, replace_states
from stepscan.models.sessions.stream import SessionState, StreamSession, layer_state


class ForecastSession(StreamSession):
    """Reads a series as it arrives: `push` takes values `[T]` or `[T, D]` and returns the forecast of the next step,
    its median and 90 % interval, `[D]` each; None until a season and a step are known. `forecast` looks further ahead.
    """

    def push(self, items: Any) -> Forecast | None:
        with self._lock:
            self._state = self._after(items, "piece")
            return self._next_step(self._state)

    def forecast(self, length: int, *, level: float = 0.9, num_samples: int = 500, seed: int | None = 0) -> Forecast:
        """Forecast the next `length` steps, as `Forecaster.forecast` does after the whole series; the session is
        unchanged.

        Raises:
            SettingsError: an argument is out of range, or fewer steps are known than a season and one more.
        """
        request = ForecastRequest.checked(length, level, num_samples, seed)
        with self._lock:
            state = self._state
            if not self._is_ready(state):
                known, needed = int(state.accumulators["steps"][0]), self._model.seasonal_period_ + 1
                raise SettingsError(
                    f"series: expected at least {needed} steps before a forecast, got {known}; push more"
                )
            season = state.accumulators["season"].copy()
            output, layers = self._distribution(state), layer_state(self._network, state)
        return self._model.continue_series(season, output, layers, request)

    @classmethod
    def _step_together(cls, model: Any, sessions: Sequence[Any], items: Sequence[Any]) -> list[Forecast | None]:
        steps = [_one_step(item, f"item {number}") for number, item in enumerate(items, start=1)]
        return cls._push_together(model, sessions, steps)

    @classmethod
    def _push_together(cls, model: Any, sessions: Sequence[Any], pieces: Sequence[Any]) -> list[Forecast | None]:
        """One after the other: what the layers read depends on the values of a season before."""
        with locked(sessions):
            after = [
                session._after(piece, f"item {number}")
                for number, (session, piece) in enumerate(zip(sessions, pieces, strict=True), start=1)
            ]
            results = [session._next_step(state) for session, state in zip(sessions, after, strict=True)]
            replace_states(sessions, after)
        return results

    def _initial_state(self) -> SessionState:
        layer, dimensions = self._network.layer, self._network.embedding.size
        accumulators = {
            "steps": np.zeros(1, np.int64),
            "season": np.zeros((self._model.seasonal_period_, dimensions)),  # the last values that are modelled
            "input": np.zeros((1, dimensions)),  # the network's last
            "y": np.zeros((1, layer.output_size), np.float32),
        }
        return self._new_state(layer.initial_state(1), accumulators)

    def _after(self, items: Any, what: str) -> SessionState:
        """The state after more values."""
        model, before = self._model, self._state
        [values] = checked_series([items], self._network.embedding.size, what)
        z, accumulators, lag = model.modelled(values, what), before.accumulators, model.seasonal_period_
        steps = int(accumulators["steps"][0])
        known = np.concatenate([accumulators["season"][lag - min(lag, steps) :], z])
        w = known[lag:] - known[: len(known) - lag] if lag else known
        vectors = series_vectors(model, [w if len(known) > lag else known[:0]], what).data[0]
        outputs, after = self._advance(before, vectors, self._spare_stream)
        season = np.concatenate([accumulators["season"], z])[len(z) :]
        changes: dict[str, Array] = {"steps": np.array([steps + len(z)]), "season": season}
        if len(outputs):
            changes |= {"input": w[-1:], "y": outputs[-1:].copy()}
        return after._replace(accumulators={**accumulators, **changes})

    def _is_ready(self, state: SessionState) -> bool:
        return bool(state.accumulators["steps"][0] > self._model.seasonal_period_)

    def _distribution(self, state: SessionState) -> Array:
        """Parameters of the distribution of the network's next input, `[1, D, P]`."""
        return self._network.distribution(state.accumulators["y"], state.accumulators["input"])

    def _next_step(self, state: SessionState) -> Forecast | None:
        if not self._is_ready(state):
            return None
        last = state.accumulators["input"]
        season = state.accumulators["season"][:1] if self._model.seasonal_period_ else np.zeros_like(last)
        return Forecast(*(values[0] for values in self._model.next_steps(self._distribution(state), season)))


def _one_step(item: Any, what: str) -> Any:
    """One step `[D]` as a piece `[1, D]`; the message calls it `what`."""
    item = np.asarray(item)
    if item.ndim > 1:
        raise SettingsError(f"{what}: expected one step [D], got {list(item.shape)}; use push for it")
    return np.atleast_1d(item)[None]
