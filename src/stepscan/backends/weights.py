"""The tensors of a model folder, as the parts of a definition and its native layers take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from stepscan.backends.arrays import LayerNorm, Linear
from stepscan.backends.execution import Options
from stepscan.backends.native_arrays import Array
from stepscan.errors import ModelFormatError


class Weights(NamedTuple):
    """The tensors of an object, by their names in it.

    Args:
        all: the tensors of the whole model, by their full names.
        options: weight format and number of threads of the native layers.
        prefix: the object's path with a final dot; empty for the whole model.
        keeps: whether the state of a pointwise layer holds its last output, for its readout.
    """

    all: Mapping[str, Array]
    options: Options = Options()
    prefix: str = ""
    keeps: bool = True

    def scope(self, path: str, *, keeps: bool = True) -> Weights:
        """The tensors of an object inside it."""
        return self._replace(prefix=f"{self.prefix}{path}.", keeps=keeps)

    def array(self, name: str, *shape: int, dtype: str = "float32") -> Array:
        """One tensor of this shape and dtype.

        Raises:
            ModelFormatError: it is missing, or has another shape or dtype.
        """
        path, array = self.prefix + name, self.all.get(self.prefix + name)
        if array is None or array.shape != shape or array.dtype != dtype:
            actual = "no such tensor" if array is None else f"{list(array.shape)}, {array.dtype}"
            raise ModelFormatError(f"{path}: expected {list(shape)}, {dtype}, got {actual}")
        return np.asarray(array)

    def linear(self, path: str, input_size: int, output_size: int, bias: bool = True) -> Linear:
        """A linear map, from its `weight` and `bias`."""
        scope = self.scope(path)
        weight = scope.array("weight", output_size, input_size)
        return Linear(weight, scope.array("bias", output_size) if bias else None, self.options)

    def norm(self, path: str, size: int) -> LayerNorm:
        """Layer normalisation, from its `weight` and `bias`."""
        scope = self.scope(path)
        return LayerNorm(scope.array("weight", size), scope.array("bias", size), self.options)
