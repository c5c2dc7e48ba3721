"""The code in the documents and the examples runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stepscan

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = {
    str(path.relative_to(ROOT)): found
    for path in DOCUMENTS
    if (found := re.findall(r"^```(python|sh)\n(.*?)^```", path.read_text("utf-8"), re.S | re.M))
}


def test_there_is_code_to_run():
    assert {"README.md", "docs/encoder.md", "docs/your-own-cell.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_code_runs(page, tmp_path):
    """A page's programs and commands, one after the other in one folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for language, code in PAGES[page]:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    missing = [name for name in stepscan.__all__ if not re.search(rf"^::: stepscan\S*\b{name}$", text, re.M)]
    assert not missing


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_example_runs(path, tmp_path):
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_links_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"
