"""Initial weights from files: word vectors, or another model's weights, matched row by row where rows have names."""

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

RowNames = dict[str, list[Any]]  # parameter → the symbol or label of each of its rows


def load_word_vectors(model: nn.Module, tokenizers: Mapping[str, TextTokenizer], vectors: WordVectors) -> None:
    """Copy word vectors into a model's word embeddings."""
    if isinstance(model, ConditionedGenerator):
        tokenizer_names = {"generator.embedding": "tokenizer", "embedding": "source_tokenizer"}
    else:
        tokenizer_names = dict.fromkeys(["embedding", "embedding.words"], "tokenizer")
    modules = dict(model.named_modules())
    for name, tokenizer_name in tokenizer_names.items():
        embedding = modules.get(name)
        if isinstance(embedding, Embedding):
            vectors.copy_to(embedding, tokenizers[tokenizer_name])


@torch.no_grad()
def load_weights(
    model: nn.Module, tokenizers: Mapping[str, TextTokenizer], labels: Sequence[Any] | None, path: str | Path
) -> str:
    """Copy the weights of the model folder at `path` into a model: those of equal name and shape, and of parameters
    whose rows belong to symbols or labels the rows that both have.

    Returns:
        A message that lists the weights that were copied and those that were not.

    Raises:
        ModelFormatError: there is no model at `path`.
        SettingsError: no weight of it fits.
    """
    folder = read_folder(path)
    source_weights = folder.model.state_dict()
    row_names = _row_names(model, tokenizers, labels)
    source_row_names = _row_names(folder.model, folder.tokenizers, folder.labels)
    loaded, random = [], []
    for name, weight in model.state_dict().items():
        source = source_weights.get(name)
        if source is None or source.shape[1:] != weight.shape[1:]:
            random.append(name)
        elif name in row_names and name in source_row_names:
            source_index = {symbol: row for row, symbol in enumerate(source_row_names[name])}
            pairs = [(row, source_index[s]) for row, s in enumerate(row_names[name]) if s in source_index]
            if not pairs:
                random.append(name)
                continue
            rows, source_rows = (list(indices) for indices in zip(*pairs, strict=True))
            weight[rows] = source[source_rows].to(weight)
            loaded.append(f"{name} ({len(pairs):,} of {len(weight):,} rows)")
        elif source.shape == weight.shape and not (name.startswith("crf.") and list(labels or []) != folder.labels):
            weight.copy_(source)
            loaded.append(name)
        else:
            random.append(name)
    if not loaded:
        raise SettingsError(f"init_from: expected a model with a weight of the same name and shape, got {path}")
    randomly = f"; randomly initialised: {', '.join(random)}" if random else ""
    return f"initialised from {path}: {', '.join(loaded)}{randomly}"


def _row_names(model: nn.Module, tokenizers: Mapping[str, TextTokenizer], labels: Sequence[Any] | None) -> RowNames:
    """The symbols or labels of the rows of a model's parameters, for those parameters whose rows have any."""
    symbols = {name: list(tokenizer.tokens) for name, tokenizer in tokenizers.items()}
    main: list[Any] = symbols.get("tokenizer", [])
    if isinstance(model, Generator):
        names = dict.fromkeys(["embedding.weight", "head.weight", "head.bias", "bias"], main)
    elif isinstance(model, ConditionedGenerator):
        generator = ["embedding.weight", "head.weight", "head.bias", "bias"]
        names = {f"generator.{name}": main for name in generator}
        names["embedding.weight"] = symbols.get("source_tokenizer", [])
    else:
        label_rows = list(labels or [])
        names = dict.fromkeys(["embedding.weight", "embedding.words.weight"], main)
        names["embedding.characters.weight"] = symbols.get("characters", [])
        names |= {"head.weight": label_rows, "head.bias": label_rows}
    names |= {name.replace(".weight", ".weight_given"): main for name in ("embedding.weight", "embedding.words.weight")}
    weights = model.state_dict()
    return {name: rows[: len(weights[name])] for name, rows in names.items() if rows and name in weights}
