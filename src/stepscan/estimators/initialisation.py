"""Weights to begin with: word vectors from a file, or another model's weights, row by row where rows have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.folder import read_folder
from stepscan.estimators.word_vectors import WordVectors
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator

Rows = dict[str, list[Any]]  # parameter → what each of its rows stands for: a symbol or a label


def set_vectors(model: nn.Module, tokenizers: Mapping[str, TextTokenizer], vectors: WordVectors) -> None:
    """Put word vectors into a model's embeddings of words."""
    if isinstance(model, ConditionedGenerator):
        named = {"generator.embedding": "tokenizer", "embedding": "source_tokenizer"}
    else:
        named = dict.fromkeys(["embedding", "embedding.words"], "tokenizer")
    parts = dict(model.named_modules())
    for name, tokenizer in named.items():
        embedding = parts.get(name)
        if isinstance(embedding, Embedding):
            vectors.put(embedding, tokenizers[tokenizer])


@torch.no_grad()
def take_weights(
    model: nn.Module, tokenizers: Mapping[str, TextTokenizer], labels: Sequence[Any] | None, path: str | Path
) -> str:
    """Begin with the weights of the model folder at `path`: those of equal name and shape, and where rows stand for
    symbols or labels the rows that both have. Says what was taken and what was not.

    Raises:
        ModelFormatError: there is no model at `path`.
        SettingsError: nothing of it fits.
    """
    folder = read_folder(path)
    theirs = folder.model.state_dict()
    own_rows, their_rows = _rows(model, tokenizers, labels), _rows(folder.model, folder.tokenizers, folder.labels)
    taken, fresh = [], []
    for name, weight in model.state_dict().items():
        other = theirs.get(name)
        if other is None or other.shape[1:] != weight.shape[1:]:
            fresh.append(name)
        elif name in own_rows and name in their_rows:
            place = {symbol: row for row, symbol in enumerate(their_rows[name])}
            both = [(row, place[symbol]) for row, symbol in enumerate(own_rows[name]) if symbol in place]
            if not both:
                fresh.append(name)
                continue
            here, there = (list(rows) for rows in zip(*both, strict=True))
            weight[here] = other[there].to(weight)
            taken.append(f"{name} ({len(both):,} of {len(weight):,} rows)")
        elif other.shape == weight.shape and not (name.startswith("crf.") and list(labels or []) != folder.labels):
            weight.copy_(other)
            taken.append(name)
        else:
            fresh.append(name)
    if not taken:
        raise SettingsError(f"nothing of {path} fits this model: no weight has the same name and shape")
    return f"begun with {path}: {', '.join(taken)}" + (f"; begun at random: {', '.join(fresh)}" if fresh else "")


def _rows(model: nn.Module, tokenizers: Mapping[str, TextTokenizer], labels: Sequence[Any] | None) -> Rows:
    """What the rows of a model's parameters stand for, where they stand for something."""
    symbols = {name: list(tokenizer.tokens) for name, tokenizer in tokenizers.items()}
    main: list[Any] = symbols.get("tokenizer", [])
    if isinstance(model, Generator):
        named = dict.fromkeys(["embedding.weight", "head.weight", "head.bias", "bias"], main)
    elif isinstance(model, ConditionedGenerator):
        written = ["embedding.weight", "head.weight", "head.bias", "bias"]
        named = {f"generator.{name}": main for name in written}
        named["embedding.weight"] = symbols.get("source_tokenizer", [])
    else:
        of_labels = list(labels or [])
        named = dict.fromkeys(["embedding.weight", "embedding.words.weight"], main)
        named["embedding.characters.weight"] = symbols.get("characters", [])
        named |= {"head.weight": of_labels, "head.bias": of_labels}
    named |= {name.replace(".weight", ".weight_given"): main for name in ("embedding.weight", "embedding.words.weight")}
    weights = model.state_dict()
    return {name: rows[: len(weights[name])] for name, rows in named.items() if rows and name in weights}
