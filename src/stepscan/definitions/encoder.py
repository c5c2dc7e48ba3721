"""Definition of `Encoder`, a fold: sequence → feature vector → prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepscan.definitions.definition import Buffer, Linear, Part, definition
from stepscan.definitions.embeddings import check_sizes
from stepscan.definitions.kinds import AnyLayer, Inputs, Pooling, Probability, ProblemType, Size
from stepscan.definitions.pattern import PatternDefinition, inference


@definition("encoder")
@dataclass(eq=False, repr=False)
class Encoder(PatternDefinition):
    """See `stepscan.Encoder`."""

    embedding: Inputs
    layer: AnyLayer
    outputs: Size
    pooling: Pooling = "last"
    problem_type: ProblemType = "classification"
    dropout: Probability = 0.0
    label_smoothing: Probability = 0.0

    def derive(self) -> None:
        check_sizes(self, self.embedding, self.layer)
        if self.problem_type == "regression" and self.outputs != 1:
            raise ValueError(f"outputs: expected 1 for regression, got {self.outputs}")

    def parts(self) -> dict[str, Part | None]:
        size = self.feature_size
        parts: dict[str, Part | None] = {"head": Linear(size, self.outputs)}
        if self.problem_type == "regression":
            parts |= {"mean": Buffer((), 0.0), "deviation": Buffer((), 1.0)}
        if self.pooling == "attention":
            parts |= {"relevance.0": Linear(size, size), "relevance.2": Linear(size, 1, bias=False)}
        return parts

    @property
    def labels(self) -> int | None:
        return None if self.problem_type == "regression" else self.outputs

    @property
    def feature_size(self) -> int:
        """H, dimensions of a feature vector."""
        return int(self.layer.output_size)

    def encode(self, inputs: Any) -> Any:
        """A batch of inputs → feature vectors `[B, H]`."""
        outputs, state = self.layer(self.embed(inputs))
        return self.layer.readout(state) if self.pooling == "last" else self._pool(outputs.zeroed())

    def forward(self, inputs: Any) -> Any:
        """A batch of inputs → logits `[B, outputs]`; for regression, predictions `[B, 1]` in the targets' units."""
        return self.output(self.raw_scores(inputs))

    def raw_scores(self, inputs: Any) -> Any:
        """A batch of inputs → the head's outputs `[B, outputs]`; for regression, of standardised targets."""
        return self.head(self.apply_dropout(self.encode(inputs), self.dropout))

    def output(self, scores: Any) -> Any:
        """The head's outputs → logits; for regression, predictions in the targets' units."""
        return self.mean + self.deviation * scores if self.problem_type == "regression" else scores

    def relevance_scores(self, outputs: Any) -> Any:
        """With attention pooling, the layer's outputs `[…, H]` → their attention scores `[…]`, before the softmax."""
        hidden, score = (getattr(self.relevance, name) for name in ("0", "2"))
        return score(self.ops.tanh(hidden(outputs)))[..., 0]

    @inference
    def features(self, rows: Any) -> Any:
        """Rows of inputs → feature vectors `[B, H]`, an array."""
        return self.ops.to_array(self.encode(self.batch(rows)))

    @inference
    def scores(self, rows: Any) -> Any:
        """Rows of inputs → what `forward` returns, an array."""
        return self.ops.to_array(self(self.batch(rows)))

    def _pool(self, outputs: Any) -> Any:
        data, lengths = outputs.data, outputs.lengths
        if self.pooling == "mean" or outputs.steps == 0:
            return self.ops.sum_over_time(data) / self.ops.counts(lengths)[:, None]
        if self.pooling == "max":
            return self.ops.max_over_time(data, outputs.mask)
        weights = self.ops.masked_softmax(self.relevance_scores(data), outputs.mask)
        return self.ops.sum_over_time(weights[:, :, None] * data)
