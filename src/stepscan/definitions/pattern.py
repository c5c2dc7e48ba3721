"""What all patterns have: inputs, and answers as arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from stepscan.backends.batches import is_batch, pad, pad_numbers
from stepscan.definitions.definition import Definition
from stepscan.definitions.embeddings import EmbeddingDefinition

Method = TypeVar("Method", bound=Callable[..., Any])


class PatternDefinition(Definition):
    """Base of the definitions of whole models.

    Attributes:
        embedding: of the inputs; None if they are vectors.
        layer: that reads them.
        problem_type: of an encoder.
    """

    embedding: Any
    layer: Any
    problem_type: str = ""

    @property
    def labels(self) -> int | None:
        """The number of labels; None for a model without any."""
        return None

    @property
    def vocabularies(self) -> dict[str, int]:
        """The number of symbols of each tokenizer, by its file, without `.json`."""
        return self.embedding.vocabularies if isinstance(self.embedding, EmbeddingDefinition) else {}

    def batch(self, rows: Any) -> Any:
        """Rows of inputs, as a fitted model's `network_inputs` returns them, as a batch of the backend; a batch is
        returned as it is."""
        return self.ops.to_backend(self.array_batch(rows), self)

    def array_batch(self, rows: Any) -> Any:
        """Rows of inputs as a batch of arrays."""
        if is_batch(rows):
            return rows
        if isinstance(self.embedding, EmbeddingDefinition):
            return self.embedding.array_batch(rows)
        if self.embedding is not None:  # a user's own, of ids
            return pad(rows)
        batch = pad_numbers(rows)
        return batch.replace(np.ascontiguousarray(batch.data, np.float32))

    def embed(self, inputs: Any) -> Any:
        """A batch of inputs → vectors `[B, T, I]`."""
        return inputs if self.embedding is None else self.embedding(inputs)


def inference(method: Method) -> Method:
    """Decorator: the method records no gradients."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.ops.without_gradients():
            return method(self, *args, **kwargs)

    return call  # type: ignore[return-value]
