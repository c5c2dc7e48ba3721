"""Layers without torch: a description and its tensors in, a native layer out.

A state is an array `[n, S]` of float32, a row's numbers one after the other, so that `state[rows]` reorders it. That of
a layer with a cache, such as a transformer, is `[n, S + C · cache_size]`: room for C items, which doubles when it is
full, up to the context. Arrays are float32 and contiguous; everything has the bits that PyTorch's side has when it
answers on its native back end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepscan.errors import ModelFormatError, SettingsError, UnsupportedLayer, nearest
from stepscan.fields import choose_heads
from stepscan.kernels.native import library

Array = NDArray[Any]
Tensors = Mapping[str, Array]

FORMATS = ("float32", "bfloat16", "int8")  # in the order of the native library's


class Options(NamedTuple):
    """How a model runs: the storage type of its weights in memory, and the number of threads per call, at most."""

    weights: str = "float32"
    threads: int = 1

    @property
    def format(self) -> int:
        """The native library's number of the storage type; a `SettingsError` if it is unknown."""
        if self.weights not in FORMATS:
            raise SettingsError(
                f"weights: expected float32, bfloat16 or int8, got {self.weights!r}.{nearest(self.weights, FORMATS)}"
            )
        return FORMATS.index(self.weights)


class Layer:
    """A layer that runs on the native library.

    Args:
        native: the library's layer.
        described: such as `LSTM(8 → 16)`, for messages.
        threads: number of threads per call, at most.
        blocking: the part that makes the layer not causal; empty if it is causal.
    """

    def __init__(self, native: Any, signature: str, threads: int = 1, blocking: str = "") -> None:
        self.native, self.signature, self.threads, self.blocking = native, signature, threads, blocking
        self.input_size: int = native.input_size
        self.output_size: int = native.output_size
        self.state_size: int = native.state_size
        self.cache_size: int = native.cache_size
        self.causal: bool = native.causal
        self.condition_size: int = native.condition_size

    def initial_state(self, rows: int) -> Array:
        """The state before any input, `[rows, S]`, with an empty cache."""
        return np.zeros((rows, self.state_size), np.float32)

    def scan(self, data: Array, lengths: Array, state: Array | None = None) -> tuple[Array, Array]:
        """Run whole sequences.

        Args:
            data: `[B, T, I]`.
            lengths: `[B]`, 0 … T.
            state: `[B, S]`; None: the initial state.

        Returns:
            The outputs `[B, T, O]`, zero in the padding, and the final state `[B, S]`.

        Raises:
            ValueError: the data have another width, or the lengths are not B numbers from 0 to T.
        """
        data, lengths = _contiguous(data), np.ascontiguousarray(lengths, np.int64)
        rows, steps, width = data.shape
        self._check_width(width)
        if lengths.shape != (rows,) or (rows and not 0 <= lengths.min() <= lengths.max() <= steps):
            raise ValueError(f"lengths: expected {rows} numbers from 0 to {steps}, got {lengths}")
        state = self._copy_state(self.initial_state(rows) if state is None else state, rows, lengths)
        outputs = np.empty((rows, steps, self.output_size), np.float32)
        addresses = address(state), self.capacity(state), address(outputs)
        self.native.scan(*_addresses(data, lengths), rows, steps, *addresses, self.threads)
        return outputs, state

    def step(self, x: Array, state: Array) -> tuple[Array, Array]:
        """Run one item per row: `x` `[N, I]` and a state → outputs `[N, O]` and the next state. Mutates neither.

        Raises:
            SettingsError: the layer is not causal.
        """
        self.check_causal()
        x = _contiguous(x)
        self._check_width(x.shape[1])
        state = self._copy_state(state, len(x), np.ones(len(x), np.int64))
        outputs = np.empty((len(x), self.output_size), np.float32)
        self.native.step(address(x), len(x), address(state), self.capacity(state), address(outputs), self.threads)
        return outputs, state

    def readout(self, state: Array) -> Array:
        """O of a final state: `[n, O]`."""
        state = _contiguous(state)
        outputs = np.empty((len(state), self.output_size), np.float32)
        self.native.readout(address(state), len(state), self.capacity(state), address(outputs))
        return outputs

    def condition(self, vector: Array) -> Array:
        """`[n, condition_size]` → an initial state, cut from the vector; a transformer reads it as its first item.

        Raises:
            ValueError: it has another width.
        """
        vector = _contiguous(vector)
        if vector.shape[1] != self.condition_size:
            raise ValueError(
                f"{self.signature}: expected a vector [N, {self.condition_size}], got {list(vector.shape)}"
            )
        state = np.zeros((len(vector), self.state_size + self.cache_size), np.float32)
        self.native.condition(*_addresses(vector), len(vector), *_addresses(state))
        return state

    def capacity(self, state: Array) -> int:
        """Number of items that the cache of a state `[n, …]` has room for; 0 without a cache."""
        if self.cache_size:
            return (state.shape[1] - self.state_size) // self.cache_size
        return 0

    def is_state(self, state: Array) -> bool:
        """Whether the cache of a state `[n, …]` has room for exactly the items that it counts."""
        items, state = self.capacity(state), _contiguous(state)
        return self.native.items_to_hold(*_addresses(state), len(state), items, 0) == items

    def with_room(self, state: Array, items: int) -> Array:
        """A copy of a state whose cache has room for so many more items."""
        return self._copy_state(state, len(state), np.full(len(state), items, np.int64))

    def check_causal(self) -> None:
        """Raise a `SettingsError` unless the layer is causal."""
        if not self.causal:
            raise SettingsError(
                f"expected a causal layer, got {self.blocking or self.signature}, whose outputs depend on later items; "
                "use whole sequences, or train a model that is not bidirectional"
            )

    def _check_width(self, width: int) -> None:
        if width != self.input_size:
            raise ValueError(f"{self.signature}: expected inputs of size {self.input_size}, got {width}")

    def _copy_state(self, state: Array, rows: int, items: Array) -> Array:
        """A copy of a state of so many rows, whose cache has room for `items [rows]` more items."""
        capacity = self.capacity(state) if state.ndim == 2 else 0
        if state.shape != (rows, self.state_size + capacity * self.cache_size):
            raise ValueError(f"{self.signature}: expected a state [{rows}, {self.state_size}], got {list(state.shape)}")
        if not self.cache_size:
            return np.array(state, np.float32, order="C")
        state, items = _contiguous(state), np.ascontiguousarray(items, np.int64)
        needed = self.native.items_to_hold(*_addresses(state), rows, capacity, *_addresses(items))
        if needed < 0:
            raise ValueError(
                f"{self.signature}: expected a state whose cache holds as many items as it counts, got more"
            )
        new_capacity = capacity if needed <= capacity else min(max(needed, 2 * capacity), self.native.context)
        copied = np.zeros((rows, self.state_size + new_capacity * self.cache_size), np.float32)
        self.native.copy_states(*_addresses(state), capacity, rows, *_addresses(copied), new_capacity)
        return copied


class Linear:
    """`x Wᵀ + b` over the last dimension.

    Args:
        weight: `[O, I]`.
        bias: `[O]`, or None.
    """

    def __init__(self, weight: Array, bias: Array | None, options: Options) -> None:
        self.output_size, self.input_size = weight.shape
        self.threads = options.threads
        weight, bias = _contiguous(weight), None if bias is None else _contiguous(bias)
        addresses = (*_addresses(weight), 0 if bias is None else _addresses(bias)[0])
        self.native = library.Linear(*addresses, self.input_size, self.output_size, options.format)

    def __call__(self, x: Array) -> Array:
        x = _contiguous(x)
        outputs = np.empty((*x.shape[:-1], self.output_size), np.float32)
        self.native.run(*_addresses(x), x.size // self.input_size, *_addresses(outputs), self.threads)
        return outputs


def linear(tensors: Tensors, prefix: str, options: Options) -> Linear:
    """The `Linear` whose tensors are `prefix + "weight"` and, where it is there, `prefix + "bias"`."""
    return Linear(tensors[prefix + "weight"], tensors.get(prefix + "bias"), options)


def layer_norm(x: Array, gain: Array, bias: Array) -> Array:
    """Layer normalisation of `[…, H]` (Ba et al. 2016), with gain and bias `[H]`."""
    x, gain, bias = _contiguous(x), _contiguous(gain), _contiguous(bias)
    outputs, size = np.empty_like(x), x.shape[-1]
    library.layer_norm(*_addresses(x), x.size // size, size, *_addresses(gain, bias, outputs), 1)
    return outputs


def tanh(x: Array) -> Array:
    """Hyperbolic tangent, elementwise."""
    x = _contiguous(x)
    outputs = np.empty_like(x)
    library.tanh(*_addresses(x), x.size, *_addresses(outputs), 1)
    return outputs


def softmax(scores: Array) -> Array:
    """Softmax over the last dimension; −∞ has probability 0."""
    scores = _contiguous(scores)
    outputs, size = np.empty_like(scores), scores.shape[-1]
    library.softmax(*_addresses(scores), scores.size // max(1, size), size, *_addresses(outputs), 1)
    return outputs


def attend(queries: Array, keys: Array, memory: Array, length: Array, score: Array | None) -> tuple[Array, Array]:
    """Additive attention (Bahdanau et al. 2015), or by products (Luong et al. 2015).

    Args:
        queries: `[B, T, A]`, keys `[B, S, A]`, memory `[B, S, M]`, length `[B]` of the memory, score: A numbers v, or
            None for products.

    Returns:
        Contexts `[B, T, M]` and weights `[B, T, S]`, softmax over S of v · tanh(query + key) or of query · key; zeros
        where length is 0.
    """
    queries, keys, memory = map(_contiguous, (queries, keys, memory))
    score = None if score is None else _contiguous(score)
    length = np.ascontiguousarray(length, np.int64)
    (rows, steps, width), items, memory_width = queries.shape, keys.shape[1], memory.shape[2]
    context, weights = np.empty((rows, steps, memory_width), np.float32), np.empty((rows, steps, items), np.float32)
    sizes = (rows, steps, items, width, memory_width)
    v = 0 if score is None else _addresses(score)[0]
    library.attend(*_addresses(queries, keys, memory, length), v, *sizes, *_addresses(context, weights), 1)
    return context, weights


# From descriptions ----------------------------------------------------------------------------------------------------


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
        return None if array is None else _contiguous(array)

    def inner(self, description: Any, name: str, *, keeps: bool = True) -> Layer:
        return build_layer(description, self.tensors, f"{self.prefix}{name}.", self.options, keeps=keeps)

    def make_layer(self, native: Any, title: str, blocking: str = "") -> Layer:
        described = f"{title}({native.input_size} → {native.output_size})"
        return Layer(native, described, self.options.threads, blocking)


_PLAIN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_NORMED = (*_PLAIN, "gain_ih", "gain_hh", "bias", "gain_c", "bias_c")


def _cell(title: str, names: Sequence[str] = _PLAIN) -> Callable[[_LayerSpec], Layer]:
    def make(part: _LayerSpec) -> Layer:
        kernel = f"elman_{part.arguments.get('nonlinearity', 'tanh')}" if part.name == "elman" else part.name
        arrays = [part.tensor(name) for name in names]
        addresses = [0 if array is None else _addresses(array)[0] for array in arrays]
        sizes = part.arguments["input_size"], part.arguments["hidden_size"]
        weights = library.Weights(kernel, *sizes, addresses, False, part.options.format)
        return part.make_layer(library.make_cell(weights), title)

    return make


def _linear(part: _LayerSpec) -> Layer:
    weights = linear(part.tensors, f"{part.prefix}projection.", part.options)
    return part.make_layer(library.make_linear(weights.native, part.keeps), "Linear")


def _layer_norm(part: _LayerSpec) -> Layer:
    gain, bias = (_contiguous(part.tensors[f"{part.prefix}norm.{name}"]) for name in ("weight", "bias"))
    return part.make_layer(library.make_layer_norm(len(gain), *_addresses(gain, bias), part.keeps), "LayerNorm")


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
    norms = [_contiguous(spec.tensors[spec.prefix + name]) for name in _TRANSFORMER_NORMS]
    heads = choose_heads(spec.arguments["hidden_size"], spec.arguments.get("heads", 0))
    causal = spec.name == "transformer"
    context = spec.arguments.get("context", 512) if causal else 0
    native = library.make_transformer(maps, _addresses(*norms), heads, context)
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


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)


def address(array: Array) -> int:
    """The address of an array's data; the caller must keep the array alive."""
    return array.__array_interface__["data"][0]


def _addresses(*arrays: Array) -> list[int]:
    return list(map(address, arrays))
