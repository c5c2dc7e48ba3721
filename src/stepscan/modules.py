"""Definitions as PyTorch modules: parts become parameters, and rows of inputs tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from stepscan.backends import tensors
from stepscan.definitions.definition import Buffer, Definition, Linear, Norm, Part, Weight
from stepscan.dropout_masks import dropout
from stepscan.kernels import pointwise

_DTYPES = {"F32": torch.float32, "F64": torch.float64}


class Module(Definition, nn.Module):
    """Base of the classes that are definitions on PyTorch's tensors.

    A data class sets its fields before anything else, so that `nn.Module` is initialised when the object is made.
    """

    ops: ClassVar[Any] = tensors
    __call__ = nn.Module.__call__

    if TYPE_CHECKING:  # parameters and buffers are made of `parts`

        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, *_: Any, **__: Any) -> Any:
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init__(self) -> None:  # as `__new__` has done it; also for a user's class that sets modules before this
        pass

    def __post_init__(self) -> None:
        super().__post_init__()
        for path, part in self.parts().items():
            tensors.attach(self, path, _make_part(part))

    def field_value(self, name: str) -> Any:
        return self._modules[name] if name in self._modules else getattr(self, name)  # not the default of the class

    def apply_dropout(self, x: Tensor, p: float) -> Tensor:
        return dropout(x, p, self.training)


def _make_part(part: Part | None) -> Any:
    """The parameter, buffer or module of a part; parameters are not initialised."""
    if isinstance(part, Weight):
        return nn.Parameter(torch.empty(part.shape))
    if isinstance(part, Buffer):
        return torch.full(part.shape, part.value, dtype=_DTYPES[part.dtype])
    if isinstance(part, Linear):
        return pointwise.Linear(*part)
    return pointwise.LayerNorm(part.size) if isinstance(part, Norm) else None
