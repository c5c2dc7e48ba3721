"""What a step reads besides x, its state and weights, as far as its code tells: attributes, globals, closures.

A trace holds what these were; when one is another, the step is traced again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, KeysView, Set
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from stepscan.programs.tracing.reading import (
    MISSING,
    contents,
    functions_in,
    functions_of_cell,
    has_attributes,
    is_foreign,
    is_of_torch,
    module_of,
    names_in,
    own_classes,
    parts_of,
)
from stepscan.programs.tracing.tokens import MOST_BYTES, MOST_ITEMS, PLAIN, token, token_of_mutable

__all__ = ["Observed"]

_WITHOUT_ATTRIBUTES = (*PLAIN, type, FunctionType, Tensor, np.ndarray)  # none that is worth following
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
        self._names = {"step", "forward"}  # of globals and attributes in its functions
        self._functions: dict[CodeType, FunctionType] = {}
        self._absent: list[tuple[str, KeysView[str], frozenset[str]]] = []  # names that must not appear there
        self._complete: list[tuple[str, KeysView[str], Set[str]]] = []  # the only names there may be
        self._add_functions(functions_of_cell(cell))
        self._search()
        # what they held at first; no token for what cannot change without becoming another object
        self._first = [(name, read, value := read(), token_of_mutable(value)) for name, read in self._readers.values()]
        self._note_absent()

    def changed(self) -> str:
        """The names of what is not what it was when this was made; empty if nothing is."""
        found = []
        for name, read, first, before in self._first:
            value = read()
            if (value is not first or before is not None) and token(value) != (before or token(first)):
                found.append(name)
        for label, keys, absent in self._absent:
            if not keys.isdisjoint(absent):
                found += [f"{label}.{name}" for name in sorted(absent.intersection(keys))]
        for label, keys, known in self._complete:
            if not keys <= known:
                found += [f"{label}.{name}" for name in sorted(keys - known)]
        return ", ".join(found)

    def replaced(self) -> str:
        """What to say if the cell has other modules than when this was made; empty if it has the same."""
        now = list(self._modules[0].modules())
        same = len(now) == len(self._modules) and all(a is b for a, b in zip(now, self._modules, strict=True))
        return "" if same else "its modules"

    def grown(self) -> str:
        """The names of attributes that the cell's modules have now, but had not when this was made."""
        found = [set(vars(module)) - names - _INTERNAL for module, names in self._attributes]
        return ", ".join(sorted(set().union(*found)))

    def _search(self) -> None:
        """Note what the functions read, and what those read that they may call, until there is nothing new."""
        before = (0, 0, 0)
        while before != (before := (len(self._functions), len(self._owners), len(self._names))):
            for function in list(self._functions.values()):
                self._names.update(names_in(function.__code__))
                self._note_variables(function)
            for owner in list(self._owners):
                self._note_attributes(owner)

    def _add_functions(self, functions: Iterable[FunctionType]) -> None:
        for function in functions:
            if len(self._functions) < _MOST_FUNCTIONS:
                self._functions.setdefault(function.__code__, function)

    def _note_variables(self, function: FunctionType) -> None:
        for name in set(names_in(function.__code__)) & function.__globals__.keys():
            self._note(
                name, functools.partial(function.__globals__.get, name, MISSING), (id(function.__globals__), name)
            )
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._note(name, functools.partial(contents, cell), (id(cell), ""))
        for which in ("__defaults__", "__kwdefaults__"):
            if getattr(function, which):
                self._note(which, functools.partial(getattr, function, which), (id(function), which))

    def _note_attributes(self, owner: Any) -> None:
        """Note the attributes of an object that the functions may read, and those of its classes."""
        own, label = getattr(owner, "__dict__", {}), type(owner).__name__
        of_torch = isinstance(owner, nn.Module) and is_of_torch(owner)  # whose code is not followed
        for name in own.keys() - _INTERNAL if of_torch or self._reads_all(owner) else own.keys() & self._names:
            self._note(f"{label}.{name}", functools.partial(own.get, name, MISSING), (id(own), name))
        for cls in own_classes(owner):
            self._add_functions(f for name in vars(cls).keys() & _OPERATORS for f in functions_in(vars(cls)[name]))
            for name in vars(cls).keys() & self._names:
                read = functools.partial(vars(cls).get, name, MISSING)
                self._note(f"{cls.__name__}.{name}", read, (id(cls), name))
                if isinstance(vars(cls)[name], MemberDescriptorType):
                    self._note(f"{label}.{name}", functools.partial(getattr, owner, name, MISSING), (id(owner), name))

    def _reads_all(self, owner: Any) -> bool:
        return isinstance(owner, nn.Module) and not self._names.isdisjoint(_ANY_ATTRIBUTE)

    def _note_absent(self) -> None:
        """Note the attributes that the functions may read but that are not there yet."""
        for owner in self._owners:
            own, names, label = getattr(owner, "__dict__", None), self._names - _INTERNAL, type(owner).__name__
            if isinstance(owner, nn.Module):
                names -= owner._parameters.keys() | owner._buffers.keys() | owner._modules.keys()
                names = names & {"forward"} if is_foreign(type(owner).__module__) else names
            if own is not None and self._reads_all(owner):
                self._complete.append((label, own.keys(), own.keys() | _INTERNAL))
            elif own is not None:
                self._absent.append((label, own.keys(), frozenset(names - own.keys())))
        for cls in {cls for owner in self._owners for cls in own_classes(owner)}:
            self._absent.append((cls.__name__, vars(cls).keys(), frozenset(self._names - vars(cls).keys())))

    def _note(self, label: str, read: Callable[[], Any], place: tuple[int, str]) -> None:
        value = read()
        if place in self._readers or any(value is module for module in self._modules):
            return  # the cell's modules are compared by their structure
        if isinstance(value, ModuleType | type) and is_foreign(module_of(value)):
            return
        if isinstance(value, np.ndarray) and value.nbytes > MOST_BYTES:
            self.refusal = f"reads {label}, a NumPy array of {value.nbytes:,} bytes: make it a buffer"
        self._readers[place] = (label, read)
        self._follow(label, value, 0)

    def _follow(self, label: str, value: Any, depth: int) -> None:
        """Note what a value leads to: functions, modules, objects with attributes, and those in containers."""
        self._kept.append(value)
        functions = functions_in(value)
        self._add_functions(functions)
        if isinstance(value, nn.Module):
            if not any(value is module for module in self._modules):
                self._note_module(value)
        elif parts := parts_of(value):
            for part in parts if depth < 4 and len(parts) <= MOST_ITEMS else ():  # as far as tokens look
                self._follow(label, part, depth + 1)
        elif not functions and not isinstance(value, _WITHOUT_ATTRIBUTES) and all(value is not o for o in self._owners):
            self._owners.append(value)
            if not has_attributes(value):
                self.refusal = f"reads {label}, a {type(value).__name__} without attributes that can be compared"

    def _note_module(self, module: nn.Module) -> None:
        """Note the tensors, modes and attributes of a module that is not one of the cell's."""
        for inner in module.modules():
            label = type(inner).__name__
            for where in (inner._parameters, inner._buffers):
                for name in where:
                    self._readers[id(where), name] = (f"{label}.{name}", functools.partial(where.get, name, MISSING))
            children = functools.partial(tuple, inner._modules.values())
            self._readers[id(inner._modules), ""] = (f"the modules of {label}", children)
            self._readers[id(inner), "training"] = (f"{label}.training", functools.partial(getattr, inner, "training"))
            self._add_functions(functions_in(type(inner).forward))
            if all(inner is not owner for owner in self._owners):
                self._owners.append(inner)


_SIDES = ("add", "sub", "mul", "truediv", "matmul", "pow")
_CALLS = ("call", "getitem", "getattr", "len", "iter", "contains", "bool", "float", "int", "enter", "exit")
_OPERATORS = {f"__{name}__" for name in (*_CALLS, *_SIDES, *("r" + name for name in _SIDES))}  # called by no name
_INTERNAL = frozenset(vars(nn.Module())) | {"_stepscan_packed", "_stepscan_program", "arguments"}
