"""Definition of `NumericGenerator`: each step predicts the distribution of the next values, relative to the last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.definitions.definition import Linear, Part, definition
from stepscan.definitions.embeddings import NumericEmbedding, check_sizes
from stepscan.definitions.kinds import Causal, Head, Probability
from stepscan.definitions.pattern import PatternDefinition, inference
from stepscan.errors import shown
from stepscan.state import State

LEVELS = (0.025, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.975)  # of the quantile head
_MIN_DEVIATION = 1e-3  # of the Gaussian head, relative to that of the data


@definition("forecaster")
@dataclass(eq=False, repr=False)
class NumericGenerator(PatternDefinition):
    """See `stepscan.NumericGenerator`."""

    embedding: Any
    layer: Causal
    head: Head = "gaussian"
    dropout: Probability = 0.0

    def derive(self) -> None:
        if not isinstance(self.embedding, NumericEmbedding):
            raise TypeError(f"NumericGenerator: expected a NumericEmbedding, got {shown(self.embedding)}")
        check_sizes(self, self.embedding, self.layer)

    def parts(self) -> dict[str, Part | None]:
        parameters = 2 if self.head == "gaussian" else len(LEVELS)
        return {"output": Linear(self.layer.output_size, self.embedding.size * parameters)}

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step."""
        return self.layer.initial_state(batch_size, **self.ops.type_of(self.output.weight))

    def forward(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        """Values `[B, T, D]` → P parameters of each distribution of the next ones `[B, T, D, P]`, the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        inputs = inputs.zeroed()
        outputs, state = self.layer(self.embedding(inputs), state)
        return inputs.replace(self.distribution(outputs.data, inputs.data)), state

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """Values `[B, D]` and a state → P parameters of each distribution of the next `[B, D, P]`, the next state."""
        y, state = self.layer.step(self.embedding.step(x), state)
        return self.distribution(y, x), state

    def distribution(self, outputs: Any, last: Any) -> Any:
        """The layer's outputs `[…, H]` and the last values `[…, D]` → parameters `[…, D, P]`."""
        parameters = self.output(self.apply_dropout(outputs, self.dropout))
        parameters = parameters.reshape(*parameters.shape[:-1], self.embedding.size, -1)
        offset = self.embedding.standardised(last)[..., None]
        if self.head == "quantile":
            return offset + parameters
        return self.ops.concat([offset + parameters[..., :1], _MIN_DEVIATION + self.ops.softplus(parameters[..., 1:])])

    def losses(self, distributions: Any, targets: Any) -> Any:
        """Parameters of distributions `[…, D, P]` and targets `[…, D]` → the loss of each value `[…, D]`."""
        true = self.embedding.standardised(targets)
        if self.head == "gaussian":
            mean, deviation = distributions[..., 0], distributions[..., 1]
            return 0.5 * ((true - mean) / deviation) ** 2 + self.ops.log(deviation) + 0.5 * math.log(2 * math.pi)
        levels = self.ops.constant(LEVELS, distributions)
        error = true[..., None] - distributions
        return self.ops.maximum(levels * error, (levels - 1) * error).mean(-1)

    @inference
    def array_step(self, x: Array, state: State) -> tuple[Array, State]:
        """`step` from and to arrays."""
        distributions, state = self.step(self.ops.from_array(x, self.embedding.mean), state)
        return self.ops.to_array(distributions), state

    @inference
    def scan_rows(self, rows: Any, state: State | None = None) -> tuple[Array, Array, State]:
        """Series `[T, D]` → parameters of the distributions `[B, T, D, P]` and lengths `[B]`, arrays, and the final
        state."""
        outputs, state = self(self.batch(rows), state)
        return self.ops.to_array(outputs.data), self.ops.to_array(outputs.lengths), state

    @inference
    def array_losses(self, distributions: Array, targets: Array) -> Array:
        """`losses` from and to arrays."""
        arguments = (self.ops.from_array(x, self.embedding.mean) for x in (distributions, targets))
        return self.ops.to_array(self.losses(*arguments))

    def quantiles(self, distributions: Array, levels: Array) -> Array:
        """Quantiles of predicted distributions; samples, if the levels are uniform random values.

        Args:
            distributions: parameters `[…, D, P]`, an array.
            levels: `[…, D]`, 0 … 1.

        Returns:
            `[…, D]` in the data's units, in float64.
        """
        distributions, levels = np.asarray(distributions, np.float64), np.asarray(levels, np.float64)
        if self.head == "gaussian":
            return self._restored(distributions[..., 0] + distributions[..., 1] * _normal_quantiles(levels))
        known = np.array(LEVELS)
        ascending = np.sort(distributions, axis=-1)  # crossing quantiles are sorted (Chernozhukov et al. 2010)
        upper = np.searchsorted(known, levels).clip(1, len(LEVELS) - 1)
        low, high = (np.take_along_axis(ascending, i[..., None], -1)[..., 0] for i in (upper - 1, upper))
        fraction = ((levels - known[upper - 1]) / (known[upper] - known[upper - 1])).clip(0, 1)
        return self._restored(low + fraction * (high - low))

    def _restored(self, z: Array) -> Array:
        """Standardised values in the data's units, in float64."""
        mean, deviation = (self.ops.to_array(x) for x in (self.embedding.mean, self.embedding.deviation))
        return mean + deviation * z


def _normal_quantiles(levels: Array) -> Array:
    """Quantiles of the standard normal distribution (Wichura 1988); ±∞ for levels of 0 and 1."""
    quantile = NormalDist().inv_cdf
    values = [quantile(p) if 0 < p < 1 else math.copysign(math.inf, p - 0.5) for p in levels.ravel().tolist()]
    return np.array(values).reshape(levels.shape)
