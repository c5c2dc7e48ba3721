"""What type checkers and editors see: the stub has every public name, and the README's scripts pass in strict mode."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stepscan

PACKAGE = Path(stepscan.__file__).parent
README = Path(__file__).parents[1] / "README.md"


def test_the_stub_is_the_list_of_names():
    """With the modules that they come from, each under its own name."""
    homes = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert all(one.name == one.asname for one in node.names), "a stub exports what it imports under a name"
            homes |= {one.name: node.module for one in node.names}
    expected = {name: home for home, names in stepscan._HOMES.items() for name in names}
    assert homes == expected | dict.fromkeys(stepscan._MODULES, "stepscan")
    assert (PACKAGE / "py.typed").is_file()


def test_strict_mode_accepts_the_readme_and_finds_a_mistyped_option(tmp_path):
    pytest.importorskip("mypy")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    scripts = [one for one in blocks if "\nclass " not in one]  # a user's own cell has no annotations there
    assert len(scripts) == 3
    for number, script in enumerate(scripts):
        (tmp_path / f"script_{number}.py").write_text(script, "utf-8")
    (tmp_path / "wrong.py").write_text("import stepscan as ss\n\nss.Classifier(hidden_siz=3)\nss.LSTM(3, 'a')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *sorted(map(str, tmp_path.glob("*.py")))]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600).stdout.splitlines()
    assert len(found) == 2, found
    assert 'Unexpected keyword argument "hidden_siz" for "Classifier"; did you mean "hidden_size"?' in found[0]
    assert 'Argument 2 to "LSTM" has incompatible type "str"; expected "int"' in found[1]
