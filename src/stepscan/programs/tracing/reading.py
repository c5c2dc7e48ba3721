"""What code reads by name, and where a value that it reads leads to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

__all__ = [
    "MISSING",
    "contents",
    "functions_in",
    "functions_of_cell",
    "has_attributes",
    "is_foreign",
    "is_of_torch",
    "module_of",
    "names_in",
    "own_classes",
    "parts_of",
]

MISSING = object()


def functions_of_cell(cell: nn.Module) -> Iterator[FunctionType]:
    """The step, and what the modules inside the cell may run."""
    yield from functions_in(getattr(type(cell), "step", None))
    yield from functions_in(vars(cell).get("step"))
    for module in cell.modules():
        if module is not cell and not is_foreign(type(module).__module__):
            yield from functions_in(type(module).forward)


def functions_in(value: Any) -> list[FunctionType]:
    """The Python functions that a value is, unless they are a library's."""
    if isinstance(value, property):
        return [f for accessor in (value.fget,) for f in functions_in(accessor)]
    if isinstance(value, staticmethod | classmethod | MethodType):
        return functions_in(value.__func__)
    if isinstance(value, FunctionType):
        inner = getattr(value, "__wrapped__", None)
        found = [] if is_foreign(value.__module__ or "") else [value]
        return found + (functions_in(inner) if inner is not None else [])
    return []


def parts_of(value: Any) -> tuple[Any, ...]:
    """What is in a container, a partial call or a bound method."""
    if isinstance(value, dict):
        return tuple(value.values())
    if isinstance(value, tuple | list | set | frozenset):
        return tuple(value)
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    return (value.__self__,) if isinstance(value, MethodType) else ()


def own_classes(value: Any) -> list[type]:
    """The classes of a value that are not a library's."""
    return [cls for cls in type(value).__mro__ if not is_foreign(cls.__module__)]


def has_attributes(value: Any) -> bool:
    """Whether the attributes of a value can be read one by one; a library's values are compared by identity."""
    classes = type(value).__mro__
    return (
        hasattr(value, "__dict__") or is_foreign(classes[0].__module__) or any("__slots__" in vars(c) for c in classes)
    )


def is_of_torch(module: nn.Module) -> bool:
    """Whether a module's class is, or derives from, one of PyTorch's other than `nn.Module`."""
    return any(c is not nn.Module and c.__module__.startswith("torch.") for c in type(module).__mro__)


def names_in(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function and those inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_foreign(module: str) -> bool:
    """Whether a module is PyTorch's, NumPy's, Python's, or one of this library's that no cell is in."""
    top = module.partition(".")[0]
    if top == "stepscan":
        return not module.startswith(("stepscan.cells", "stepscan.combinators"))
    return top in ("torch", "numpy") or (top in sys.stdlib_module_names and top != "__main__")


def module_of(value: Any) -> str:
    """The name of the module that a value is or is defined in."""
    return value.__name__ if isinstance(value, ModuleType) else value.__module__ or ""


def contents(cell: Any) -> Any:
    """What a variable of a closure holds; `MISSING` if nothing yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet set
        return MISSING
