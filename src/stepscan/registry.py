"""The registry of classes by name, so that a model is data: `{"lstm": {"input_size": 64, "hidden_size": 128}}`.

An object of a registered class keeps its constructor's arguments; `describe` turns a tree of such objects into plain
data and `build` turns the data back into objects. Reading a description does not need torch; building does.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from stepscan.errors import ModelFormatError, nearest

_classes: dict[str, Any] = {}
Class = TypeVar("Class", bound=type)


def register(name: str) -> Callable[[Class], Class]:
    """Class decorator: register the class under `name` for configurations, `--cell` and saved models.

    The constructor's arguments must be plain data: numbers, strings, objects of registered classes, lists of these.

    Raises:
        ValueError: another class is registered under the name.
        TypeError: the constructor has `*args` or `**kwargs`, which cannot be saved by name.
    """

    def decorate(cls: Class) -> Class:
        previous = _classes.get(name)
        if previous is not None and (previous.__module__, previous.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(
                f"name: expected one that is not registered, got {name!r}, which is {previous.__qualname__}; "
                "choose another name"
            )
        if previous is not cls:
            _classes[name] = cls
            _keep_arguments(cls, name)
        return cls

    return decorate


def _keep_arguments(cls: Any, name: str) -> None:
    """Set `registered_name`, and wrap `__init__` so that it sets `arguments`, the constructor's arguments by name."""
    cls.registered_name = name
    original = cls.__init__
    signature = inspect.signature(original)
    for parameter in signature.parameters.values() if "__init__" in vars(cls) else ():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{cls.__qualname__}: expected named constructor arguments, got {parameter}; name them")

    @functools.wraps(original)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        original(self, *args, **kwargs)
        if isinstance(self, cls) and type(self).registered_name == name:
            arguments = list(bound.arguments.items())[1:]  # without self; lists are copied: the caller may change them
            self.arguments = {key: list(value) if isinstance(value, list) else value for key, value in arguments}

    cls.__init__ = construct


def registered(name: str) -> Any:
    """The class registered under a name.

    Raises:
        ModelFormatError: no class is; the message suggests the nearest name.
    """
    if name not in _classes:
        _import_built_in()
    if name not in _classes:
        raise ModelFormatError(
            f"expected the name of a registered layer or model, got {name!r}.{nearest(name, _classes)} "
            "If it is your own, import the module that registers it first."
        )
    return _classes[name]


def registered_classes() -> dict[str, Any]:
    """All registered classes by name."""
    _import_built_in()
    return dict(_classes)


@functools.cache
def _import_built_in() -> None:
    """Import all cells, combinators and patterns, which register themselves; deferred, since they import torch."""
    for package in ("cells", "combinators", "patterns"):
        import_package(package)


def import_package(package: str) -> None:
    """Import all modules of a package of this library."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent / package)]):
        importlib.import_module(f"stepscan.{package}.{module.name}")


def describe(value: Any) -> Any:
    """Plain data for an object of a registered class, a list or a plain value, as in `config.json`.

    Raises:
        TypeError: the class of an object is not registered.
    """
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    # The class's own name, not an inherited one: an unregistered subclass would be rebuilt as its parent.
    name = vars(type(value)).get("registered_name")
    if name is None:
        raise TypeError(
            f"expected an object of a registered class, got {type(value).__name__}; decorate it with @register('name')"
        )
    arguments = {key: describe(item) for key, item in value.arguments.items()}
    # If the only parameter is a list, as for Stack, its name is omitted.
    single = next(iter(arguments.values()), None) if len(inspect.signature(type(value)).parameters) == 1 else None
    return {name: single if isinstance(single, list) else arguments}


def build(description: Any, find_class: Callable[[str], Any] = registered) -> Any:
    """The inverse of `describe`: a dictionary with one key, a registered name, becomes an object of that class.

    Args:
        description: plain data.
        find_class: a name → the class; `registered`, or that of the definitions (`stepscan.definitions`).

    Raises:
        ModelFormatError: a name is not registered, or arguments do not fit a constructor.
    """
    if isinstance(description, list):
        return [build(item, find_class) for item in description]
    if isinstance(description, dict) and len(description) == 1:
        name, arguments = next(iter(description.items()))
        if isinstance(arguments, dict):
            return _construct(find_class, name, **{key: build(value, find_class) for key, value in arguments.items()})
        if isinstance(arguments, list):
            return _construct(find_class, name, build(arguments, find_class))
    return description


def _construct(find_class: Callable[[str], Any], name: str, /, *args: Any, **kwargs: Any) -> Any:
    cls = find_class(name)
    try:
        inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    except TypeError as error:
        raise ModelFormatError(f"the description of {name!r} does not fit its constructor: {error}") from None
    return cls(*args, **kwargs)
