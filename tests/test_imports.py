"""Imports point one way: these packages do not import those above them, not even inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepscan

SOURCE = Path(stepscan.__file__).parent
# package → packages that it must not import
ABOVE = {
    "dynamics": ("cli", "data", "estimators", "inspection", "patterns", "runtime", "training"),
    "inspection": ("cli", "estimators", "training"),
    "training": ("cli", "estimators", "inspection"),
}


def imported(path: Path) -> Iterator[str]:
    """The full names of all modules, or names in modules, that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", ABOVE)
def test_imports_nothing_above_itself(package):
    files = sorted((SOURCE / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            top, _, below = name.partition(".")
            if top == "stepscan":
                assert below.split(".")[0] not in ABOVE[package], f"{path.relative_to(SOURCE)} imports {name}"
