"""What a kernel needs of PyTorch's tensors: memory that it can address, weights in its own layout, the same threads.

Shapes are checked by those who call, once; the library gets addresses. Every tensor whose address goes down is kept
alive by a name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stepscan import kernels
from stepscan.kernels.native import library

__all__ = ["packed", "plain", "transformed"]

_PLAIN = (Tensor, nn.Parameter)


def plain(weight: Tensor, data: Tensor) -> bool:
    """Whether the kernels can take these: float32 on a CPU, no tensors of a subclass or a transform."""
    return (
        data.dtype is torch.float32
        and data.is_cpu
        and type(data) in _PLAIN
        and weight.dtype is torch.float32
        and weight.is_cpu
        and kernels.native_wanted()
        and not torch.compiler.is_compiling()
        and not transformed()
    )


def transformed() -> bool:
    """Whether a transform of torch.func is at work: its tensors have no address, so no fused kernel can take them."""
    return torch._C._functorch.maybe_current_level() is not None


class _Packed:
    """A module's weights in the kernels' layout, and what they were made of. Lies in the module, but is no part of it:
    a copy of the module, saved or in memory, begins with an empty one."""

    __slots__ = ("addresses", "backward", "identity", "sizes", "tensors", "weights")

    def __init__(self) -> None:
        self.identity: Any = None
        self.addresses: list[int] = []
        self.sizes: list[int] = []
        self.backward = False
        self.weights: Any = None
        self.tensors: Sequence[Tensor | None] = ()  # kept, so that no other tensor gets their addresses

    def __deepcopy__(self, memo: Any) -> _Packed:
        return _Packed()

    def __reduce__(self) -> tuple[type[_Packed], tuple[()]]:
        return _Packed, ()


def packed(module: nn.Module, tensors: Sequence[Tensor | None], backward: bool, make: Callable[..., Any]) -> Any:
    """The module's weights as `make` packs them, anew when a tensor has changed.

    It has changed when its address or version is another, or (torch counts no changes through `.data`) a sample of its
    numbers.
    """
    addresses = [0 if t is None else t.data_ptr() for t in tensors]
    try:
        versions = [0 if t is None else t._version for t in tensors]
    except RuntimeError:  # made in inference mode: these count no versions
        versions = []
    found: _Packed | None = module.__dict__.get("_stepscan_packed")
    if found is None:
        found = module.__dict__["_stepscan_packed"] = _Packed()
    if found.addresses != addresses:
        found.addresses, found.sizes = addresses, [0 if t is None else t.numel() for t in tensors]
    identity = (addresses, versions, library.fingerprint(addresses, found.sizes))
    if found.identity != identity or (backward and not found.backward):
        contiguous = [None if t is None else t.detach().contiguous() for t in tensors]
        weights = make([0 if t is None else t.data_ptr() for t in contiguous])
        found.weights, found.identity, found.backward = weights, identity, backward
        found.tensors = [None if t is None else t.detach() for t in tensors]
    return found.weights


def _share_openmp() -> None:
    """Let the kernels run on the threads of the OpenMP library that torch has loaded: two pools fight for the cores."""
    try:
        maps = Path("/proc/self/maps").read_text("utf-8").splitlines()
        paths = {line.split(maxsplit=5)[5] for line in maps if "libgomp" in line}
        of_torch = [path for path in paths if Path(torch.__file__).parent in Path(path).parents]
        loaded = ctypes.CDLL((of_torch or sorted(paths))[0])
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        found = [ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value for name in names]
    except (OSError, IndexError, AttributeError):
        return  # another system, or a torch without it: the kernels' own threads serve
    library.use_openmp(*found)


if library is not None:
    _share_openmp()
