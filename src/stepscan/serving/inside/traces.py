"""The units and gates of every layer of a model while it reads a text or a series."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.execution import Options
from stepscan.backends.probabilities import softmax
from stepscan.backends.weights import Weights
from stepscan.data.series.checks import check_range, checked_series
from stepscan.data.vocabulary import SPECIAL
from stepscan.definitions.definition import specify
from stepscan.errors import SettingsError, UnsupportedLayer
from stepscan.serving.inside.gates import gates, has_gates
from stepscan.serving.inside.layers import LayerOutputs, Look, Part, bound_parts, numbered
from stepscan.storage.folder import expanded


class LayerTrace(NamedTuple):
    """One layer that remembers, at T items; values are in the order of the items, also where the layer
    reads from the end."""

    name: str  # such as "layer 1, backward"
    signature: str  # such as "LSTM(8 → 16)"
    units: Array  # [T, H], its outputs
    gates: dict[str, Array]  # of an LSTM, LayerNormLSTM or GRU: name → [T, H]


class Trace(NamedTuple):
    """What a model does inside on a sequence of N items, at the last T of them."""

    items: list[str]  # T symbols, tokens or steps
    total: int  # N
    layers: list[LayerTrace]
    # of a language model: of each item after those before it, None for the first of all
    probabilities: list[float | None] | None


_parts: WeakKeyDictionary[Any, Part] = WeakKeyDictionary()  # model → its layers, bound one by one


def trace(model: Any, example: Any, last_steps: int | None = None) -> Trace:
    """Run a model over one sequence and record what its layers do.

    A translator is run over the source, by its encoder; a language model over the text, behind the begin symbol. The
    first trace of a model binds its layers a second time, which takes as much memory as their weights.

    Args:
        model: a runtime model.
        example: one of the inputs that its `predict` takes a list of; for a language model the text.
        last_steps: how many of the last steps are recorded; None: all.

    Raises:
        SettingsError: the model is an ensemble, or has a learned initial state, or the example is not a valid input.
        UnsupportedLayer: the model is not one of the built-in patterns.
    """
    if model.members_:
        raise SettingsError(f"expected one model, got an ensemble of {len(model.members_)}; ask for a member's inside")
    network = model.network_
    if getattr(network, "initial", "zero") != "zero":
        raise SettingsError("expected a model whose initial state is zero, got a learned one; it has no trace yet")
    if not model.tokenizers_:
        [example] = checked_series([example], network.embedding.size)
        check_range([example], network)
    rows = model.network_inputs([example])
    batch: Batch = (network.source_embedding if model.task == "translate" else network.embed)(network.batch(rows))
    items = _item_names(model, example, rows)
    if not items:
        return Trace([], 0, [], [] if model.task == "generate" else None)
    if model not in _parts:
        _parts[model] = _bound(model)
    look = Look(last_steps or len(items), [])
    outputs = _parts[model](batch, look).data[0]
    layers = [_layer_trace(one, f"layer {number}") for number, one in numbered(look.found)]
    shown = items[-look.last_steps :]
    return Trace(shown, len(items), layers, _symbol_probabilities(model, rows, outputs, len(shown)))


def _bound(model: Any) -> Part:
    definition = specify(model.folder.model)
    part = "encoder" if model.task == "translate" else "layer"
    if not hasattr(definition, part):
        raise UnsupportedLayer(definition.registered_name, f"{definition.signature}: only built-in models have a trace")
    weights = Weights(expanded(model.folder.tensors), Options(model.weights, model.threads)).scope(part)
    return bound_parts(getattr(definition, part), weights)


def _layer_trace(one: LayerOutputs, name: str) -> LayerTrace:
    layer, order = one.layer, slice(None, None, -1 if one.direction == "backward" else 1)
    found = {}
    if has_gates(layer):
        tensors = {name: one.weights.array(name, *spec.shape) for name, spec in layer.tensor_specs.items()}
        found = gates(layer, tensors, one.inputs, one.outputs, one.state)
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


def _symbol_probabilities(model: Any, rows: Any, outputs: Array, count: int) -> list[float | None] | None:
    """The probabilities of the last `count` symbols, given the layers' outputs `[N, H]`."""
    if model.task != "generate":
        return None
    ids = np.array(rows[0])[-count:]
    first = max(1, len(outputs) - count)  # the first item of all, the begin symbol, has no probability
    scores = softmax(model.network_.score(outputs[first - 1 : -1]))
    found = np.take_along_axis(scores, ids[len(ids) - len(scores) :, None], axis=1)[:, 0].tolist()
    return [None] * (count - len(found)) + found
