"""From PyTorch's tensors to the native kernels: which tensors they support, packed weights, and shared threads.

Callers check shapes; the library receives addresses. Callers keep a reference to each tensor whose address they pass.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stepscan import kernels
from stepscan.kernels.native import library

__all__ = ["in_functorch", "is_supported", "packed"]

_TENSOR_TYPES = (Tensor, nn.Parameter)


def is_supported(weight: Tensor, data: Tensor) -> bool:
    """Whether the native kernels are enabled and support these: float32 on a CPU, no subclass, no transform."""
    return (
        data.dtype is torch.float32
        and data.is_cpu
        and type(data) in _TENSOR_TYPES
        and weight.dtype is torch.float32
        and weight.is_cpu
        and kernels.native_enabled()
        and not torch.compiler.is_compiling()
        and not in_functorch()
    )


def in_functorch() -> bool:
    """Whether this runs inside a transform of torch.func, whose tensors have no address for a fused kernel to use."""
    return torch._C._functorch.maybe_current_level() is not None


class _PackedCache:
    """A module's cache of packed weights, and the tensors that they were packed from. It is not part of the module's
    state: copies and pickles of the module start with an empty cache."""

    __slots__ = ("addresses", "backward", "identity", "sizes", "tensors", "weights")

    def __init__(self) -> None:
        self.identity: Any = None
        self.addresses: list[int] = []
        self.sizes: list[int] = []
        self.backward = False
        self.weights: Any = None
        self.tensors: Sequence[Tensor | None] = ()  # references, so that no other tensor gets their addresses

    def __deepcopy__(self, memo: Any) -> _PackedCache:
        return _PackedCache()

    def __reduce__(self) -> tuple[type[_PackedCache], tuple[()]]:
        return _PackedCache, ()


def addresses(some: Iterable[Tensor | None]) -> list[int]:
    """Where tensors lie, 0 for None."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in some]


def packed(owner: Any, tensors: Sequence[Tensor | None], backward: bool, make: Callable[..., Any]) -> Any:
    """The packed weights of a module or a program, cached until a tensor changes.

    A change is a new address or version counter or, since torch does not count changes through `.data`, a new hash of a
    sample of the values.

    Args:
        owner: holds the cache.
        tensors: its weights; None for a missing bias.
        backward: whether the backward pass needs them too.
        make: packs the weights at these addresses, 0 for None.
    """
    places = addresses(tensors)
    try:
        versions = [0 if t is None else t._version for t in tensors]
    except RuntimeError:  # inference tensors have no version counter
        versions = []
    cache: _PackedCache | None = owner.__dict__.get("_stepscan_packed")
    if cache is None:
        cache = owner.__dict__["_stepscan_packed"] = _PackedCache()
    if cache.addresses != places:
        cache.addresses, cache.sizes = places, [0 if t is None else t.numel() for t in tensors]
    identity = (places, versions, library.fingerprint(places, cache.sizes))
    if cache.identity != identity or (backward and not cache.backward):
        contiguous = [None if t is None else t.detach().contiguous() for t in tensors]
        weights = make(addresses(contiguous))
        cache.weights, cache.identity, cache.backward = weights, identity, backward
        cache.tensors = [None if t is None else t.detach() for t in tensors]
    return cache.weights


def _share_openmp() -> None:
    """Run the kernels on the threads of the OpenMP library that torch has loaded: two pools would compete for cores."""
    try:
        maps = Path("/proc/self/maps").read_text("utf-8").splitlines()
        paths = {line.split(maxsplit=5)[5] for line in maps if "libgomp" in line}
        torch_paths = [path for path in paths if Path(torch.__file__).parent in Path(path).parents]
        openmp = ctypes.CDLL((torch_paths or sorted(paths))[0])
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        functions = [ctypes.cast(getattr(openmp, name), ctypes.c_void_p).value for name in names]
    except (OSError, IndexError, AttributeError):
        return  # another system, or torch without libgomp: the kernels use their own threads
    library.use_openmp(*functions)


if library is not None:
    _share_openmp()
