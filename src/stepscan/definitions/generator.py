"""Definition of `Generator`, an unfold: a sequence from an initial state, in which each output is the next input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepscan.backends.arrays import Linear as LinearMap
from stepscan.backends.batches import Array
from stepscan.definitions.definition import Linear, Part, Weight, definition
from stepscan.definitions.embeddings import Embedding, check_sizes
from stepscan.definitions.kinds import Causal, Factor, Flag, Initial, Probability
from stepscan.definitions.pattern import PatternDefinition, inference
from stepscan.errors import shown
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


@definition("generator")
@dataclass(eq=False, repr=False)
class Generator(PatternDefinition):
    """See `stepscan.Generator`."""

    embedding: Any
    layer: Causal
    initial: Initial = "zero"
    tie_weights: Flag = False
    dropout: Probability = 0.0
    label_smoothing: Probability = 0.0
    activation_regularisation: Factor = 0.0
    temporal_activation_regularisation: Factor = 0.0

    def derive(self) -> None:
        if not isinstance(self.embedding, Embedding):
            raise TypeError(f"Generator: expected an Embedding, got {shown(self.embedding)}")
        if self.embedding.given:
            raise ValueError(f"embedding: expected no pretrained vectors, got {self.embedding.given} such dimensions")
        check_sizes(self, self.embedding, self.layer)

    def parts(self) -> dict[str, Part | None]:
        size, width, symbols = self.layer.output_size, self.embedding.output_size, self.embedding.vocabulary_size
        return {
            "start": Weight((self.layer.condition_size,)) if self.initial == "learned" else None,
            "projection": Linear(size, width) if self.tie_weights and size != width else None,
            "head": None if self.tie_weights else Linear(size, symbols),
            "bias": Weight((symbols,)) if self.tie_weights else None,
        }

    def bind(self, weights: Weights) -> Any:
        super().bind(weights)
        if self.tie_weights:
            self.head = LinearMap(self.embedding.weight, self.bias, weights.options)
        return self

    def initial_state(self, batch_size: int) -> State:
        """The state before the first symbol."""
        if self.start is None:
            return self.layer.initial_state(batch_size, **self.ops.type_of(self.embedding.weight))
        return self.layer.condition(self.ops.repeat(self.start[None], batch_size))

    def forward(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        """Ids `[B, T]` → logits of the next symbols `[B, T, V]`, and the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        return outputs.map(self.score), state

    def step(self, ids: Any, state: State) -> tuple[Any, State]:
        """Ids `[B]` and a state → logits of the next symbols `[B, V]`, and the next state."""
        y, state = self.layer.step(self.embedding.step(ids), state)
        return self.score(y), state

    def score(self, outputs: Any) -> Any:
        """The layer's outputs `[…, H]` → logits of the next symbol `[…, V]`."""
        return self.logits(self.project(self.apply_dropout(outputs, self.dropout)))

    def project(self, outputs: Any) -> Any:
        """The layer's outputs `[…, H]` → inputs of the output map."""
        return outputs if self.projection is None else self.projection(outputs)

    def logits(self, projected: Any) -> Any:
        """Inputs of the output map → logits `[…, V]`."""
        return self.head(projected)

    @inference
    def array_step(self, ids: Array, state: State) -> tuple[Array, State]:
        """`step` from and to arrays, for `stepscan.decoding`."""
        scores, state = self.step(self.ops.from_array(ids, self.embedding.weight), state)
        return self.ops.to_array(scores), state

    @inference
    def scan_rows(self, rows: Any, state: State | None = None) -> tuple[Array, Array, State]:
        """Rows of ids → logits of the next symbols `[B, T, V]` and lengths `[B]`, arrays, and the final state."""
        scores, state = self(self.batch(rows), state)
        return self.ops.to_array(scores.data), self.ops.to_array(scores.lengths), state
