"""One registry maps names to classes, so that a model is data: `{"lstm": {"input_size": 64, "hidden_size": 128}}`.

A registered class remembers the arguments it was constructed with; `describe` turns a tree of such objects into plain
data and `build` turns the data back into objects. Reading a description needs no torch; building does.
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
    """Class decorator: make `name` stand for the class in configurations, `--cell` and saved models.

    The class must be constructible from plain data: numbers, strings, other registered objects, lists of these.

    Raises:
        ValueError: the name is taken by another class.
        TypeError: the constructor takes `*args` or `**kwargs`, which cannot be remembered by name.
    """

    def decorate(cls: Class) -> Class:
        taken = _classes.get(name)
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"the name {name!r} is registered for {taken.__qualname__}; choose another name")
        if taken is not cls:
            _classes[name] = cls
            _remember_arguments(cls, name)
        return cls

    return decorate


def _remember_arguments(cls: Any, name: str) -> None:
    """Name the class, and wrap `__init__` so that an object keeps its own constructor's arguments, by name."""
    cls.registered_name = name
    original = cls.__init__
    signature = inspect.signature(original)
    for parameter in signature.parameters.values() if "__init__" in vars(cls) else ():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{cls.__qualname__} cannot be registered: its constructor takes {parameter}; name them")

    @functools.wraps(original)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        original(self, *args, **kwargs)
        if isinstance(self, cls) and type(self).registered_name == name:
            given = list(bound.arguments.items())[1:]  # all but self; lists copied, for the caller may change them
            self.arguments = {key: list(value) if isinstance(value, list) else value for key, value in given}

    cls.__init__ = construct


def registered(name: str) -> Any:
    """The class that `name` stands for; an unknown name is a `ModelFormatError` that names the nearest."""
    if name not in _classes:
        _import_built_in()
    if name not in _classes:
        raise ModelFormatError(
            f"no layer or model is registered as {name!r}.{nearest(name, _classes)} "
            "If it is your own, import the module that registers it first."
        )
    return _classes[name]


def registered_classes() -> dict[str, Any]:
    """All names and what they stand for."""
    _import_built_in()
    return dict(_classes)


@functools.cache
def _import_built_in() -> None:
    """Import all cells, combinators and patterns, which register themselves; `import stepscan` puts that off."""
    for package in ("cells", "combinators", "patterns"):
        for module in pkgutil.iter_modules([str(Path(__file__).parent / package)]):
            importlib.import_module(f"stepscan.{package}.{module.name}")


def describe(value: Any) -> Any:
    """Plain data for a registered object, or for a list or number: what `config.json` holds."""
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    # The class's own name, not its parent's: a subclass that nobody registered would come back as its parent.
    name = vars(type(value)).get("registered_name")
    if name is None:
        raise TypeError(f"{type(value).__name__} cannot be saved: it has no name; decorate it with @register('name')")
    arguments = {key: describe(item) for key, item in value.arguments.items()}
    # A class whose only parameter is a list, such as Stack, reads better without the parameter's name.
    only = next(iter(arguments.values()), None) if len(inspect.signature(type(value)).parameters) == 1 else None
    return {name: only if isinstance(only, list) else arguments}


def build(description: Any) -> Any:
    """The object that `describe` described. A one-key dictionary whose key is a registered name is an object."""
    if isinstance(description, list):
        return [build(item) for item in description]
    if isinstance(description, dict) and len(description) == 1:
        name, arguments = next(iter(description.items()))
        if isinstance(arguments, dict):
            return _construct(name, **{key: build(value) for key, value in arguments.items()})
        if isinstance(arguments, list):
            return _construct(name, build(arguments))
    return description


def _construct(name: str, /, *args: Any, **kwargs: Any) -> Any:
    cls = registered(name)
    try:
        inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    except TypeError as error:
        raise ModelFormatError(f"the description of {name!r} does not fit its constructor: {error}") from None
    return cls(*args, **kwargs)
