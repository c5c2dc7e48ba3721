"""Definition of `Transducer`, a scan: sequence → sequence of the same length; and of `CRFTransducer`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from stepscan.backends import arrays
from stepscan.backends.batches import Array, Batch, as_arrays
from stepscan.backends.probabilities import nats
from stepscan.definitions.crf import CRF
from stepscan.definitions.definition import Linear, Part, definition
from stepscan.definitions.embeddings import check_sizes
from stepscan.definitions.kinds import AnyLayer, Forbidden, Inputs, Probability, Size
from stepscan.definitions.pattern import PatternDefinition, inference
from stepscan.state import State


@definition("transducer")
@dataclass(eq=False, repr=False)
class Transducer(PatternDefinition):
    """See `stepscan.Transducer`.

    Attributes:
        crf: the CRF over the outputs of a `CRFTransducer`, here None.
    """

    embedding: Inputs
    layer: AnyLayer
    outputs: Size
    dropout: Probability = 0.0
    label_smoothing: Probability = 0.0

    def derive(self) -> None:
        self.crf: Any = None
        check_sizes(self, self.embedding, self.layer)

    def parts(self) -> dict[str, Part | None]:
        return {"head": Linear(self.layer.output_size, self.outputs)}

    @property
    def labels(self) -> int | None:
        return self.outputs

    def forward(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        """A batch of inputs → logits `[B, T, outputs]`, and the layer's final state."""
        outputs, state = self.layer(self.embed(inputs), state)
        return outputs.map(self.score), state

    def score(self, outputs: Any) -> Any:
        """The layer's outputs `[…, H]` → logits `[…, outputs]`."""
        return self.head(self.apply_dropout(outputs, self.dropout))

    @inference
    def scores(self, rows: Any) -> Batch:
        """Rows of inputs → logits `[B, T, outputs]`, arrays."""
        scores, _ = self(self.batch(rows))
        return Batch(self.ops.to_array(scores.data), self.ops.to_array(scores.lengths))

    def predict(self, scores: Any) -> Array:
        """Logits, a batch `[B, T, K]` → the most probable classes `[B, T]`, an array, 0 in the padding."""
        return as_arrays(scores).map(lambda data: data.argmax(axis=2)).data

    def probabilities(self, scores: Any) -> Array:
        """Logits, a batch `[B, T, K]` → the probability of each class at each item `[B, T, K]`, an array, 0 in the
        padding."""
        return as_arrays(scores).map(arrays.softmax).data

    def log_probability(self, scores: Any, targets: Array) -> Array:
        """The log-probability `[B]` of independent `targets [B, T]` with logits, a batch `[B, T, K]`, in nats; summed
        in order, so that padding does not change the rounding."""
        items = as_arrays(scores).map(lambda data: -nats(data, targets)).data
        return items.cumsum(axis=1)[:, -1] if items.shape[1] else items.sum(axis=1)


class CRFDecoder:
    """Predictions from emission scores, a batch `[B, T, K]`, by a CRF."""

    crf: Any

    def predict(self, scores: Any) -> Array:
        """The most probable tags `[B, T]`."""
        return self.crf.best_paths(scores)

    def probabilities(self, scores: Any) -> Array:
        """The marginal probabilities of the tags `[B, T, K]`."""
        return self.crf.marginals(scores)

    def log_probability(self, scores: Any, targets: Array) -> Array:
        """The log-probabilities `[B]` of the tags `targets [B, T]`."""
        return self.crf.log_probability(scores, targets)


@definition("crf_transducer")
@dataclass(eq=False, repr=False)
class CRFTransducer(CRFDecoder, Transducer):
    """See `stepscan.CRFTransducer`."""

    embedding: Inputs
    layer: AnyLayer
    outputs: Size
    dropout: Probability = 0.0
    forbidden: Forbidden = ()

    label_smoothing = 0.0
    crf_class: ClassVar[Callable[..., Any]] = CRF

    def derive(self) -> None:
        super().derive()
        self.crf = self.crf_class(self.outputs, self.forbidden)

    def nested(self) -> dict[str, Any]:
        return {**super().nested(), "crf": self.crf}
