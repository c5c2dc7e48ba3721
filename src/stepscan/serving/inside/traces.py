"""The units and gates of every layer of a model while it reads a text or a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.execution import Options
from stepscan.backends.probabilities import softmax
from stepscan.backends.weights import Weights
from stepscan.data.vocabulary import SPECIAL
from stepscan.definitions.definition import specify
from stepscan.errors import SettingsError, UnsupportedLayer
from stepscan.serving.inside.gates import gates, has_gates
from stepscan.serving.inside.layers import LayerOutputs, layer_outputs
from stepscan.storage.folder import expanded


class LayerTrace(NamedTuple):
    """One layer that remembers, on a sequence of T items; values are in the order of the items, also where the layer
    reads from the end."""

    name: str  # such as "layer 1, backward"
    signature: str  # such as "LSTM(8 → 16)"
    units: Array  # [T, H], its outputs
    gates: dict[str, Array]  # of an LSTM, LayerNormLSTM or GRU: name → [T, H]


class Trace(NamedTuple):
    """What a model does inside on a sequence of T items."""

    items: list[str]  # T symbols, tokens or steps
    layers: list[LayerTrace]
    probabilities: list[float] | None  # of a language model: of each symbol after those before it, T − 1


def trace(model: Any, example: Any) -> Trace:
    """Run a model over one sequence and record what its layers do.

    A translator is run over the source, by its encoder; a language model over the text, behind the begin symbol.

    Args:
        model: a runtime model.
        example: one of the inputs that its `predict` takes a list of; for a language model the text.

    Raises:
        SettingsError: the model is an ensemble, or has a learned initial state, or the example is not a valid input.
        UnsupportedLayer: the model is not one of the built-in patterns.
    """
    if model.members_:
        raise SettingsError(f"expected one model, got an ensemble of {len(model.members_)}; ask for a member's inside")
    network = model.network_
    if getattr(network, "initial", "zero") != "zero":
        raise SettingsError("expected a model whose initial state is zero, got a learned one; it has no trace yet")
    rows = model.network_inputs([example])
    batch: Batch = network.embed(network.batch(rows)) if model.task != "translate" else _embedded_source(network, rows)
    definition = specify(model.folder.model)
    part = "encoder" if model.task == "translate" else "layer"
    if not hasattr(definition, part):
        raise UnsupportedLayer(definition.registered_name, f"{definition.signature}: only built-in models have a trace")
    weights = Weights(expanded(model.folder.tensors), Options(model.weights, model.threads)).scope(part)
    found = layer_outputs(getattr(definition, part), weights, batch) if batch.steps else []
    layers = [_layer_trace(one, f"layer {number}") for number, one in _numbered(found)]
    return Trace(_item_names(model, example, rows), layers, _symbol_probabilities(model, rows))


def _embedded_source(network: Any, rows: Any) -> Batch:
    return network.source_embedding(network.batch(rows))


def _numbered(found: Sequence[LayerOutputs]) -> list[tuple[int, LayerOutputs]]:
    """The layers with their numbers from 1; both directions of a bidirectional layer have the same."""
    numbered: list[tuple[int, LayerOutputs]] = []
    for one in found:
        last = numbered[-1][0] if numbered else 0
        numbered.append((last if one.direction == "backward" else last + 1, one))
    return numbered


def _layer_trace(one: LayerOutputs, name: str) -> LayerTrace:
    layer, order = one.layer, slice(None, None, -1 if one.direction == "backward" else 1)
    found = {}
    if has_gates(layer.registered_name):
        tensors = {name: one.weights.array(name, *spec.shape) for name, spec in layer.tensor_specs.items()}
        found = gates(layer.registered_name, tensors, one.inputs, one.outputs)
    title = f"{name}, {one.direction}" if one.direction else name
    return LayerTrace(title, layer.signature, one.outputs[order], {key: value[order] for key, value in found.items()})


def _item_names(model: Any, example: Any, rows: Any) -> list[str]:
    """The items as a reader knows them: tokens as given, symbols as the tokenizer spells them, numbers of steps."""
    if not model.tokenizers_:
        first = len(example) - len(rows[0]) + 1  # a forecaster reads differences from one season before
        return [str(step) for step in range(first, len(example) + 1)]
    if model.task == "tag":
        return list(example)
    name = "source_tokenizer" if "source_tokenizer" in model.tokenizers_ else "tokenizer"
    tokenizer = model.tokenizers_[name]
    is_plain = tokenizer.kind not in ("byte", "bpe")  # whose tokens are spelled in bytes
    return [tokenizer.tokens[i] if is_plain or i < len(SPECIAL) else tokenizer.decode([i]) for i in rows[0]]


def _symbol_probabilities(model: Any, rows: Any) -> list[float] | None:
    if model.task != "generate":
        return None
    [ids] = rows
    scores = model.network_.scan_rows([ids])[0][0]
    return [float(p) for p in np.take_along_axis(softmax(scores[:-1]), np.array(ids)[1:, None], axis=1)[:, 0]]
