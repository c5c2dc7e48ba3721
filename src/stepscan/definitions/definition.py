"""Definitions: what a layer or a model consists of, written once for both backends and without torch.

A definition is a data class. Its fields are the arguments in `config.json`, each with a kind that checks it; `derive`
checks them against each other and sets sizes; `parts` names its tensors. From it come

* the specification of a folder that nobody has to trust yet: `specify` reads a description and allocates nothing;
* the torch class of the same name, which inherits it (`stepscan.modules.Module` turns parts into parameters);
* the model of the runtime: `bind` turns parts into arrays, and layers into native ones.

What it computes is written over `ops`, one of `stepscan.backends.arrays` and `stepscan.backends.tensors`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, get_type_hints

from stepscan.backends import arrays
from stepscan.backends.layers import NativeLayer
from stepscan.errors import UnsupportedLayer, nearest, shown
from stepscan.fields import Kind
from stepscan.registry import build, import_package

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights

__all__ = [
    *("Buffer", "Definition", "Linear", "Norm", "Part", "Tensor", "Tensors", "Weight"),
    *("built_in", "definition", "is_built_in", "parameter_count", "specify"),
]


class Tensor(NamedTuple):
    """A tensor of a model."""

    dtype: str  # as safetensors names it, such as `F32`
    shape: tuple[int, ...]


Tensors = dict[str, Tensor]  # by name


class Weight(NamedTuple):
    """A trained tensor of this shape."""

    shape: tuple[int, ...]

    def tensors(self, name: str) -> Tensors:
        """What a part of that name adds to the model's tensors."""
        return {name: Tensor("F32", self.shape)}

    def bind(self, weights: Weights, name: str) -> Any:
        """The part on arrays."""
        return weights.array(name, *self.shape)


class Buffer(NamedTuple):
    """A tensor that is saved but not trained."""

    shape: tuple[int, ...]
    value: float  # of all elements before training
    dtype: str = "F32"  # or F64

    def tensors(self, name: str) -> Tensors:
        """See `Weight.tensors`."""
        return {name: Tensor(self.dtype, self.shape)}

    def bind(self, weights: Weights, name: str) -> Any:
        """See `Weight.bind`."""
        return weights.array(name, *self.shape, dtype="float64" if self.dtype == "F64" else "float32")


class Linear(NamedTuple):
    """A linear map `x Wᵀ + b`."""

    input_size: int
    output_size: int
    bias: bool = True

    def tensors(self, name: str) -> Tensors:
        """See `Weight.tensors`."""
        weight = {f"{name}.weight": Tensor("F32", (self.output_size, self.input_size))}
        return {**weight, f"{name}.bias": Tensor("F32", (self.output_size,))} if self.bias else weight

    def bind(self, weights: Weights, name: str) -> Any:
        """See `Weight.bind`."""
        return weights.linear(name, *self)


class Norm(NamedTuple):
    """Layer normalisation over the last dimension."""

    size: int

    def tensors(self, name: str) -> Tensors:
        """See `Weight.tensors`."""
        return {f"{name}.{part}": Tensor("F32", (self.size,)) for part in ("weight", "bias")}

    def bind(self, weights: Weights, name: str) -> Any:
        """See `Weight.bind`."""
        return weights.norm(name, self.size)


Part = Weight | Buffer | Linear | Norm


class _Plain(Kind):
    """Anything but a layer, an embedding or a model; what it must be otherwise is checked by `derive`."""

    words = "plain data"

    def accepts(self, value: Any) -> bool:
        return not isinstance(value, Definition)


PLAIN = _Plain()  # the kind of a field whose annotation has none, unless it is Any


class Definition:
    """Base of all definitions.

    Attributes:
        registered_name: in `config.json`.
        ops: the operations of the backend.
    """

    registered_name: ClassVar[str]
    ops: ClassVar[Any] = arrays

    def __post_init__(self) -> None:
        for name, kind in _field_kinds(type(self)).items():  # type: ignore[arg-type]
            kind.check_field(self, name, value := self.field_value(name))
            if isinstance(value, numbers.Integral) and not isinstance(value, bool | int):
                raise TypeError(f"{name}: expected an int, got {type(value).__name__} {value}; convert it with int()")
        self.derive()

    def field_value(self, name: str) -> Any:
        """The value that a field was given."""
        return getattr(self, name)

    def derive(self) -> None:
        """Check the fields against each other, and set what follows from them.

        Raises:
            TypeError, ValueError: they do not fit together.
        """

    def parts(self) -> dict[str, Part | None]:
        """The object's own tensors, by the attribute that holds them; None for a part that it does not have."""
        return {}

    def nested(self) -> dict[str, Any]:
        """The layers (once bound, native ones) and embeddings inside it, by the attribute that holds them."""
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        return {name: value for name, value in values.items() if isinstance(value, Definition | NativeLayer)}

    @property
    def tensor_specs(self) -> Tensors:
        """The tensors of the whole, in the order in which PyTorch makes them."""
        inner = {f"{path}.{n}": t for path, item in self.nested().items() for n, t in item.tensor_specs.items()}
        return inner | {n: t for path, part in self.parts().items() if part for n, t in part.tensors(path).items()}

    @property
    def class_title(self) -> str:
        """The name of its class, for messages."""
        return type(self).__name__

    @property
    def signature(self) -> str:
        """Such as `LSTM(8 → 16)`, for messages."""
        return self.class_title

    @property
    def values_per_item(self) -> int:
        """The number of values that it computes per item, those inside it included."""
        return int(getattr(self, "output_size", 0)) + sum(item.values_per_item for item in self.nested().values())

    def bind(self, weights: Weights) -> Any:
        """The same on arrays; this definition becomes it.

        Raises:
            ModelFormatError: a tensor is missing, or has another shape or dtype.
        """
        for path, item in self.nested().items():
            setattr(self, path, item.bind(weights.scope(path)))
        for path, part in self.parts().items():
            arrays.attach(self, path, part and part.bind(weights, path))
        return self

    def apply_dropout(self, x: Any, p: float) -> Any:
        """`x` with dropout of probability `p` in training; arrays are never trained."""
        return x

    if TYPE_CHECKING:  # arrays are made of `parts`

        def __getattr__(self, name: str) -> Any: ...

    def __call__(self, *arguments: Any) -> Any:
        return self.forward(*arguments)

    def forward(self, *arguments: Any) -> Any:
        """What a call computes."""
        raise NotImplementedError(f"{type(self).__name__}: expected a forward method; define it")


def _fields(cls: type) -> tuple[Any, ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


@functools.cache
def _field_kinds(cls: type) -> dict[str, Kind]:
    """The kind of each field of a definition, from its annotation."""
    owners = [base for base in cls.__mro__ if "__dataclass_fields__" in vars(base)]
    hints = get_type_hints(owners[0], include_extras=True) if owners else {}
    kinds = {field.name: getattr(hints[field.name], "__metadata__", (PLAIN,)) for field in _fields(cls)}
    return {name: found[0] for name, found in kinds.items() if hints[name] is not Any}


# Descriptions ---------------------------------------------------------------------------------------------------------

_classes: dict[str, type[Definition]] = {}
Class = TypeVar("Class", bound=type)


def definition(name: str) -> Callable[[Class], Class]:
    """Decorator of a data class: it defines what is registered as `name`."""

    def decorate(cls: Class) -> Class:
        cls.registered_name = name  # type: ignore[attr-defined]
        _classes[name] = cls
        return cls

    return decorate


@functools.cache
def _import_built_in() -> None:
    """Import the definitions, which register themselves."""
    import_package("definitions")


def specify(description: Any) -> Any:
    """The definition with this description in `config.json`; plain data are returned as they are.

    Raises:
        UnsupportedLayer: a part of it is not built in.
        ModelFormatError: arguments do not fit a constructor.
        TypeError, ValueError: an argument is not valid.
    """
    return build(description, _defined)


def is_built_in(name: str) -> bool:
    """Whether a layer or model of that name is built in, so that it runs without PyTorch."""
    return built_in(name) is not None


def built_in(name: str) -> type[Definition] | None:
    """The definition of that name; None if there is none."""
    _import_built_in()
    return _classes.get(name)


def _defined(name: str) -> type[Definition]:
    found = built_in(name)
    if found is None:
        raise UnsupportedLayer(
            name,
            f"no layer or model {shown(name)} is built in, so that only PyTorch can run it.{nearest(name, _classes)}",
        )
    return found


def parameter_count(tensors: Tensors) -> int:
    """The number of elements of all tensors."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values())
