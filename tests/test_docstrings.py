"""Public definitions are documented, and what they raise is written down."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import stepscan

REFERENCE = re.compile(r"[Ee]rrors (as in|are those of) `")
ABSTRACT = ("NotImplementedError",)  # what a base class raises where a subclass must define a method
ROOT = Path(stepscan.__file__).parent
PATHS = [path.relative_to(ROOT.parent) for path in sorted(ROOT.rglob("*.py")) if path.stem != "__main__"]
MODULES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in PATHS]


def definitions(module):
    """Every public class, function and method that the module defines, by its qualified name."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            yield value.__qualname__, value
            for attribute, member in vars(value).items():
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if not attribute.startswith("_") and inspect.isfunction(function):
                    yield f"{value.__qualname__}.{attribute}", getattr(value, attribute)
        elif inspect.isfunction(value):
            yield value.__qualname__, value


def imported(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:  # an optional dependency
        pytest.skip(str(error))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_definition_is_documented(name):
    """By a docstring of its own or, as an override, by that of the method that it overrides."""
    module = imported(name)
    assert [name for name, value in definitions(module) if not inspect.getdoc(value)] == []


def raising(tree):
    """Public functions and methods with a docstring that raise an error themselves, and that docstring."""
    for node in ast.walk(tree):
        is_public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if is_public and (text := ast.get_docstring(node)):
            inner = [child for child in ast.walk(node) if isinstance(child, ast.FunctionDef | ast.Lambda)][1:]
            hidden = {id(raised) for function in inner for raised in ast.walk(function)}
            errors = {
                error.func.id
                for child in ast.walk(node)
                if isinstance(child, ast.Raise) and id(child) not in hidden
                for error in [child.exc]
                if isinstance(error, ast.Call)
                and isinstance(error.func, ast.Name)
                and error.func.id not in ABSTRACT
                and error.func.id[0].isupper()
            }
            yield node, text, errors


FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent.name != "cli")  # there docstrings are help texts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_raised_is_documented(path):
    """Each error that a public function raises by name is named in its docstring."""
    missing = [
        f"{node.name} (line {node.lineno}): {error}"
        for node, text, errors in raising(ast.parse(path.read_text()))
        for error in sorted(errors)
        if error not in text and not REFERENCE.search(text)
    ]
    assert missing == []
