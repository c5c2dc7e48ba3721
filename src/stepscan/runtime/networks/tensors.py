"""The tensors of one part of a model, and how objects are made of a description and such tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stepscan.errors import ModelFormatError, SettingsError, UnsupportedLayer
from stepscan.runtime.batches import Array
from stepscan.runtime.layers import Layer, Linear, Options, build_layer, described_object


class Tensors(NamedTuple):
    """Tensors by the names that they have in a part of a model.

    Args:
        all: of the whole model, by their full names.
        options: how the native layers keep them.
        prefix: the part's own, with a dot at its end; empty for the whole.
    """

    all: Mapping[str, Array]
    options: Options
    prefix: str = ""

    def inside(self, part: str) -> Tensors:
        """Those of a part of this part."""
        return self._replace(prefix=f"{self.prefix}{part}.")

    def array(self, name: str, *shape: int, dtype: Any = np.float32) -> Array:
        """One tensor.

        Raises:
            ModelFormatError: there is none, or it has another shape or dtype.
        """
        full, found = self.prefix + name, self.all.get(self.prefix + name)
        if found is None or found.shape != shape or found.dtype != dtype:
            is_there = "there is none" if found is None else f"it is {list(found.shape)}, {found.dtype}"
            raise ModelFormatError(f"the model needs a tensor {full} {list(shape)}, {np.dtype(dtype)}, but {is_there}")
        return np.asarray(found)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> Linear:
        """A linear map of `inputs` numbers to `outputs`."""
        part = self.inside(name)
        weight = part.array("weight", outputs, inputs)
        return Linear(weight, part.array("bias", outputs) if bias else None, self.options)

    def layer(self, name: str, description: Any) -> Layer:
        """The layer that is described."""
        return build_layer(description, self.all, f"{self.prefix}{name}.", self.options)


def build_part(kinds: Mapping[str, Any], description: Any, tensors: Tensors) -> Any:
    """What is described, an object of one of the `kinds`, by the names that they are registered under.

    Raises:
        UnsupportedLayer: it is of another kind.
        ModelFormatError: the description is none, or does not fit the kind.
    """
    name, arguments = described_object(description)
    if name not in kinds:
        raise UnsupportedLayer(name, f"{name!r} has no native kernel; only PyTorch can run it (stepscan[train])")
    try:
        inspect.signature(kinds[name]).bind(tensors, **arguments)
    except TypeError as error:
        raise ModelFormatError(f"the description of {name!r} does not fit its constructor: {error}") from None
    try:
        return kinds[name](tensors, **arguments)
    except SettingsError:  # a ValueError too
        raise
    except ValueError as error:
        raise ModelFormatError(f"{name!r} cannot be built: {error}") from None
