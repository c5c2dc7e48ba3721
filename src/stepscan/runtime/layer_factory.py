"""Native layers from their description in `config.json` and their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.fields import choose_heads
from stepscan.kernels.native import library
from stepscan.runtime.execution import Options
from stepscan.runtime.layers import Layer
from stepscan.runtime.native_arrays import Array, address, addresses, contiguous
from stepscan.runtime.operations import linear

Tensors = Mapping[str, Array]


def build_layer(description: Any, tensors: Tensors, prefix: str, options: Options, *, keeps: bool = True) -> Layer:
    """The layer that a part of `config.json` describes.

    Args:
        description: `{name: arguments}`.
        tensors: of the model, by name.
        prefix: what this layer's names begin with, such as `layer.`.
        options: how it runs.
        keeps: whether a pointwise layer's last output is part of the state, for its readout.

    Raises:
        UnsupportedLayer: it, or a part of it, has no kernel.
    """
    name, arguments = described_object(description)
    if name not in _MAKERS:
        raise UnsupportedLayer(name, f"the layer {name!r} has no native kernel")
    return _MAKERS[name](_LayerSpec(name, arguments, tensors, prefix, options, keeps))


def described_object(description: Any) -> tuple[str, Any]:
    """The name and the arguments of `{name: arguments}`.

    Raises:
        ModelFormatError: the description is not of this form.
    """
    if not isinstance(description, dict) or len(description) != 1:
        raise ModelFormatError(f"expected a layer, written {{name: arguments}}, got {str(description)[:60]}")
    return next(iter(description.items()))


class _LayerSpec(NamedTuple):
    """One object of a description, and where its tensors are."""

    name: str
    arguments: Any
    tensors: Tensors
    prefix: str
    options: Options
    keeps: bool

    def tensor(self, name: str) -> Array | None:
        array = self.tensors.get(self.prefix + name)
        return None if array is None else contiguous(array)

    def inner(self, description: Any, name: str, *, keeps: bool = True) -> Layer:
        return build_layer(description, self.tensors, f"{self.prefix}{name}.", self.options, keeps=keeps)

    def make_layer(self, native: Any, title: str, blocking: str = "") -> Layer:
        signature = f"{title}({native.input_size} → {native.output_size})"
        return Layer(native, signature, self.options.threads, blocking)


_PLAIN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_NORMED = (*_PLAIN, "gain_ih", "gain_hh", "bias", "gain_c", "bias_c")


def _cell(title: str, names: Sequence[str] = _PLAIN) -> Callable[[_LayerSpec], Layer]:
    def make(part: _LayerSpec) -> Layer:
        kernel = f"elman_{part.arguments.get('nonlinearity', 'tanh')}" if part.name == "elman" else part.name
        arrays = [part.tensor(name) for name in names]
        weight_addresses = [0 if array is None else address(array) for array in arrays]
        sizes = part.arguments["input_size"], part.arguments["hidden_size"]
        weights = library.Weights(kernel, *sizes, weight_addresses, False, part.options.format)
        return part.make_layer(library.make_cell(weights), title)

    return make


def _linear(part: _LayerSpec) -> Layer:
    weights = linear(part.tensors, f"{part.prefix}projection.", part.options)
    return part.make_layer(library.make_linear(weights.native, part.keeps), "Linear")


def _layer_norm(part: _LayerSpec) -> Layer:
    gain, bias = (contiguous(part.tensors[f"{part.prefix}norm.{name}"]) for name in ("weight", "bias"))
    return part.make_layer(library.make_layer_norm(len(gain), *addresses(gain, bias), part.keeps), "LayerNorm")


def _identity(part: _LayerSpec) -> Layer:
    """Dropout, which only training has."""
    return part.make_layer(library.make_identity(part.arguments["size"], part.keeps), "Dropout")


def _stack(part: _LayerSpec) -> Layer:
    descriptions = part.arguments if isinstance(part.arguments, list) else part.arguments["layers"]
    pointwise = all(described_object(description)[0] in _POINTWISE for description in descriptions)
    layers = [
        part.inner(description, f"layers.{i}", keeps=pointwise and i == 0) for i, description in enumerate(descriptions)
    ]
    active = [
        layer
        for layer, description in zip(layers, descriptions, strict=True)
        if described_object(description)[0] not in _IDLE
    ]
    native = library.make_stack([layer.native for layer in (layers if pointwise else active)])
    return part.make_layer(native, "Stack", next((layer.blocking for layer in layers if layer.blocking), ""))


def _residual(part: _LayerSpec) -> Layer:
    layer = part.inner(part.arguments["layer"], "layer")
    return part.make_layer(library.make_residual(layer.native), "Residual", layer.blocking)


def _zoneout(part: _LayerSpec) -> Layer:
    layer = part.inner(part.arguments["layer"], "layer")
    return part.make_layer(library.make_zoneout(layer.native, part.arguments["p"]), "Zoneout")


def _weight_drop(part: _LayerSpec) -> Layer:
    layer = part.inner(part.arguments["layer"], "layer")
    # Around a pointwise layer it is none itself: a stack above reads out of its state, not out of that below it.
    return part.make_layer(library.make_stack([layer.native]), "Stack") if layer.native.pointwise else layer


def _bidirectional(part: _LayerSpec) -> Layer:
    forward = part.inner(part.arguments["forward"], "forward_layer")
    backward = part.inner(part.arguments["backward"], "backward_layer")
    layer = part.make_layer(library.make_bidirectional(forward.native, backward.native), "Bidirectional")
    layer.blocking = layer.signature
    return layer


_TRANSFORMER_MAPS = ("into", "projection", "output", "up", "down")
_TRANSFORMER_NORMS = ("attention_norm.weight", "attention_norm.bias", "forward_norm.weight", "forward_norm.bias")


def _transformer(spec: _LayerSpec) -> Layer:
    prefixes = {name: f"{spec.prefix}{name}." for name in _TRANSFORMER_MAPS}
    maps = [
        linear(spec.tensors, prefix, spec.options).native if f"{prefix}weight" in spec.tensors else None
        for prefix in prefixes.values()
    ]
    norms = [contiguous(spec.tensors[spec.prefix + name]) for name in _TRANSFORMER_NORMS]
    heads = choose_heads(spec.arguments["hidden_size"], spec.arguments.get("heads", 0))
    causal = spec.name == "transformer"
    context = spec.arguments.get("context", 512) if causal else 0
    native = library.make_transformer(maps, addresses(*norms), heads, context)
    layer = spec.make_layer(native, "Transformer" if causal else "BidirectionalTransformer")
    layer.blocking = "" if causal else layer.signature
    return layer


_IDLE = ("dropout", "variational_dropout")
_POINTWISE = (*_IDLE, "linear", "layer_norm")
_MAKERS: dict[str, Callable[[_LayerSpec], Layer]] = {
    "elman": _cell("Elman"),
    "lstm": _cell("LSTM"),
    "gru": _cell("GRU"),
    "layer_norm_lstm": _cell("LayerNormLSTM", _NORMED),
    "transformer": _transformer,
    "bidirectional_transformer": _transformer,
    "linear": _linear,
    "layer_norm": _layer_norm,
    "dropout": _identity,
    "variational_dropout": _identity,
    "stack": _stack,
    "residual": _residual,
    "zoneout": _zoneout,
    "weight_drop": _weight_drop,
    "bidirectional": _bidirectional,
}
