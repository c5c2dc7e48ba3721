"""What is inspected: the recurrences in a model, each with what it reads; or cells that nobody has trained yet.

Estimators are imported where they are needed: training watches gradients, so they come after this package.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.contract import Layer, Pointwise, Recurrence
from stepscan.errors import SettingsError
from stepscan.inspection.parts import parts
from stepscan.memory import check_fits
from stepscan.patterns.attention import AttentiveDecoder, attentive_parts
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.sequences import Sequences
from stepscan.state import State, select

logger = logging.getLogger(__name__)
_OF_A_NUMBER = 24  # bytes: drawn in float64, read in float32, and some state
_ROWS, _STEPS = 8, 50  # sequences of random symbols, where no text is given
_MOST = 400  # items of a text that are looked at: gradients go back from each of them to each
_WRITTEN = 200  # symbols that a language model writes, to be looked at


class Part(NamedTuple):
    """A recurrence, what it reads, and where it starts (None: its initial state)."""

    name: str  # such as `lstm` or `encoder, backwards: gru`
    layer: Recurrence
    inputs: Sequences  # [B, T, I]
    state: State | None = None
    backwards: bool = False  # whether it reads from the last item to the first


class Subject(NamedTuple):
    """All that is looked at together."""

    title: str
    about: dict[str, Any]  # what was given, for the page and for JSON
    parts: list[Part]
    items: list[str]  # of the first row, as they are shown; none if they are random
    text: str  # what was read; "" if it is random or numbers
    estimator: Any  # None for cells


def of_cells(
    cells: Sequence[str], *, length: int = 200, hidden_size: int = 64, rows: int = _ROWS, seed: int = 0
) -> Subject:
    """Untrained cells, all reading the same `[rows, length, hidden_size]` of standard normal numbers.

    Raises:
        SettingsError: a cell is unknown, or a size below 1 (a length below 2).
    """
    if length < 2 or hidden_size < 1 or rows < 1:
        raise SettingsError(
            f"a length of 2 or more and sizes of 1 or more are needed, got length {length}, hidden size {hidden_size}, "
            f"{rows} rows"
        )
    check_fits(16 * hidden_size**2, f"the weights of a cell of {hidden_size:,} units", "use a smaller hidden size")
    check_fits(
        _OF_A_NUMBER * rows * length * hidden_size,
        f"{length:,} steps of {rows} sequences of {hidden_size:,} numbers",
        "use a smaller length or hidden size",
    )
    from stepscan.estimators.architecture import network

    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((rows, length, hidden_size))).float()
    inputs = Sequences(noise, [length] * rows)
    found: list[Part] = []
    for cell in cells:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = network(cell, hidden_size, hidden_size)
        found += parts_of(layer.eval(), inputs, cell)
    about = {"cells": list(cells), "hidden_size": hidden_size, "length": length, "rows": rows, "seed": seed}
    title = f"{_listed(cells)}, untrained, over {length} steps"
    return Subject(title, about, found, [], "", None)


def of_layer(layer: Layer, inputs: Sequences, name: str = "") -> Subject:
    """Any layer and what it reads, `[B, T, I]`."""
    name = name or getattr(layer, "registered_name", type(layer).__name__)
    rows, length = inputs.data.shape[:2]
    return Subject(
        name, {"layer": layer.described, "rows": rows, "length": length}, parts_of(layer, inputs, name), [], "", None
    )


def of_estimator(estimator: Any, text: str | None = None, *, seed: int = 0) -> Subject:
    """A trained model that reads `text`; without one, random symbols, and a language model what it has written itself.

    Raises:
        SettingsError: the text is empty.
        NotFittedError: the model was not trained.
    """
    _check(estimator)
    if text is not None and not text.strip():
        raise SettingsError("there is no text to look at; give some, or none at all for random symbols")
    if estimator.wide_ is not None:
        logger.warning("inspected is the network alone, without the model's wide part, which has no state")
    model = estimator.model_.eval()
    about: dict[str, Any] = {"task": estimator.task, "cell": estimator.cell, "hidden_size": estimator.hidden_size}
    from stepscan.estimators.networks import as_input

    if not estimator.tokenizers_:
        return _of_numbers(estimator, about, text, seed)
    items, rows, shown = _read(estimator, text, seed)
    inputs = as_input(rows).to(estimator._device)
    if isinstance(model, ConditionedGenerator):
        found = list(_of_translator(estimator, model, inputs, rows[0], shown))
    else:
        found = parts_of(model.layer, model.embedding(inputs))
    about |= {"read": "text" if text else "what the model wrote" if shown else "random symbols"}
    return Subject(f"{type(estimator).__name__} ({estimator.cell})", about, found, items, shown, estimator)


def _check(estimator: Any) -> None:
    from stepscan.estimators.base import Estimator

    if not isinstance(estimator, Estimator):
        raise SettingsError(
            "inspected are a Classifier, LanguageModel, Tagger or Translator, a Layer, or names of cells, got a "
            f"{type(estimator).__name__}; stepscan.load reads a model folder"
        )
    estimator._check_fitted()
    if not hasattr(estimator.model_, "layer") and not isinstance(estimator.model_, ConditionedGenerator):
        raise SettingsError("an ensemble has no states of its own; inspect its models one by one")


def parts_of(layer: Layer, inputs: Sequences, name: str = "", state: State | None = None) -> list[Part]:
    """The outermost recurrences in a layer, from below, each with what it reads; both directions are two."""
    found = parts(layer, inputs, state)
    return [
        Part(_joined(name, one.name, _named(one.layer)), one.layer, one.inputs, state, one.backwards)
        for one in found
        if not isinstance(one.layer, Pointwise)
    ]


def _of_translator(estimator: Any, model: Any, source: Sequences, ids: list[int], text: str) -> Iterator[Part]:
    embed = model.generator.embedding if model.embedding is None else model.embedding
    yield from parts_of(model.encoder, embed(source), "encoder")
    from stepscan.estimators.networks import as_input

    writer = estimator.tokenizers_["tokenizer"]
    written = estimator._encode([estimator.predict([text])[0]], writer)[0] if text else ids
    target = as_input([[writer.begin, *written[:-1]]]).to(estimator._device)
    layer, state = model.generator.layer, None
    if isinstance(layer, AttentiveDecoder) and not layer.input_feeding:
        layer = layer.layer
    elif attentive_parts(layer):
        state = select(model.initial_state(source), [0])
    yield from parts_of(layer, model.generator.embedding(target), "decoder", state)


def _read(estimator: Any, text: str | None, seed: int) -> tuple[list[str], Any, str]:
    """Items as they are shown, rows of what the network reads, and the text."""
    tokenizer = estimator.tokenizers_.get("source_tokenizer", estimator.tokenizers_["tokenizer"])
    if estimator.task == "generate":
        text = text or estimator.generate("", length=_WRITTEN, seed=seed)
        ids = [estimator._begin, *estimator._encode(text)][: _MOST + 1]
        end = tokenizer.end if estimator._by_line else None
        return ["\n" if i == end else _shown(tokenizer, i) for i in ids], [ids], text
    if estimator.task == "tag":
        sentences = [text.split()[:_MOST]] if text else _random(tokenizer, seed)
        return (sentences[0] if text else []), estimator._reader(sentences)(range(len(sentences))), text or ""
    if not text:
        rows = [[tokenizer.tokens.index(symbol) for symbol in row] for row in _random(tokenizer, seed)]
        return [], rows, ""
    ids = tokenizer.encode(text)[:_MOST]
    if estimator.task == "translate":
        ids = [*ids, tokenizer.end]
    return [_shown(tokenizer, i) for i in ids], [ids], text


def _shown(tokenizer: Any, i: int) -> str:
    return "" if i == tokenizer.begin else tokenizer.decode([i]) or tokenizer.tokens[i]


def _random(tokenizer: Any, seed: int) -> list[list[str]]:
    """Rows of symbols of the vocabulary."""
    special = {tokenizer.pad, tokenizer.unknown, tokenizer.begin, tokenizer.end}
    symbols = [symbol for i, symbol in enumerate(tokenizer.tokens) if i not in special]
    random = np.random.default_rng(seed)
    return [[symbols[i] for i in random.integers(len(symbols), size=_STEPS)] for _ in range(_ROWS)]


def _of_numbers(estimator: Any, about: dict[str, Any], text: str | None, seed: int) -> Subject:
    if text is not None:
        raise SettingsError("this model reads numbers, not text; leave the text away to look at random numbers")
    from stepscan.estimators.networks import as_input

    model = estimator.model_
    embedding = model.embedding
    noise = np.random.default_rng(seed).standard_normal((_ROWS, _STEPS, embedding.size))
    rows = list(noise * embedding.deviation.cpu().numpy() + embedding.mean.cpu().numpy())
    inputs = embedding(as_input(rows, numeric=True).to(estimator._device))
    about = about | {"read": "random numbers"}
    return Subject(
        f"{type(estimator).__name__} ({estimator.cell})", about, parts_of(model.layer, inputs), [], "", estimator
    )


def _joined(name: str, place: str, kind: str) -> str:
    """Such as `encoder forward lstm`; the kind once."""
    return " ".join(word for word in (name, place, "" if kind in name.split() else kind) if word)


def _named(layer: Layer) -> str:
    return str(getattr(layer, "registered_name", type(layer).__name__.lower()))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
