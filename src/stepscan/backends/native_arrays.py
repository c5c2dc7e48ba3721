"""Arrays as the native library takes them: contiguous float32, by their addresses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def contiguous(array: Array) -> Array:
    """The array in float32, contiguous; itself if it is so."""
    return np.ascontiguousarray(array, np.float32)


def address(array: Array) -> int:
    """The address of an array's data; the caller must keep the array alive."""
    return array.__array_interface__["data"][0]


def addresses(*arrays: Array) -> list[int]:
    """The address of each array's data."""
    return list(map(address, arrays))
