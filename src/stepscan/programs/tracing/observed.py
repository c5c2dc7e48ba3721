"""What a step reads besides x, its state and weights, as far as its code tells: attributes, globals, closures.

A trace holds what these were; when one is another, the step is traced again.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Observed"]

_MISSING = object()
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_WITHOUT_ATTRIBUTES = (*_PLAIN, type, Tensor, np.ndarray)  # none that is worth following
_MOST_ITEMS, _MOST_BYTES = 256, 1 << 16
_MOST_FUNCTIONS = 256
_ANY_ATTRIBUTE = {"getattr", "vars", "__dict__", "eval", "exec"}  # a step with these may read any attribute


class Observed:
    """The places that the step of a cell reads.

    Args:
        cell: the cell, whose step is plain Python.

    Attributes:
        refusal: why what they hold cannot be compared; empty if it can.
    """

    def __init__(self, cell: nn.Module) -> None:
        self.refusal = ""
        self._readers: dict[tuple[int, str], tuple[str, Callable[[], Any]]] = {}
        self._kept: list[Any] = []  # so that no other object gets the identity of one of them
        self._modules = list(cell.modules())
        self._attributes = [(module, frozenset(vars(module))) for module in self._modules]
        self._owners: list[Any] = list(self._modules)  # whose attributes a step may read
        self._names: set[str] = set()  # of globals and attributes in its functions
        self._functions: dict[CodeType, FunctionType] = {}
        self._add_functions(_functions(cell))
        self._search()
        # what they held at first; no token for what cannot change without becoming another object
        self._first = [(name, read, value := read(), _token_of_mutable(value)) for name, read in self._readers.values()]

    def changed(self) -> str:
        """The names of what is not what it was when this was made; empty if nothing is."""
        found = []
        for name, read, first, token in self._first:
            value = read()
            if (value is not first or token is not None) and _token(value, 0) != (token or _token(first, 0)):
                found.append(name)
        return ", ".join(found)

    def grown(self) -> str:
        """The names of attributes that the cell's modules have now, but had not when this was made."""
        found = [set(vars(module)) - names - _INTERNAL for module, names in self._attributes]
        return ", ".join(sorted(set().union(*found)))

    def _search(self) -> None:
        """Note what the functions read, and what those read that they may call, until there is nothing new."""
        before = (0, 0, 0)
        while before != (before := (len(self._functions), len(self._owners), len(self._names))):
            for function in list(self._functions.values()):
                self._names.update(_names(function.__code__))
                self._note_variables(function)
            for owner in list(self._owners):
                self._note_attributes(owner)

    def _add_functions(self, functions: Iterable[FunctionType]) -> None:
        for function in functions:
            if len(self._functions) < _MOST_FUNCTIONS:
                self._functions.setdefault(function.__code__, function)

    def _note_variables(self, function: FunctionType) -> None:
        for name in set(_names(function.__code__)) & function.__globals__.keys():
            self._note(
                name, functools.partial(function.__globals__.get, name, _MISSING), (id(function.__globals__), name)
            )
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._note(name, functools.partial(_contents, cell), (id(cell), ""))
        for value in function.__defaults__ or ():
            self._add_functions(_as_functions(value))

    def _note_attributes(self, owner: Any) -> None:
        """Note the attributes of an object that the functions may read, and those of its classes."""
        own, label = getattr(owner, "__dict__", {}), type(owner).__name__
        every = bool(self._names & _ANY_ATTRIBUTE) and isinstance(owner, nn.Module)
        for name in own.keys() - _INTERNAL if every else own.keys() & self._names:
            self._note(f"{label}.{name}", functools.partial(own.get, name, _MISSING), (id(own), name))
        for cls in type(owner).__mro__:
            if not _is_foreign(cls.__module__):
                for name in vars(cls).keys() & self._names:
                    read = functools.partial(vars(cls).get, name, _MISSING)
                    self._note(f"{cls.__name__}.{name}", read, (id(cls), name))

    def _note(self, label: str, read: Callable[[], Any], place: tuple[int, str]) -> None:
        value = read()
        if place in self._readers or any(value is module for module in self._modules):
            return  # the cell's modules are compared by their structure
        if isinstance(value, ModuleType | type | FunctionType) and _is_foreign(_module_of(value)):
            return
        if isinstance(value, np.ndarray) and value.nbytes > _MOST_BYTES:
            self.refusal = f"reads {label}, a NumPy array of {value.nbytes:,} bytes: make it a buffer"
        self._readers[place] = (label, read)
        self._kept.append(value)
        functions = _as_functions(value)
        self._add_functions(functions)
        if isinstance(value, nn.Module):
            self._note_module(value)
        elif not functions and not isinstance(value, _WITHOUT_ATTRIBUTES):
            self._owners.append(value)

    def _note_module(self, module: nn.Module) -> None:
        """Note the tensors of a module that is not one of the cell's."""
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self._readers[id(tensor), name] = (f"{type(module).__name__}.{name}", functools.partial(_same, tensor))
        for inner in module.modules():
            self._add_functions(_as_functions(type(inner).forward))


_INTERNAL = frozenset(vars(nn.Module())) | {"_stepscan_packed", "_stepscan_program", "arguments"}


def _functions(cell: nn.Module) -> Iterator[FunctionType]:
    """The step, and what the modules inside the cell may run."""
    yield from _as_functions(getattr(type(cell), "step", None))
    yield from _as_functions(vars(cell).get("step"))
    for module in cell.modules():
        if module is not cell and not _is_foreign(type(module).__module__):
            yield from _as_functions(type(module).forward)


def _as_functions(value: Any) -> list[FunctionType]:
    """The Python functions that a value is, unless they are a library's."""
    if isinstance(value, property):
        return [f for accessor in (value.fget,) for f in _as_functions(accessor)]
    if isinstance(value, staticmethod | classmethod | MethodType):
        return _as_functions(value.__func__)
    if isinstance(value, FunctionType):
        inner = getattr(value, "__wrapped__", None)
        found = [] if _is_foreign(value.__module__ or "") else [value]
        return found + (_as_functions(inner) if inner is not None else [])
    return []


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function and those inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_foreign(module: str) -> bool:
    """Whether a module is PyTorch's, NumPy's, Python's, or one of this library's that no cell is in."""
    top = module.partition(".")[0]
    if top == "stepscan":
        return not module.startswith(("stepscan.cells", "stepscan.combinators"))
    return top in ("torch", "numpy") or (top in sys.stdlib_module_names and top != "__main__")


def _module_of(value: Any) -> str:
    return value.__name__ if isinstance(value, ModuleType) else value.__module__ or ""


def _same(value: Any) -> Any:
    return value


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet set
        return _MISSING


def _token_of_mutable(value: Any) -> Any:
    token = _token(value, 0)
    return None if isinstance(value, _PLAIN) or token == id(value) else token


def _token(value: Any, depth: int) -> Any:
    """Something that is equal for equal values: numbers and arrays by value, other objects by identity."""
    if isinstance(value, _PLAIN):
        return type(value).__name__, repr(value)
    if isinstance(value, Tensor):
        return id(value), value.dtype, tuple(value.shape), _version(value), _bytes(value)
    if isinstance(value, np.ndarray | np.generic):
        return id(value) if value.nbytes > _MOST_BYTES else (str(value.dtype), value.shape, value.tobytes())
    if type(value) in (tuple, list, set, frozenset) and len(value) <= _MOST_ITEMS and depth < 4:
        return type(value).__name__, tuple(_token(item, depth + 1) for item in value)
    if type(value) is dict and len(value) <= _MOST_ITEMS and depth < 4:
        return tuple((_token(key, depth + 1), _token(item, depth + 1)) for key, item in value.items())
    return id(value)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _bytes(tensor: Tensor) -> Any:
    """The values of a small tensor: what changes through `.data` counts no version."""
    if tensor.numel() * tensor.element_size() > _MOST_BYTES or type(tensor) is not Tensor or not tensor.is_cpu:
        return None
    return tensor.detach().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
