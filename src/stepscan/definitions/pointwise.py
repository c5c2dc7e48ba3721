"""Definitions of the layers that map each item on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepscan.backends.native_arrays import addresses
from stepscan.definitions.definition import Linear as LinearPart
from stepscan.definitions.definition import Norm, Part, definition
from stepscan.definitions.kinds import Probability, Size
from stepscan.definitions.layer import LayerDefinition
from stepscan.kernels.native import library

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class PointwiseDefinition(LayerDefinition):
    """Base of the layers that map each item on its own."""

    is_pointwise = True


@definition("linear")
@dataclass(eq=False, repr=False)
class Linear(PointwiseDefinition):
    """See `stepscan.Linear`."""

    input_size: Size
    output_size: Size

    def parts(self) -> dict[str, Part | None]:
        return {"projection": LinearPart(self.input_size, self.output_size)}

    def native(self, weights: Weights) -> Any:
        linear = weights.linear("projection", self.input_size, self.output_size)
        return library.make_linear(linear.native, weights.keeps)


@definition("layer_norm")
@dataclass(eq=False, repr=False)
class LayerNorm(PointwiseDefinition):
    """See `stepscan.LayerNorm`."""

    size: Size

    def derive(self) -> None:
        self.input_size = self.output_size = self.size

    def parts(self) -> dict[str, Part | None]:
        return {"norm": Norm(self.size)}

    def native(self, weights: Weights) -> Any:
        norm = weights.norm("norm", self.size)
        return library.make_layer_norm(self.size, *addresses(norm.gain, norm.bias), weights.keeps)


@definition("dropout")
@dataclass(eq=False, repr=False)
class Dropout(PointwiseDefinition):
    """See `stepscan.Dropout`."""

    size: Size
    p: Probability

    is_idle = True

    def derive(self) -> None:
        self.input_size = self.output_size = self.size

    def native(self, weights: Weights) -> Any:
        return library.make_identity(self.size, weights.keeps)


@definition("variational_dropout")
@dataclass(eq=False, repr=False)
class VariationalDropout(Dropout):
    """See `stepscan.VariationalDropout`."""

    size: Size
    p: Probability
