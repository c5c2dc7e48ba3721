"""What is inspected: the recurrences in a trained model, a layer or untrained cells, each with its inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.cells.catalogue import cell_classes
from stepscan.cells.transformer import TransformerBlock
from stepscan.combinators.layer_norm import LayerNorm
from stepscan.combinators.stack import Stack
from stepscan.contract import Layer
from stepscan.data.batching import pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.dynamics.recurrences import RecurrenceCall, recurrences
from stepscan.errors import SettingsError, nearest
from stepscan.inspection.trained_model import TrainedModel, is_estimator, pattern_of
from stepscan.memory import check_fits
from stepscan.patterns.attention import AttentiveDecoder
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.sequences import Sequences
from stepscan.state import State, select

logger = logging.getLogger(__name__)
_BYTES_PER_ELEMENT = 24  # an input is drawn in float64 and read in float32, and there are states
_ROWS, _STEPS = 8, 50  # of random inputs, without a text
_MAX_ITEMS = 400  # of a text: the work is quadratic in them
_GENERATED = 200  # symbols that a language model generates, without a text


class InspectionTarget(NamedTuple):
    """The recurrences that one report is about."""

    title: str
    about: dict[str, Any]  # settings, for the page and for JSON
    recurrences: list[RecurrenceCall]  # with names such as `lstm` or `encoder backward gru`
    items: list[str]  # the tokens of the first row, for display; empty if they are random
    text: str  # the text that is read; empty if the inputs are random or numeric
    estimator: TrainedModel | None  # None for layers and cells

    @classmethod
    def from_cells(
        cls, cells: Sequence[str], *, length: int = 200, hidden_size: int = 64, rows: int = _ROWS, seed: int = 0
    ) -> InspectionTarget:
        """Untrained cells that all read the same standard normal inputs `[rows, length, hidden_size]`.

        Args:
            cells: registered names, such as `lstm`.
            length: time steps.
            hidden_size: input and hidden size of each cell.
            rows: sequences.
            seed: seed of inputs and weights.

        Raises:
            SettingsError: a cell is unknown, a size is less than 1, or the length is less than 2.
        """
        _check_sizes(length, hidden_size, rows)
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, length, hidden_size))).float()
        inputs = Sequences(noise, [length] * rows)
        calls = [call for cell in cells for call in _named_recurrences(_cell(cell, hidden_size, seed), inputs, cell)]
        about = {"cells": list(cells), "hidden_size": hidden_size, "length": length, "rows": rows, "seed": seed}
        return cls(f"{_enumeration(cells)}, untrained, over {length} steps", about, calls, [], "", None)

    @classmethod
    def from_layer(cls, layer: Layer, inputs: Sequences, name: str = "") -> InspectionTarget:
        """Any layer with its inputs.

        Args:
            layer: the layer.
            inputs: `[B, T, I]`.
            name: for the title; empty for the layer's registered name.

        Raises:
            ValueError: the inputs do not fit the layer.
        """
        name = name or getattr(layer, "registered_name", type(layer).__name__)
        rows, length = inputs.data.shape[:2]
        about = {"layer": layer.signature, "rows": rows, "length": length}
        return cls(name, about, _named_recurrences(layer, inputs, name), [], "", None)

    @classmethod
    def from_estimator(cls, estimator: TrainedModel, text: str | None = None, *, seed: int = 0) -> InspectionTarget:
        """A trained model that reads a text.

        Args:
            estimator: a trained `Classifier`, `LanguageModel`, `Tagger` or `Translator`.
            text: what it reads; None for random tokens of its vocabulary (a model of numbers: random numbers; a
                language model: a text that it generates).
            seed: seed of those.

        Raises:
            SettingsError: the text is empty, the model reads numbers, is an ensemble, or is not an estimator.
            NotFittedError: the model is not trained.
        """
        _check_estimator(estimator)
        model = pattern_of(estimator).eval()
        if text is not None and not text.strip():
            raise SettingsError("the text is empty; give a text, or none at all for random tokens")
        if estimator.wide_ is not None:
            logger.warning("only the network is inspected, without the model's wide part, which has no state")
        about = {"task": estimator.task, "cell": estimator.cell, "hidden_size": estimator.hidden_size}
        title = f"{type(estimator).__name__} ({estimator.cell})"
        if not estimator.tokenizers_:
            calls = _on_random_numbers(model, text, seed)
            return cls(title, about | {"read": "random numbers"}, calls, [], "", estimator)
        items, rows, text_read = _rows_read(estimator, text, seed)
        inputs = estimator.network_.batch(rows)
        if isinstance(model, ConditionedGenerator):
            calls = list(_in_translator(estimator, model, inputs, rows[0], text_read))
        else:
            calls = _named_recurrences(model.layer, model.embedding(inputs))
        about["read"] = "text" if text else "generated text" if text_read else "random tokens"
        return cls(title, about, calls, items, text_read, estimator)


def _check_sizes(length: int, hidden_size: int, rows: int) -> None:
    if length < 2 or hidden_size < 1 or rows < 1:
        raise SettingsError(
            "expected a length of 2 or more, and a hidden size and rows of 1 or more, got "
            f"length {length}, hidden size {hidden_size}, rows {rows}"
        )
    check_fits(16 * hidden_size**2, f"the weights of a cell of {hidden_size:,} units", "use a smaller hidden size")
    check_fits(
        _BYTES_PER_ELEMENT * rows * length * hidden_size,
        f"{length:,} steps of {rows} sequences of size {hidden_size:,}",
        "use a smaller length or hidden size",
    )


def _cell(name: str, size: int, seed: int) -> Layer:
    """The cell of that name with random weights; one that ends in a residual sum is followed by a LayerNorm, as in a
    model."""
    classes = cell_classes()
    if name not in classes:
        raise SettingsError(f"unknown cell {name!r}.{nearest(name, sorted(classes))}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cell = classes[name](size, size)
        return (Stack([cell, LayerNorm(size)]) if isinstance(cell, TransformerBlock) else cell).eval()


def _check_estimator(estimator: Any) -> None:
    if not is_estimator(estimator):
        raise SettingsError(
            "expected a trained estimator (stepscan.load reads a model folder), a Layer or names of cells, got "
            f"{type(estimator).__name__}"
        )


def _named_recurrences(
    layer: Layer, inputs: Sequences, name: str = "", state: State | None = None
) -> list[RecurrenceCall]:
    """The outermost recurrences of a layer, named for display; those of a bidirectional layer are two."""
    return [call._replace(name=_display_name(name, call)) for call in recurrences(layer, inputs, state)]


def _display_name(name: str, call: RecurrenceCall) -> str:
    """Such as `encoder forward lstm`; the kind of cell once."""
    kind = str(getattr(call.layer, "registered_name", type(call.layer).__name__.lower()))
    return " ".join(word for word in (name, call.name, "" if kind in name.split() else kind) if word)


def _in_translator(
    estimator: TrainedModel, model: Any, source: Sequences, ids: list[int], text: str
) -> Iterator[RecurrenceCall]:
    """The recurrences of encoder and decoder; the decoder reads the translation of `text`, or the ids of the source."""
    embed = model.generator.embedding if model.embedding is None else model.embedding
    yield from _named_recurrences(model.encoder, embed(source), "encoder")
    tokenizer = estimator.tokenizers_["tokenizer"]
    written = tokenizer.encode(estimator.predict([text])[0]) if text else ids[:-1]
    target = pad([[tokenizer.begin, *written]]).to(source.data.device)
    layer, state = model.generator.layer, None
    if isinstance(layer, AttentiveDecoder) and not layer.input_feeding:
        layer = layer.layer
    elif layer.memories:
        state = select(model.initial_state(source), [0])
    yield from _named_recurrences(layer, model.generator.embedding(target), "decoder", state)


def _rows_read(estimator: Any, text: str | None, seed: int) -> tuple[list[str], Any, str]:
    """The tokens of the first row for display, the rows that the network reads, and the text."""
    tokenizer = estimator.tokenizers_.get("source_tokenizer", estimator.tokenizers_["tokenizer"])
    if estimator.task == "tag":
        sentences = [text.split()[:_MAX_ITEMS]] if text else _random_tokens(tokenizer, seed)
        return (sentences[0] if text else []), estimator.network_inputs(sentences), text or ""
    if estimator.task == "generate":
        text = text or estimator.generate("", length=_GENERATED, seed=seed)
        ids = estimator.network_inputs([text])[0][: 1 + _MAX_ITEMS]
        end = tokenizer.end if tokenizer.drops_space else None
        return ["\n" if i == end else _shown(tokenizer, i) for i in ids], [ids], text
    if not text:
        rows = [[tokenizer.tokens.index(token) for token in row] for row in _random_tokens(tokenizer, seed)]
        return [], rows, ""
    [ids] = estimator.network_inputs([text])
    ids = [*ids[:-1][:_MAX_ITEMS], tokenizer.end] if estimator.task == "translate" else ids[:_MAX_ITEMS]
    return [_shown(tokenizer, i) for i in ids], [ids], text


def _shown(tokenizer: TextTokenizer, i: int) -> str:
    return "" if i == tokenizer.begin else tokenizer.decode([i]) or tokenizer.tokens[i]


def _random_tokens(tokenizer: TextTokenizer, seed: int) -> list[list[str]]:
    """Rows of random tokens of the vocabulary."""
    special = {tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end}
    tokens = [token for i, token in enumerate(tokenizer.tokens) if i not in special]
    random = np.random.default_rng(seed)
    return [[tokens[i] for i in random.integers(len(tokens), size=_STEPS)] for _ in range(_ROWS)]


def _on_random_numbers(model: Any, text: str | None, seed: int) -> list[RecurrenceCall]:
    """The recurrences of a model of numbers, reading noise with the training data's mean and standard deviation."""
    if text is not None:
        raise SettingsError("this model reads numbers, not text; omit the text to inspect it on random numbers")
    embedding = model.embedding
    noise = np.random.default_rng(seed).standard_normal((_ROWS, _STEPS, embedding.size))
    rows = list(noise * embedding.deviation.cpu().numpy() + embedding.mean.cpu().numpy())
    return _named_recurrences(model.layer, embedding(pad_numbers(rows).to(next(model.parameters()).device)))


def _enumeration(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
