"""A step as a graph of PyTorch's operations. The only place that knows how PyTorch records one."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.state import leaves

__all__ = ["BATCH", "Captured", "capture", "named_tensors", "place_of"]

BATCH = 7  # rows of the step that is recorded
_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_FRAME = re.compile(r'File "(?P<path>.+)", line (?P<line>\d+), in ')
_NUMBER = (
    "looks at a number that it has computed (`if` on a tensor, .item(), float()): write it with torch.where or clamp"
)
_SHAPES = "makes tensors whose shape depends on numbers, such as a mask as an index: write it with torch.where"
_REASONS = (
    (("DataDependent", "data-dependent", "_local_scalar_dense", "bool() on a tensor"), _NUMBER),
    (("DynamicOutputShape", "nonzero", "dynamic shape"), _SHAPES),
)


class Captured(NamedTuple):
    """What was recorded.

    Attributes:
        graph: of the operations; its first inputs are the tensors, then x, then the state's leaves.
        names: of the cell's parameters and buffers.
        leaves: the state that it was recorded with, leaves `[BATCH, …]`.
    """

    graph: fx.GraphModule
    names: list[str]
    leaves: list[Tensor]


class _Step(nn.Module):
    """Calls the step of a cell, so that its tensors can be exchanged.

    PyTorch records the lines of functions of the name `forward` only, so that the step is called by that name.
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        step: Any = cell.step
        if type(step) is MethodType and type(step.__func__) is FunctionType:
            function = step.__func__
            code = function.__code__.replace(co_name="forward")
            named = FunctionType(
                code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
            )
            named.__kwdefaults__ = function.__kwdefaults__
            step = MethodType(named, cell)
        self._step = step

    def forward(self, x: Tensor, state: Any) -> Any:
        return self._step(x, state)


def named_tensors(cell: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a cell."""
    return {**dict(cell.named_parameters()), **dict(cell.named_buffers())}


def call_step(cell: nn.Module, tensors: dict[str, Tensor], x: Tensor, state: Any) -> Any:
    """`cell.step(x, state)` with these in place of its parameters and buffers.

    Afterwards the cell has its own again: PyTorch leaves the others in a module that has two names.
    """
    own: list[tuple[Any, dict[str, Any]]] = [
        (where, dict(where)) for module in cell.modules() for where in (module._parameters, module._buffers)
    ]
    try:
        return functional_call(_Step(cell), {f"cell.{name}": tensor for name, tensor in tensors.items()}, (x, state))
    finally:
        for where, before in own:
            where.update(before)


def capture(cell: Any) -> Captured:
    """Record one step of a batch.

    Raises:
        Untraceable: PyTorch cannot record it.
    """
    tensors = {name: tensor.detach() for name, tensor in named_tensors(cell).items()}
    like = next((t for t in tensors.values() if t.is_floating_point()), torch.empty(0))
    x = torch.zeros(BATCH, cell.input_size, dtype=like.dtype, device=like.device)
    try:
        state = cell.initial_state(BATCH, device=like.device, dtype=like.dtype)
        found = list(leaves(state))
        _check_state(cell, found)
        state = pytree.tree_map(torch.Tensor.detach, state)
        with torch.enable_grad():
            graph = make_fx(
                lambda tensors, x, state: call_step(cell, tensors, x, state),
                pre_dispatch=True,
                tracing_mode="fake",
                _allow_non_fake_inputs=True,
                record_stack_traces=True,
            )(tensors, x, state)
    except Untraceable:
        raise
    except Exception as error:  # whatever the step raises
        raise Untraceable(type(cell).__name__, _reason(error), _place_of_error(error)) from error
    return Captured(graph, list(tensors), found)


def _check_state(cell: Any, state: list[Any]) -> None:
    name = type(cell).__name__
    for leaf in state:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point() or leaf.dim() < 1 or len(leaf) != BATCH:
            shape = f"{leaf.dtype} {list(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise Untraceable(name, f"has a state that is not floating-point numbers [B, …] but {shape}")
    if not state:
        raise Untraceable(name, "has no state")


def _reason(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    for words, reason in _REASONS:
        if any(word in text for word in words):
            return reason
    return f"PyTorch cannot record it ({text.strip().splitlines()[0][:200]})"


def place_of(node: fx.Node) -> str:
    """The line of the step that a node comes from."""
    trace = node.meta.get("stack_trace") or node.stack_trace or ""
    frames = [(match["path"], int(match["line"])) for match in map(_FRAME.search, trace.splitlines()) if match]
    return _last_own(iter(frames))


def _place_of_error(error: Exception) -> str:
    return _last_own((frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__))


def _last_own(frames: Iterator[tuple[str, int]]) -> str:
    """The innermost frame that is neither PyTorch's nor ours."""
    own = [(path, line) for path, line in frames if not path.startswith((_TORCH, _HERE))]
    if not own:
        return ""
    path, line = own[-1]
    code = linecache.getline(path, line).strip()
    return f"{Path(path).name}, line {line}" + (f" ({code})" if code else "")
