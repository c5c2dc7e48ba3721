"""Whether a value that a step reads is still what it was: a token that is equal for equal values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["MOST_BYTES", "MOST_ITEMS", "PLAIN", "token", "token_of_mutable"]

PLAIN = (bool, int, float, complex, str, bytes, type(None))
MOST_BYTES = 1 << 16  # of an array that is compared
MOST_ITEMS = 256


def token_of_mutable(value: Any) -> Any:
    """The token of a value that can change while it remains the same object; None if it cannot."""
    found = token(value)
    return None if _is_constant(value) or found == id(value) else found


def _is_constant(value: Any) -> bool:
    return isinstance(value, PLAIN) or (type(value) is tuple and all(map(_is_constant, value)))


def token(value: Any, depth: int = 0) -> Any:
    """Something that is equal for equal values: numbers and arrays by value, other objects by identity."""
    if isinstance(value, PLAIN):
        return type(value).__name__, repr(value)
    if isinstance(value, Tensor):
        return id(value), value.dtype, tuple(value.shape), _version(value), _bytes(value)
    if isinstance(value, np.ndarray | np.generic):
        return id(value) if value.nbytes > MOST_BYTES else (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, tuple | list | set | frozenset) and len(value) <= MOST_ITEMS and depth < 4:
        return type(value).__name__, tuple(token(item, depth + 1) for item in value)
    if isinstance(value, dict) and len(value) <= MOST_ITEMS and depth < 4:
        return tuple((token(key, depth + 1), token(item, depth + 1)) for key, item in value.items())
    return id(value)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _bytes(tensor: Tensor) -> Any:
    """The values of a small tensor: what changes through `.data` counts no version."""
    if tensor.numel() * tensor.element_size() > MOST_BYTES or type(tensor) is not Tensor or not tensor.is_cpu:
        return None
    return tensor.detach().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
