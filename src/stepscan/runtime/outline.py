"""What the description of a model asks for, found without building it: widths, tensors, vocabularies.

`outline` walks a description as `stepscan.registry.build` does, but where that calls a class's constructor it calls an
outline of it: a function of the same name and arguments that raises the same errors, allocates nothing and needs no
torch. So a model folder's files are held against each other before any of them is believed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from stepscan.errors import ModelFormatError, UnsupportedLayer, nearest

LARGEST_SIZE = 2**31 - 1
_WIDEST = 2**16  # numbers for one item, or …
_FOR_A_WEIGHT = 4  # … so many for each weight


class Tensor(NamedTuple):
    """A tensor that a model has."""

    dtype: str  # as safetensors name it: `F32`
    shape: tuple[int, ...]


Tensors = dict[str, Tensor]  # by name


@dataclass(frozen=True)
class Outline:
    """A registered object, as far as its description tells."""

    name: str  # that it is registered under
    tensors: Tensors  # parameters, and the buffers that are saved

    @property
    def described(self) -> str:
        """For messages."""
        return self.name


@dataclass(frozen=True)
class LayerOutline(Outline):
    """A layer."""

    input_size: int
    output_size: int
    causal: bool = True  # whether it has a step
    condition_size: int = 0
    memories: tuple[int, ...] = ()  # numbers an item of what each part looks at that attends
    caches: bool = False  # whether its state holds anything but hidden state
    inner: int = 0  # widths of what its parts give, together

    @property
    def widths(self) -> int:
        """Numbers that it writes for one item, those of its parts among them."""
        return self.output_size + self.inner

    @property
    def described(self) -> str:
        return f"{self.name} ({self.input_size} → {self.output_size})"


@dataclass(frozen=True)
class InputOutline(Outline):
    """An embedding of symbols, of words, or of numbers."""

    output_size: int
    vocabularies: dict[str, int]  # file of the tokenizer, without `.json` → number of symbols
    numbers: int = 0  # numbers a step, where it takes such
    inner: int = 0  # as of a layer

    @property
    def widths(self) -> int:
        """As of a layer."""
        return self.output_size + self.inner


@dataclass(frozen=True)
class PatternOutline(Outline):
    """A whole model."""

    vocabularies: dict[str, int]
    labels: int | None = None  # what it decides among; None if it decides nothing that has a name
    problem_type: str = ""  # of an encoder
    generator: GeneratorOutline | None = None


class GeneratorOutline(NamedTuple):
    """What a conditioned generator asks of the generator in it."""

    embedding: InputOutline
    layer: LayerOutline
    learned: bool  # whether its initial state is


_makers: dict[str, Callable[..., Outline]] = {}
Maker = TypeVar("Maker", bound=Callable[..., Outline])


def outlines(name: str) -> Callable[[Maker], Maker]:
    """Decorator: the function outlines what is registered as `name`; its arguments are the constructor's."""

    def decorate(maker: Maker) -> Maker:
        _makers[name] = maker
        return maker

    return decorate


def outline(description: Any) -> Any:
    """The outline of a description; of plain data the data.

    Raises:
        UnsupportedLayer: something in it is not built in.
        ModelFormatError, TypeError, ValueError: what the constructors would raise.
    """
    if isinstance(description, list):
        return [outline(item) for item in description]
    if isinstance(description, dict) and len(description) == 1:
        name, arguments = next(iter(description.items()))
        if isinstance(arguments, dict):
            return _outlined(name, (), {key: outline(value) for key, value in arguments.items()})
        if isinstance(arguments, list):
            return _outlined(name, (outline(arguments),), {})
    return description


def _outlined(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Outline:
    _import_built_in()
    if name not in _makers:
        raise UnsupportedLayer(
            name,
            f"no layer or model {shown(name)} is built in, so that only PyTorch can run it.{nearest(name, _makers)}",
        )
    try:
        inspect.signature(_makers[name]).bind(*positional, **named)
    except TypeError as error:
        raise ModelFormatError(f"the description of {name!r} does not fit its constructor: {error}") from None
    return _makers[name](*positional, **named)


@functools.cache
def _import_built_in() -> None:
    """Import the outlines, which enter themselves."""
    for module in ("cell_outlines", "layer_outlines", "pattern_outlines"):
        importlib.import_module(f"stepscan.runtime.{module}")


def within(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors of a part, under the names that they have in the whole."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part_tensors(**parts: Outline | None) -> Tensors:
    """The tensors of all parts that there are."""
    return {name: tensor for key, part in parts.items() if part for name, tensor in within(key, part.tensors).items()}


def linear(prefix: str, inputs: int, outputs: int, bias: bool = True) -> Tensors:
    """The weight `[outputs, inputs]` of a linear map, and its bias."""
    tensors = {"weight": Tensor("F32", (outputs, inputs))}
    return within(prefix, {**tensors, "bias": Tensor("F32", (outputs,))} if bias else tensors)


# What arguments may be ------------------------------------------------------------------------------------------------


def check_size(**sizes: Any) -> None:
    """Raise a ValueError unless all are whole numbers from 1 to 2³¹ − 1."""
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {shown(size)}")
        if size > LARGEST_SIZE:
            raise ValueError(f"{name}: expected at most {LARGEST_SIZE}, got {shown(size)}")


def check_flag(**flags: Any) -> None:
    """Raise a TypeError unless all are true or false."""
    for name, value in flags.items():
        if type(value) is not bool:
            raise TypeError(f"{name}: expected true or false, got {shown(value)}")


def check_choice(known: tuple[str, ...], **choices: Any) -> None:
    """Raise a ValueError unless all are among the known."""
    for name, value in choices.items():
        if value not in known:
            expected = " or ".join(map(repr, known))
            raise ValueError(f"{name}: expected {expected}, got {shown(value)}.{nearest(str(value), known)}")


def check_layer(who: str, *parts: Any) -> None:
    """Raise a TypeError unless all are layers."""
    for part in parts:
        if not isinstance(part, LayerOutline):
            raise TypeError(f"{who}: expected layers, got {shown(part)}")


def check_causal(who: str, layer: Any) -> None:
    """Raise a TypeError unless it is a causal layer."""
    check_layer(who, layer)
    if not layer.causal:
        raise TypeError(f"{who}: expected a causal layer, got {layer.described}")


def check_inputs(who: str, embedding: Any, layer: LayerOutline) -> None:
    """Raise a TypeError or ValueError unless there is no embedding, or one of the layer's input size."""
    if embedding is None:
        return
    if not isinstance(embedding, InputOutline):
        raise TypeError(f"{who}: expected an embedding or null, got {shown(embedding)}")
    if embedding.output_size != layer.input_size:
        raise ValueError(f"{who}: expected an embedding of size {layer.input_size}, got {embedding.output_size}")


def check_widths(who: str, tensors: Tensors, *parts: Any) -> None:
    """Raise a ValueError if the parts write far more for one item than there are weights: such a description is small,
    but the model could need any amount of memory."""
    widths = sum(part.widths for part in parts if part is not None)
    weights = sum(math.prod(tensor.shape) for tensor in tensors.values())
    if widths > max(_WIDEST, _FOR_A_WEIGHT * weights):
        raise ValueError(
            f"{who}: expected layers whose outputs are in proportion to {weights:,} weights, got {shown(widths)} "
            "values per item"
        )


def shown(value: Any) -> str:
    """A value in a message: never long, and with no character that a terminal would obey."""
    if isinstance(value, Outline):
        return value.described
    if isinstance(value, list) and any(isinstance(item, Outline) for item in value):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
