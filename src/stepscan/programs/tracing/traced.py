"""The program of a cell, traced once and believed for as long as what it was traced of is the same."""

from __future__ import annotations

import logging
import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepscan.programs.derivative import Derivative, differentiate
from stepscan.programs.tracing.observed import Observed
from stepscan.programs.tracing.tracer import Trace, trace
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.verification import verify

__all__ = ["Traced", "traced", "why_not_traced"]

logger = logging.getLogger(__name__)
_PLAIN_TENSORS = (Tensor, nn.Parameter)
_MOST_TRACES = 8  # of one cell; a step that reads what keeps changing is left alone
_lock = threading.RLock()  # PyTorch records one step at a time
_said: set[str] = set()
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Traced(NamedTuple):
    """A cell's program that gives what its step gives.

    Attributes:
        trace: the program, and how its weights are made.
        derivative: of the program.
    """

    trace: Trace
    derivative: Derivative


class _Entry(NamedTuple):
    observed: Observed
    values: tuple[Any, ...]  # of what was observed
    result: Traced | Untraceable


class _Cache:
    """What was traced of a module, by its structure. Copies and pickles of the module start with an empty one."""

    def __init__(self) -> None:
        self.entries: dict[tuple[Any, ...], _Entry] = {}
        self.traces = 0

    def __deepcopy__(self, memo: Any) -> _Cache:
        return _Cache()

    def __reduce__(self) -> tuple[type[_Cache], tuple[()]]:
        return _Cache, ()


def traced(cell: Any) -> Traced | None:
    """The program of a cell's step as it is now (training or not, with these attributes and globals), or None if there
    is none, in which case one line of the log has said why.

    While PyTorch records or transforms the caller (`torch.compile`, `torch.export`, `torch.func`), there is none.
    """
    result = _result(cell)
    if isinstance(result, Traced):
        return result
    message = f"{result}; the cell runs as a loop in PyTorch" if result is not None else ""
    if message and message not in _said:
        _said.add(message)
        logger.warning("%s", message)
    return None


def why_not_traced(cell: Any) -> str:
    """Why a cell has no program, in one line; empty if it has one."""
    result = _result(cell)
    return "" if isinstance(result, Traced) else "PyTorch is recording" if result is None else str(result)


def _result(cell: Any) -> Traced | Untraceable | None:
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return None
    if torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack():
        return None
    cache = cell.__dict__.get("_stepscan_program")
    key = _structure(cell)
    if key is None:
        return None
    entry = None if cache is None else cache.entries.get(key)
    if entry is not None and entry.observed.now() == entry.values:
        return entry.result
    with _lock:
        return _trace_again(cell, key)


def _trace_again(cell: Any, key: tuple[Any, ...]) -> Traced | Untraceable:
    cache = cell.__dict__.setdefault("_stepscan_program", _Cache())
    entry = cache.entries.get(key)
    changed = ""
    if entry is not None:
        values = entry.observed.now()
        if values == entry.values:  # another thread has just traced it
            return entry.result
        changed = entry.observed.changed(entry.values, values)
    observed = Observed(cell)
    values = observed.now()
    result: Traced | Untraceable
    if cache.traces >= _MOST_TRACES:
        reason = f"reads what keeps changing ({changed or 'its modules'}): make it a buffer, or a part of the state"
        result = Untraceable(type(cell).__name__, reason)
    else:
        cache.traces += 1
        result = _trace(cell, observed, values)
    cache.entries[key] = _Entry(observed, values, result)
    return result


def _trace(cell: Any, observed: Observed, values: tuple[Any, ...]) -> Traced | Untraceable:
    name = type(cell).__name__
    if any(getattr(module, hooks, None) for module in list(cell.modules())[1:] for hooks in _HOOKS):
        return Untraceable(name, "calls a module with hooks, which a program does not run")
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            found = trace(cell)
            verify(cell, found)
    except Untraceable as error:
        return error
    if (after := observed.now()) != values:
        return Untraceable(name, f"changes {observed.changed(values, after)}: what it keeps belongs in the state")
    return Traced(found, differentiate(found.program))


def _structure(cell: nn.Module) -> tuple[Any, ...] | None:
    """What a trace depends on besides what the step's code reads; None if its tensors are not plain ones."""
    key: list[Any] = [torch.get_default_dtype()]
    for module in cell.modules():
        hooks = any(getattr(module, name, None) for name in _HOOKS)
        key.append((type(module), module.training, hooks))
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    key.append(name)
                    continue
                if type(tensor) not in _PLAIN_TENSORS:
                    return None
                key.append((name, tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad))
    return tuple(key)
