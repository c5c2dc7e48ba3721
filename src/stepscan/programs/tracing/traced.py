"""The program of a cell, traced once and believed for as long as what it was traced of is the same."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any, NamedTuple

import torch
from torch._guards import tracing
from torch.nn.modules.module import _has_any_global_hook

from stepscan.programs.tracing.observed import Observed
from stepscan.programs.tracing.structure import Structure
from stepscan.programs.tracing.tracer import Trace, trace
from stepscan.programs.tracing.untraceable import Untraceable
from stepscan.programs.tracing.verification import verify

__all__ = ["Traced", "traced", "traced_in_graph", "why_not_traced"]

logger = logging.getLogger(__name__)
_MOST_TRACES = 8  # of one structure of a cell; a step that reads what keeps changing is left alone
_MOST_STRUCTURES = 64  # of one cell
_HOOKS = "calls a module with hooks, which a program does not run"
_lock = threading.RLock()  # PyTorch records one step at a time
_said: set[str] = set()
_busy = threading.local()


class Traced(NamedTuple):
    """A cell's program that gives what its step gives.

    Attributes:
        trace: the program, and how its weights are made.
    """

    trace: Trace


class _Entry(NamedTuple):
    structure: Structure
    observed: Observed
    result: Traced | Untraceable


def _nobody() -> None:
    """The owner of an empty cache."""


class _Cache:
    """What was traced of a module. Copies and pickles of the module start with an empty one."""

    def __init__(self, owner: Any = None) -> None:
        self.owner: Any = weakref.ref(owner) if owner is not None else _nobody  # a shallow copy has another's cache
        self.last: _Entry | None = None
        self.entries: dict[Any, _Entry] = {}  # by the key of the structure
        self.traces: dict[Any, int] = {}  # how many, by that key

    def of(self, cell: Any) -> _Cache:
        """This, if it is of this cell; or an empty one."""
        return self if self.owner() is cell else _Cache(cell)

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
    if isinstance(result, Traced) or result is None:
        return result
    message = f"{result}; the cell runs as a loop in PyTorch"
    if message not in _said:
        _said.add(message)
        logger.warning("%s", message)
    return None


def traced_in_graph(cell: Any) -> Traced | None:
    """The same while PyTorch makes a graph of the caller. Where the cell's tensors have no numbers then, as in
    `torch.export`, it is what was traced before, if there was a scan or a step of a scan outside of the graph."""
    if torch._C._len_torch_dispatch_stack():
        cache: _Cache = cell.__dict__.get("_stepscan_program", _Cache()).of(cell)
        last = cache.last
        if last is None or not last.structure.same(kinds=False) or last.observed.changed():
            return None
        return last.result if isinstance(last.result, Traced) else None
    before, torch.compiler._is_compiling_flag = torch.compiler._is_compiling_flag, False
    try:
        with tracing(None):  # its sizes are not those of the graph
            return traced(cell)
    finally:
        torch.compiler._is_compiling_flag = before


def why_not_traced(cell: Any) -> str:
    """Why a cell has no program, in one line; empty if it has one."""
    result = _result(cell)
    if result is None:
        return "PyTorch records or transforms the caller, or the weights are not plain tensors"
    return "" if isinstance(result, Traced) else str(result)


def _result(cell: Any) -> Traced | Untraceable | None:
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return None
    if _has_any_global_hook():
        return Untraceable(type(cell).__name__, _HOOKS)
    cache: _Cache | None = cell.__dict__.get("_stepscan_program")
    last = None if cache is None or cache.owner() is not cell else cache.last
    if last is not None and last.structure.same() and not last.observed.changed():
        return last.result
    if torch._C._len_torch_dispatch_stack() or getattr(_busy, "tracing", False):
        return None
    with _lock:
        return _find(cell)


def _find(cell: Any) -> Traced | Untraceable | None:
    """What was traced before of this structure, or a new trace."""
    structure = Structure(cell)
    if structure.key is None:
        return None
    cache: _Cache = cell.__dict__.get("_stepscan_program", _Cache()).of(cell)
    cell.__dict__["_stepscan_program"] = cache
    entry = cache.entries.get(structure.key)
    changed = "its modules" if entry is None else entry.observed.changed() or entry.observed.replaced()
    if entry is not None and not changed:
        cache.last = entry._replace(structure=structure)
        return entry.result
    observed = Observed(cell)
    reason = _count(cache, structure.key, changed)
    result = Untraceable(type(cell).__name__, reason) if reason else _trace(cell, structure, observed)
    cache.last = cache.entries[structure.key] = _Entry(structure, observed, result)
    return result


def _count(cache: _Cache, key: Any, changed: str) -> str:
    """Count a trace of a structure. Why there have been too many; empty if there have not."""
    if key not in cache.traces and len(cache.traces) == _MOST_STRUCTURES:
        cache.entries.clear()
        return f"has been traced with {_MOST_STRUCTURES} structures: keep its modules and the shapes of its tensors"
    cache.traces[key] = cache.traces.get(key, 0) + 1
    if cache.traces[key] > _MOST_TRACES:
        return f"reads what keeps changing ({changed}): make it a buffer, or a part of the state"
    return ""


def _trace(cell: Any, structure: Structure, observed: Observed) -> Traced | Untraceable:
    name = type(cell).__name__
    if structure.has_hooks:
        return Untraceable(name, _HOOKS)
    if observed.refusal:
        return Untraceable(name, observed.refusal)
    _busy.tracing = True
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            found = trace(cell)
            if changed := observed.grown() or observed.changed():
                return Untraceable(name, f"changes {changed}: what a step keeps belongs in its state")
            verify(cell, found)
    except Untraceable as error:
        return error
    finally:
        _busy.tracing = False
    return Traced(found)
