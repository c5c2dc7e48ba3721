"""Imports point one way: packages form no circle, not even by imports inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import stepscan

SOURCE = Path(stepscan.__file__).parent
PARTS = sorted({path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()})
# package → packages that it must not import, though that would make no circle
FOREIGN = {
    "dynamics": ("data", "models", "storage", "training"),
    "inspection": ("estimators", "models", "training"),
    "storage": ("estimators", "training"),
    "models": ("cells", "combinators", "contract", "modules", "patterns", "training"),  # they import torch
    "serving": ("cells", "combinators", "contract", "estimators", "modules", "patterns", "training"),
    "training": ("inspection", "models"),
}


def imported(path: Path) -> Iterator[str]:
    """The parts of stepscan, packages and modules, that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "stepscan" and rest.partition(".")[0] in PARTS:
                yield rest.partition(".")[0]


def imports_of(part: str) -> set[str]:
    files = sorted((SOURCE / part).rglob("*.py")) or [SOURCE / f"{part}.py"]
    return {name for path in files for name in imported(path)} - {part}


def test_packages_form_no_circle():
    graph = {part: imports_of(part) for part in PARTS if part != "__init__"}  # its imports are for type checkers
    assert {"cells", "patterns"} <= graph["estimators"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these packages import one another: {' ← '.join(error.args[1])}")


@pytest.mark.parametrize("package", FOREIGN)
def test_imports_nothing_foreign(package):
    assert not imports_of(package) & set(FOREIGN[package])
