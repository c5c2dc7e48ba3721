"""The native kernels' Python face, and the one switch between the ways a cell can be computed.

    "native"     our own kernels: float32 on a CPU; the same bits for a step, a scan, a row alone and in any batch
    "torch"      PyTorch's fused kernels
    "reference"  the cell's equations, a step at a time: any dtype, any device, differentiable as often as you like

`use(None)`, as at the start, takes for each cell the first that can compute it. Which one that is depends on the cell,
its sizes and the dtype, never on the batch or the lengths.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from stepscan.errors import nearest
from stepscan.kernels import native

__all__ = ["BACKENDS", "forced", "native_wanted", "use"]

BACKENDS = ("reference", "torch", "native")
_forced: str | None = None
_warned = False


@contextlib.contextmanager
def _restoring(previous: str | None) -> Iterator[None]:
    global _forced
    try:
        yield
    finally:
        _forced = previous


def use(backend: str | None) -> contextlib.AbstractContextManager[None]:
    """Compute every cell in this way from now on; as `with use(…):`, only inside the block.

    Args:
        backend: `"native"`, `"torch"`, `"reference"`, or None for the best that can compute each cell.

    Raises:
        ValueError: there is no such back end.
        RuntimeError: `"native"`, but the native library was not built.
    """
    global _forced
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"no back end is called {backend!r}.{nearest(backend, BACKENDS)}")
    if backend == "native" and native.library is None:
        raise RuntimeError(f"there are no native kernels ({native.missing}); install stepscan with a C++17 compiler")
    previous, _forced = _forced, backend
    return _restoring(previous)


def forced() -> str | None:
    """What `use` was last told."""
    return _forced


def native_wanted() -> bool:
    """Whether cells that have a native kernel should take it; says once what it costs that there is none."""
    global _warned
    if _forced is not None:
        return _forced == "native"
    if native.library is None and not _warned:
        _warned = True
        warnings.warn(
            f"stepscan's native kernels are not there ({native.missing}): PyTorch's are taken, which "
            "train LSTMs and GRUs on a CPU two to six times slower. Install stepscan where there is a C++17 compiler.",
            RuntimeWarning,
            stacklevel=4,
        )
    return native.library is not None
