"""The tensors of a module of a model, and construction of modules from descriptions and tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stepscan.errors import ModelFormatError, StepscanError, UnsupportedLayer
from stepscan.runtime.batches import Array
from stepscan.runtime.execution import Options
from stepscan.runtime.layer_factory import build_layer, described_object
from stepscan.runtime.layers import Layer
from stepscan.runtime.operations import Linear


class Tensors(NamedTuple):
    """The tensors of a module, by their names in it.

    Args:
        all: the tensors of the whole model, by their full names.
        options: weight format and number of threads of the native layers.
        prefix: the module's path with a final dot; empty for the whole model.
    """

    all: Mapping[str, Array]
    options: Options
    prefix: str = ""

    def scope(self, name: str) -> Tensors:
        """The tensors of a submodule."""
        return self._replace(prefix=f"{self.prefix}{name}.")

    def array(self, name: str, *shape: int, dtype: Any = np.float32) -> Array:
        """One tensor of this shape and dtype.

        Raises:
            ModelFormatError: it is missing, or has another shape or dtype.
        """
        path, array = self.prefix + name, self.all.get(self.prefix + name)
        if array is None or array.shape != shape or array.dtype != dtype:
            actual = "no such tensor" if array is None else f"{list(array.shape)}, {array.dtype}"
            raise ModelFormatError(f"{path}: expected {list(shape)}, {np.dtype(dtype)}, got {actual}")
        return np.asarray(array)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> Linear:
        """A linear map from size `inputs` to size `outputs`."""
        scope = self.scope(name)
        weight = scope.array("weight", outputs, inputs)
        return Linear(weight, scope.array("bias", outputs) if bias else None, self.options)

    def layer(self, name: str, description: Any) -> Layer:
        """The native layer with this description."""
        return build_layer(description, self.all, f"{self.prefix}{name}.", self.options)


def build_module(classes: Mapping[str, Any], description: Any, tensors: Tensors) -> Any:
    """The module with this description.

    Args:
        classes: the allowed classes, by registered name.
        description: its name and constructor arguments.
        tensors: its tensors.

    Raises:
        UnsupportedLayer: it is of another class.
        ModelFormatError: the description is invalid.
    """
    name, arguments = described_object(description)
    if name not in classes:
        raise UnsupportedLayer(name, f"{name!r} has no native kernel; only PyTorch can run it (stepscan[train])")
    try:
        inspect.signature(classes[name]).bind(tensors, **arguments)
    except TypeError as error:
        raise ModelFormatError(f"the description of {name!r} does not fit its constructor: {error}") from None
    try:
        return classes[name](tensors, **arguments)
    except StepscanError:
        raise
    except ValueError as error:
        raise ModelFormatError(f"{name!r} cannot be built: {error}") from None
