"""Definitions of the embeddings: from ids or values to vectors, for whole sequences and for one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stepscan.backends.batches import is_batch, pad, pad_numbers
from stepscan.definitions.definition import Buffer, Definition, Linear, Part, Weight, definition
from stepscan.definitions.kinds import AnyLayer, Count, Deviation, OptionalSize, Probability, Size
from stepscan.errors import shown


class EmbeddingDefinition(Definition):
    """Base of the embeddings.

    Attributes:
        output_size: E, dimensions of a vector.
    """

    output_size: Any

    @property
    def signature(self) -> str:
        return f"{self.class_title}(→ {self.output_size})"

    @property
    def vocabularies(self) -> dict[str, int]:
        """The number of symbols of each tokenizer that it needs, by the tokenizer's file, without `.json`."""
        return {}

    def array_batch(self, rows: Any) -> Any:
        """Rows of inputs, as a fitted model's `network_inputs` returns them, as a batch of arrays; a batch is returned
        as it is."""
        return rows if is_batch(rows) else pad(rows)


@definition("embedding")
@dataclass(eq=False, repr=False)
class Embedding(EmbeddingDefinition):
    """See `stepscan.Embedding`."""

    vocabulary_size: Size
    size: Size
    dropout: Probability = 0.0
    word_dropout: Probability = 0.0
    unknown: Count = 1
    embedding_dropout: Probability = 0.0
    given: Count = 0
    others: Count = 0

    def derive(self) -> None:
        most = max(0, self.vocabulary_size - 1 - self.unknown) if self.given else 0
        if self.others > most:
            raise ValueError(
                f"others: expected a number of given symbols after the unknown one, got {shown(self.others)}"
            )
        self.output_size = self.size + self.given

    def parts(self) -> dict[str, Part | None]:
        given = Buffer((self.vocabulary_size, self.given), 0.0) if self.given else None
        return {"weight": Weight((self.vocabulary_size - self.others, self.size)), "weight_given": given}

    @property
    def vocabularies(self) -> dict[str, int]:
        return {"tokenizer": self.vocabulary_size}

    def forward(self, inputs: Any) -> Any:
        """Ids `[B, T]` → vectors `[B, T, E + G]`."""
        return inputs.map(self.step)

    def step(self, ids: Any) -> Any:
        """Ids `[…]` → vectors `[…, E + G]`.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        self.check_ids(ids)
        return self.join(self.lookup(ids, ids))

    def lookup(self, ids: Any, trained_ids: Any) -> list[Any]:
        """Ids `[…]` → trained vectors `[…, E]`, of `trained_ids`, and, if there are any, pretrained ones `[…, G]`."""
        known = len(self.weight)
        is_known = known == self.vocabulary_size
        trained = trained_ids if is_known else self.ops.where(trained_ids < known, trained_ids, self.unknown)
        vectors = [self.ops.embed(self.weight, trained)]
        return vectors if self.weight_given is None else [*vectors, self.ops.embed(self.weight_given, ids)]

    def join(self, vectors: list[Any]) -> Any:
        """The vectors of `lookup`, concatenated."""
        return vectors[0] if len(vectors) == 1 else self.ops.concat(vectors)

    def check_ids(self, ids: Any) -> None:
        """Raise a `ValueError` unless all ids are in the vocabulary."""
        if ids.size and not 0 <= ids.min() <= ids.max() < self.vocabulary_size:
            raise ValueError(
                f"ids: expected 0 … {self.vocabulary_size - 1}, got {ids.min()} … {ids.max()}; were they made by "
                "another tokenizer?"
            )


@definition("numbers")
@dataclass(eq=False, repr=False)
class NumericEmbedding(EmbeddingDefinition):
    """See `stepscan.NumericEmbedding`."""

    size: Size
    output_size: OptionalSize = None
    dropout: Probability = 0.0
    noise: Deviation = 0.0

    def derive(self) -> None:
        self.has_projection = self.output_size is not None
        self.output_size = self.output_size or self.size

    def parts(self) -> dict[str, Part | None]:
        return {
            "mean": Buffer((self.size,), 0.0, "F64"),
            "deviation": Buffer((self.size,), 1.0, "F64"),
            "projection": Linear(self.size, self.output_size) if self.has_projection and self.output_size else None,
        }

    def array_batch(self, rows: Any) -> Any:
        return rows if is_batch(rows) else pad_numbers(rows)

    def forward(self, inputs: Any) -> Any:
        """Values `[B, T, D]` → vectors `[B, T, E]`."""
        return inputs.map(self.step)

    def step(self, x: Any) -> Any:
        """Values `[…, D]` → vectors `[…, E]`."""
        return self.projected(self.standardised(x))

    def standardised(self, x: Any) -> Any:
        """`(x − mean) / deviation`, computed in float64 and returned in float32; overflow gives infinity."""
        with np.errstate(over="ignore", invalid="ignore"):
            return ((x.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)

    def restored(self, z: Any) -> Any:
        """The inverse of `standardised`, in float64."""
        return self.mean + self.deviation * z

    def projected(self, x: Any) -> Any:
        """Standardised values `[…, D]` → vectors `[…, E]`."""
        return x if self.projection is None else self.apply_dropout(self.projection(x), self.dropout)


@definition("word_and_character_embedding")
@dataclass(eq=False, repr=False)
class WordAndCharacterEmbedding(EmbeddingDefinition):
    """See `stepscan.WordAndCharacterEmbedding`."""

    words: Any
    characters: Any
    spelling: AnyLayer
    dropout: Probability = 0.0

    def derive(self) -> None:
        for part in (self.words, self.characters):
            if not isinstance(part, Embedding):
                raise TypeError(f"WordAndCharacterEmbedding: expected an Embedding, got {shown(part)}")
        check_sizes(self, self.characters, self.spelling)
        self.output_size = self.words.output_size + self.spelling.output_size

    @property
    def vocabularies(self) -> dict[str, int]:
        return {**self.words.vocabularies, "characters": self.characters.vocabulary_size}

    def forward(self, inputs: Any) -> Any:
        """Words `[B, T]` with their characters → vectors `[B, T, E + S]`."""
        readouts = [self.spelling.readout(self.spelling(self.characters(group))[1]) for group in inputs.spellings]
        encodings = self.ops.embed(self.ops.concat(readouts, axis=0), inputs.spelling_index)
        vectors = self.ops.concat([self.words(inputs.words).data, encodings], axis=2)
        return inputs.words.replace(self.apply_dropout(vectors, self.dropout)).zeroed()


def check_sizes(owner: Definition, embedding: Any, layer: Any) -> None:
    """Raise a `ValueError` if the vectors of an embedding do not have the layer's input size; a user's own embedding
    may not tell its size."""
    size = getattr(embedding, "output_size", layer.input_size)
    if size != layer.input_size:
        raise ValueError(
            f"{owner.class_title}: expected an embedding of size {layer.input_size}, the input size of "
            f"{layer.signature}, got {size}"
        )
