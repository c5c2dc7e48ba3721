"""Residual: a layer's outputs added to its inputs (He et al. 2016), so that gradients can bypass the layer."""

from __future__ import annotations

from stepscan.contract import Layer, Recurrence
from stepscan.definitions import residual as definitions
from stepscan.registry import register


@register("residual")
class Residual(definitions.Residual, Layer):
    """`y_t = x_t + layer(x)_t`. A `Recurrence` exactly when `layer` is.

    Args:
        layer: any Layer of equal input and output size.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: its sizes differ.
    """


class RecurrentResidual(definitions.RecurrentResidual, Residual, Recurrence):
    """A Residual around a Recurrence."""

    registered_name = "residual"


Residual.recurrent_class = RecurrentResidual
