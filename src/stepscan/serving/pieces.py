"""What is pushed into a session, in pieces that do not keep others waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stepscan.data.series.checks import as_numbers
from stepscan.serving.errors import invalid

_LETTERS, _ITEMS = 512, 256  # of a piece
_SHORT = 32  # letters or items that are read together with those of other sessions


def as_piece(model: Any, items: Any) -> Any:
    """What `push` of a session takes, from a JSON value: a text; tokens, one or a list; or a step or steps of a series,
    which become an array `[T, D]`.

    Raises:
        ApiError: it is something else.
    """
    if not model.tokenizers_:
        return _as_steps(items, model.network_.embedding.size)
    if model.task == "tag":
        if isinstance(items, str) or (isinstance(items, list) and all(isinstance(item, str) for item in items)):
            return items
        raise invalid("items: expected a token or a list of tokens, got something else", "items")
    if not isinstance(items, str):
        raise invalid(f"items: expected a text, got {type(items).__name__}", "items")
    return items


def _as_steps(items: Any, dimensions: int) -> np.ndarray:
    try:
        values = np.asarray(items)
    except ValueError:
        values = as_numbers(items, "items")  # an error, in words
    if values.dtype.kind not in "iuf":
        values = as_numbers(items, "items")
    if values.ndim == 0 or (values.ndim == 1 and dimensions > 1):
        values = np.atleast_1d(values)[None]
    elif values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or (values.size and values.shape[1] != dimensions):
        raise invalid(
            f"items: expected a step [{dimensions}] or steps [T, {dimensions}], got {list(values.shape)}", "items"
        )
    return values.reshape(-1, dimensions)


def is_short(piece: Any) -> bool:
    """Whether a piece is read together with those of other sessions."""
    return len(piece) <= _SHORT


def cut(model: Any, piece: Any) -> Iterator[Any]:
    """A piece as smaller ones, at least one, that have the same results."""
    if isinstance(piece, str):
        whole_words = model.task == "classify" and model.tokenizers_["tokenizer"].drops_space
        yield from _cut_text(piece, whole_words=whole_words) if model.task != "tag" else [piece]
        return
    for start in range(0, max(1, len(piece)), _ITEMS):
        yield piece[start : start + _ITEMS]


def _cut_text(text: str, *, whole_words: bool) -> Iterator[str]:
    start = 0
    while True:
        end = start + _LETTERS
        while whole_words and end < len(text) and not text[end].isspace():
            end += 1
        yield text[start:end]
        start = end
        if start >= len(text):
            return


def joined_results(model: Any, results: list[Any]) -> Any:
    """The result of a piece, from those of the smaller ones."""
    return [tag for tags in results for tag in tags] if model.task == "tag" else results[-1]
