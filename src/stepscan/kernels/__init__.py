"""The native kernels, and which backend computes a cell.

    "native"     our own kernels: float32 on a CPU; the same bits for a step, a scan, a row alone and in any batch
    "torch"      PyTorch's fused kernels
    "reference"  the cell's equations, one step at a time: any dtype and device, differentiable any number of times

By default (`use(None)`) each cell runs on the first of these that supports it. Which one depends on the cell, its sizes
and the dtype, never on the batch or the lengths.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from stepscan.errors import nearest
from stepscan.kernels import native

__all__ = ["BACKENDS", "get_backend", "native_enabled", "use"]

BACKENDS = ("reference", "torch", "native")
_backend: str | None = None
_warned = False


@contextlib.contextmanager
def _restoring(previous: str | None) -> Iterator[None]:
    global _backend
    try:
        yield
    finally:
        _backend = previous


def use(backend: str | None) -> contextlib.AbstractContextManager[None]:
    """Select the backend of all cells from now on or, as `with use(…):`, inside the block.

    Args:
        backend: `"native"`, `"torch"`, `"reference"`, or None for the first that supports each cell.

    Raises:
        ValueError: an unknown backend.
        RuntimeError: `"native"`, but the native library was not built.
    """
    global _backend
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"expected a backend or None, got {backend!r}.{nearest(backend, BACKENDS)}")
    if backend == "native" and native.library is None:
        raise RuntimeError(f"native kernels are unavailable ({native.missing}); install stepscan with a C++17 compiler")
    previous, _backend = _backend, backend
    return _restoring(previous)


def get_backend() -> str | None:
    """The backend that `use` selected; None for the default."""
    return _backend


def native_enabled() -> bool:
    """Whether cells that have a native kernel should use it; warns once if the native library is missing."""
    global _warned
    if _backend is not None:
        return _backend == "native"
    if native.library is None and not _warned:
        _warned = True
        warnings.warn(
            f"stepscan's native kernels are unavailable ({native.missing}): falling back to PyTorch's, which train "
            "LSTMs and GRUs on a CPU two to six times slower. Install stepscan with a C++17 compiler.",
            RuntimeWarning,
            stacklevel=4,
        )
    return native.library is not None
