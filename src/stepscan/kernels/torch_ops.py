"""Native kernels as PyTorch operations: scans with gradients, and the linear map, for float32 tensors on a CPU.

Shapes are checked here, once; the library gets addresses. Every tensor whose address goes down is kept alive by a name.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from stepscan import kernels
from stepscan.kernels.native import library
from stepscan.sequences import Sequences
from stepscan.state import State

__all__ = [
    "Direction",
    "LayerNorm",
    "Linear",
    "Tanh",
    "attend",
    "attends_natively",
    "linear",
    "scan",
    "softmax",
    "step",
    "suits",
    "tanh",
    "transformed",
]


class Direction(NamedTuple):
    """A cell, the way it reads, and where it starts."""

    cell: Any  # a Cell with a `kernel`
    reverse: bool
    state: State  # leaves [B, H]


def suits(cell: nn.Module, data: Tensor) -> bool:
    """Whether the native kernels compute `cell` on `data`: float32 on a CPU, plain tensors."""
    weight = cell._parameters.get("weight_ih")
    return weight is not None and _plain(weight, data)


def _plain(weight: Tensor, data: Tensor) -> bool:
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


_PLAIN = (Tensor, nn.Parameter)

# Packed weights -------------------------------------------------------------------------------------------------------


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


def _packed(module: nn.Module, tensors: Sequence[Tensor | None], backward: bool, make: Callable[..., Any]) -> Any:
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


def _weights(cell: Any, tensors: Sequence[Tensor | None], backward: bool) -> Any:
    def make(addresses: list[int]) -> Any:
        _check_weights(cell, tensors)
        sizes, threads = (cell.input_size, cell.hidden_size), torch.get_num_threads()
        return library.Weights(cell.kernel, *sizes, addresses, backward, threads=threads)

    return _packed(cell, tensors, backward, make)


def _check_weights(cell: Any, tensors: Sequence[Tensor | None]) -> None:
    rows, hidden = cell.gates * cell.hidden_size, cell.hidden_size
    shapes = {
        "weight_ih": (rows, cell.input_size),
        "weight_hh": (rows, hidden),
        "gain_c": (hidden,),
        "bias_c": (hidden,),
    }
    for name, tensor in zip(cell.kernel_weight_names, tensors, strict=True):
        if tensor is None:
            continue
        shape = shapes.get(name, (rows,))
        if tensor.shape != shape or tensor.dtype is not torch.float32 or not tensor.is_cpu:
            raise ValueError(
                f"{cell.described} needs {name} {list(shape)}, float32, on the CPU as the others, "
                f"got {list(tensor.shape)}, {tensor.dtype}, on {tensor.device}"
            )


# Scans ----------------------------------------------------------------------------------------------------------------


def scan(inputs: Sequences, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    """One or two cells over the same inputs, side by side.

    Args:
        inputs: `[B, T, I]`; what stands in the padding is not read.
        directions: their cells take I numbers.

    Returns:
        Outputs `[B, T, ΣH]`, zero in the padding, and a final state for each direction.
    """
    return _run(inputs.data, inputs.lengths, directions)


def step(cell: Any, x: Tensor, state: Any) -> tuple[Tensor, State]:
    """One item: `x [B, I]` and a state → output `[B, H]` and the next state, with a scan's bits."""
    shape = x.shape
    if len(shape) != 2 or shape[1] != cell.input_size:
        raise ValueError(f"{cell.described} steps over [B, {cell.input_size}], got {list(shape)}")
    batch = shape[0]
    if torch.is_grad_enabled():
        y, (final,) = _run(x[:, None], _ones(batch), [Direction(cell, False, state)])
        return y[:, 0], final
    for leaf in state:
        _check_leaf(cell, leaf, batch)
    weights = _weights(cell, cell.kernel_weights, False)
    x, start = x.contiguous(), [leaf.contiguous() for leaf in state]
    end = [torch.empty_like(leaf) for leaf in start]  # the first, h, is the output too
    library.step(weights, x.data_ptr(), *_two(start), batch, *_two(end), torch.get_num_threads())
    return end[0], type(state)(*end)


@functools.lru_cache(maxsize=64)
def _ones(batch: int) -> Tensor:
    return torch.ones(batch, dtype=torch.long)


def _run(x: Tensor, lengths: Tensor, directions: Sequence[Direction]) -> tuple[Tensor, list[State]]:
    flat: list[Tensor | None] = []
    for cell, _, state in directions:
        for leaf in state:
            _check_leaf(cell, leaf, len(x))
        flat += [*state, *cell.kernel_weights]
    run = _Run(lengths, x.shape[1], [(d.cell, d.reverse) for d in directions])
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *flat)):
        y, *ends = _Scan.apply(run, x, *flat)
    else:
        y, ends, _ = run.forward(x, flat, save=False)
    finals = iter(ends)
    return y, [type(d.state)(*itertools.islice(finals, len(d.state))) for d in directions]


def _check_leaf(cell: Any, leaf: Tensor, batch: int) -> None:
    if leaf.shape != (batch, cell.hidden_size):
        raise ValueError(f"{cell.described} starts from [{batch}, {cell.hidden_size}], got {list(leaf.shape)}")
    if leaf.dtype is not torch.float32:
        raise TypeError(f"{cell.described} computes in float32, but its state is {leaf.dtype}")


class _Run:
    """One call: what is the same forward and backward."""

    def __init__(self, lengths: Tensor, steps: int, cells: list[tuple[Any, bool]]) -> None:
        self.lengths, self.steps, self.cells = lengths.contiguous(), steps, cells
        self.leaves = [cell.kernel_leaves for cell, _ in cells]
        counts = [n + len(cell.kernel_weights) for n, (cell, _) in zip(self.leaves, cells, strict=True)]
        self.ends = [0, *itertools.accumulate(counts)]
        self.width = sum(cell.hidden_size for cell, _ in cells)

    def split(self, flat: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
        """Leaves and weights of each direction."""
        return [
            (list(flat[begin : begin + n]), list(flat[begin + n : end]))
            for begin, end, n in zip(self.ends, self.ends[1:], self.leaves, strict=False)
        ]

    def forward(self, x: Tensor, flat: Sequence[Tensor | None], save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final leaves, and what backward needs."""
        x = x.contiguous()
        batch = x.shape[0]
        y = x.new_empty(batch, self.steps, self.width)
        ends: list[Tensor] = []
        packed, addresses, alive = [], [], []
        offset = 0
        for (cell, _), (start, weights) in zip(self.cells, self.split(flat), strict=True):
            start = [leaf.contiguous() for leaf in start]
            end = [torch.empty_like(leaf) for leaf in start]
            packed.append(_weights(cell, weights, save))
            addresses.append([*_two(start), y.data_ptr() + 4 * offset, self.width, *_two(end)])
            ends += end
            alive.append(start)
            offset += cell.hidden_size
        kept = library.forward(
            packed,
            [reverse for _, reverse in self.cells],
            x.data_ptr(),
            self.lengths.data_ptr(),
            batch,
            self.steps,
            addresses,
            save,
            torch.get_num_threads(),
        )
        return y, ends, (kept, packed) if save else None


def _two(tensors: Sequence[Tensor | None]) -> list[int]:
    """The addresses of one or two tensors, 0 for what is not there."""
    addresses = [0 if t is None else t.data_ptr() for t in tensors]
    return addresses if len(addresses) == 2 else [*addresses, 0]


class _Scan(Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, x: Tensor, *flat: Tensor | None) -> tuple[Tensor, ...]:
        y, ends, kept = run.forward(x, flat, save=True)
        ctx.run, ctx.kept = run, kept
        ctx.save_for_backward(x, y, *flat)
        ctx.set_materialize_grads(False)
        return (y, *ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, *flat = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: through the equations, which can be differentiated again
            return None, *_by_equations(ctx.run, x, flat, gradients, ctx.needs_input_grad[1:])
        return None, *_backward(ctx, x, y, flat, gradients)


def _backward(
    ctx: Any, x: Tensor, y: Tensor, flat: list[Tensor | None], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    run: _Run = ctx.run
    kept, packed = ctx.kept
    wanted = ctx.needs_input_grad
    x = x.contiguous()
    dy = torch.zeros_like(y) if gradients[0] is None else gradients[0].contiguous()
    dx = torch.empty_like(x) if wanted[1] else None
    results: list[Tensor | None] = [dx]
    addresses, alive = [], []
    of_ends = iter(gradients[1:])
    of_wanted = iter(wanted[2:])
    offset = 0
    for (cell, _), (start, weights) in zip(run.cells, run.split(flat), strict=True):
        start = [leaf.contiguous() for leaf in start]
        d_end = [None if g is None else g.contiguous() for g in itertools.islice(of_ends, len(start))]
        d_start = [torch.empty_like(leaf) if next(of_wanted) else None for leaf in start]
        of_weights = [next(of_wanted) for _ in weights]
        d_weights = (
            [torch.empty_like(w, memory_format=torch.contiguous_format) if w is not None else None for w in weights]
            if any(of_weights)
            else []
        )
        addresses.append(
            [
                *_two(start),
                y.data_ptr() + 4 * offset,
                dy.data_ptr() + 4 * offset,
                *_two(d_end),
                *_two(d_start),
                *(0 if g is None else g.data_ptr() for g in d_weights),
            ]
        )
        alive.append((start, d_end))
        results += [*d_start, *(d_weights or [None] * len(weights))]
        offset += cell.hidden_size
    library.backward(kept, x.data_ptr(), 0 if dx is None else dx.data_ptr(), packed, addresses, torch.get_num_threads())
    return [g if need else None for g, need in zip(results, wanted[1:], strict=True)]


def _by_equations(
    run: _Run, x: Tensor, flat: list[Tensor | None], gradients: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients as functions of everything, for a second derivative."""
    inputs = Sequences(x, run.lengths)
    outputs, ends = [], []
    with kernels.use("reference"):
        for (cell, reverse), (start, weights) in zip(run.cells, run.split(flat), strict=True):
            given = {n: w for n, w in zip(cell.kernel_weight_names, weights, strict=True) if w is not None}
            own = inputs.reversed() if reverse else inputs
            state = type(cell.initial_state(0))(*start)
            out, end = torch.func.functional_call(cell, given, (own, state))
            outputs.append((out.reversed() if reverse else out.zeroed()).data)
            ends += end
    results = [torch.cat(outputs, dim=2), *ends]
    asked = [t for t, need in zip((x, *flat), wanted, strict=True) if need and t is not None]
    pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if g is not None and r.requires_grad]
    of_results = [g for _, g in pairs]
    found = iter(torch.autograd.grad([r for r, _ in pairs], asked, of_results, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in wanted]


# Linear ---------------------------------------------------------------------------------------------------------------


class Linear(nn.Linear):
    """`nn.Linear`; where no gradient is asked for, with the same bits for a row alone and in any batch."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(self, x, self.weight, self.bias)


def linear(owner: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x Wᵀ + b`, natively where no gradient is asked for; `owner` keeps the packed weights.

    Args:
        x: `[…, I]`, weight `[H, I]`, bias `[H]`.
    """
    outputs, inputs = weight.shape
    fits = x.shape[-1] == inputs and (bias is None or (bias.shape == (outputs,) and bias.dtype is torch.float32))
    if torch.is_grad_enabled() or not fits or not _plain(weight, x):
        return F.linear(x, weight, bias)
    packed = _packed(owner, [weight, bias], False, lambda addresses: library.Linear(*addresses, inputs, outputs))
    x = x.contiguous()
    y = x.new_empty(*x.shape[:-1], outputs)
    packed.run(x.data_ptr(), x.numel() // inputs, y.data_ptr(), torch.get_num_threads())
    return y


# Number by number -----------------------------------------------------------------------------------------------------


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, natively where no gradient is asked for."""
    if torch.is_grad_enabled() or not _plain(x, x):
        return torch.tanh(x)
    x = x.contiguous()
    y = torch.empty_like(x)
    library.tanh(x.data_ptr(), x.numel(), y.data_ptr(), torch.get_num_threads())
    return y


class Tanh(nn.Module):
    """`tanh` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension; natively where no gradient is asked for."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        if torch.is_grad_enabled() or self.weight.shape != (size,) or not _plain(self.weight, x):
            return super().forward(x)
        x = x.contiguous()
        y = torch.empty_like(x)
        addresses = self.weight.data_ptr(), self.bias.data_ptr(), y.data_ptr()
        library.layer_norm(x.data_ptr(), x.numel() // size, size, *addresses, torch.get_num_threads())
        return y


# Attention ------------------------------------------------------------------------------------------------------------


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, natively where no gradient is asked for: −∞ after the rest change no bit."""
    if torch.is_grad_enabled() or not _plain(scores, scores):
        return scores.softmax(dim=-1)
    scores = scores.contiguous()
    result, size = torch.empty_like(scores), scores.shape[-1]
    rows = scores.numel() // max(1, size)
    library.softmax(scores.data_ptr(), rows, size, result.data_ptr(), torch.get_num_threads())
    return result


def attends_natively(*data: Tensor) -> bool:
    """Whether `attend` can take these tensors: no gradient is asked for, and they suit the kernels."""
    return not torch.is_grad_enabled() and all(_plain(tensor, tensor) for tensor in data)


def attend(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Additive attention (Bahdanau et al. 2015), or by products (Luong et al. 2015), forward only.

    Args:
        queries: `[B, T, A]`, keys `[B, S, A]`, memory `[B, S, M]`, length `[B]` of the memory, score: A numbers v, or
            None for products.

    Returns:
        Contexts `[B, T, M]` and weights `[B, T, S]`, softmax over S of v · tanh(query + key) or of query · key; zeros
        where length is 0.
    """
    queries, keys, memory, length = (t.contiguous() for t in (queries, keys, memory, length.long()))
    score = None if score is None else score.contiguous()
    (batch, steps, width), items, memory_width = queries.shape, keys.shape[1], memory.shape[2]
    context, weights = queries.new_empty(batch, steps, memory_width), queries.new_empty(batch, steps, items)
    library.attend(
        *(queries.data_ptr(), keys.data_ptr(), memory.data_ptr(), length.data_ptr()),
        0 if score is None else score.data_ptr(),
        *(batch, steps, items, width, memory_width),
        *(context.data_ptr(), weights.data_ptr(), torch.get_num_threads()),
    )
    return context, weights


# Threads --------------------------------------------------------------------------------------------------------------


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
