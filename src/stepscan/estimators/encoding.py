"""Examples as the numbers that a network reads: columns of ids, in memory or in a cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stepscan.data.ragged_rows import RaggedRows, SeriesRows
from stepscan.data.tokenizers import TextTokenizer

Item = TypeVar("Item")
Column = RaggedRows | SeriesRows | np.ndarray  # of an array, one number per example

_PORTION = 2048  # examples that are encoded together: a tokenizer takes some kilobytes for each


class Vocabulary(NamedTuple):
    """What the numbers of a training's examples stand for.

    Attributes:
        tokenizers: learned from the examples, by name.
        labels: classes, labels or tags; None if there are none.
        facts: plain data about the examples that cannot be seen from their numbers.
        words: of a tagger, the distinct words; not kept with the columns.
    """

    tokenizers: dict[str, TextTokenizer]
    labels: list[Any] | None = None
    facts: Mapping[str, Any] = {}
    words: Sequence[str] = ()


@dataclass
class EncodedExamples:
    """The training data of a task, encoded.

    Args:
        columns: by name.
        vocabulary: what the numbers stand for.
        fingerprint: of the data; empty if they are in memory.
        scratch: a folder for what is as large as the data; None if they are in memory.
        held_out: of data in a cache, the examples that were held out.
        skipped: of data in a cache, a report of the bad lines that were left out.
        encoded_with: of data in a cache, a hash of the tokenizers by which they were encoded.
    """

    columns: Mapping[str, Any]
    vocabulary: Vocabulary
    fingerprint: str = ""
    scratch: Path | None = None
    held_out: Any = field(default_factory=list)
    skipped: str = ""
    encoded_with: str = ""


def in_memory(parts: Iterable[Mapping[str, Column]], vocabulary: Vocabulary) -> EncodedExamples:
    """Columns that come in parts, in memory."""
    pieces: dict[str, list[Any]] = {}
    for part in parts:
        for name, column in part.items():
            pieces.setdefault(name, []).append(column)
    return EncodedExamples({name: _joined(pieces.pop(name)) for name in list(pieces)}, vocabulary)


def _joined(parts: list[Any]) -> Column:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else type(parts[0]).joined(parts)


def in_portions(items: Iterable[Item], size: int = _PORTION) -> Iterator[list[Item]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while portion := list(islice(iterator, size)):
        yield portion
