"""The code in the documents and the examples runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import stepscan

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Code, folded away or not, and the output that a block of text right after a program shows.
CODE = re.compile(r"^```(python|sh)\n(.*?)^```$(?:\n+^```text\n(.*?)^```$)?", re.S | re.M)
PAGES = {str(path.relative_to(ROOT)): found for path in DOCUMENTS if (found := CODE.findall(path.read_text("utf-8")))}
LECTURE = sorted((ROOT / "docs" / "lecture").glob("*.md"))
FIGURES = ROOT / "docs" / "images" / "lecture"


def test_there_is_code_to_run():
    assert {"README.md", "docs/encoder.md", "docs/your-own-cell.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_code_runs(page, tmp_path):
    """A page's programs and commands, one after the other in one folder. WRITE_FIGURES keeps the lecture's figures."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for language, code, shown in PAGES[page]:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        if language == "python" and shown:
            assert done.stdout == shown
    if ROOT / page in LECTURE:
        name = f"{Path(page).stem}.svg"
        if os.environ.get("WRITE_FIGURES"):
            shutil.copy(tmp_path / name, FIGURES / name)
        assert words_in(tmp_path / name) == words_in(FIGURES / name), "draw it anew: make figures"


def words_in(figure: Path) -> list[str]:
    """Labels and names in a figure, without numbers, which may differ between machines."""
    texts = [element.text or "" for element in ET.parse(figure).iter("{http://www.w3.org/2000/svg}text")]
    return [words for words in texts if re.search("[a-zA-Z]", words)]


@pytest.mark.parametrize("path", LECTURE, ids=lambda path: path.stem)
def test_a_page_of_the_lecture_ends_in_exercises_whose_answers_run(path):
    """Two to four exercises, each with an answer that is folded away; every program runs and shows its output."""
    text = path.read_text("utf-8")
    *_, (title, exercises) = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.S | re.M)
    assert title == "Exercises"
    numbers = [int(number) for number in re.findall(r"^\*\*Exercise (\d)", exercises, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 2 <= len(numbers) <= 4
    answers = re.findall(
        r"^<details markdown=\"1\">\n<summary>Answer</summary>\n\n(.*?)^</details>$", exercises, re.S | re.M
    )
    assert len(answers) == len(numbers)
    outputs = {code: shown for _, code, shown in PAGES[str(path.relative_to(ROOT))]}
    programs = [code for answer in answers for code in re.findall(r"^ *```python\n(.*?)^ *```$", answer, re.S | re.M)]
    assert len(programs) >= 2
    for program in programs:
        assert outputs[program]  # it runs, and what it prints is compared with the output that the page shows


@pytest.mark.parametrize("path", LECTURE, ids=lambda path: path.stem)
def test_a_figure_of_the_lecture_can_be_read_from_a_projector(path):
    """On a page 700 pixels wide, text is no smaller than the page's 16 pixels, and lines are no thinner than 2."""
    figure = FIGURES / f"{path.stem}.svg"
    written = figure.read_text("utf-8")
    root = ET.fromstring(written)
    scale = 700 / float(root.get("viewBox").split()[2])
    assert float(root.get("width")) >= 900
    assert min(float(size) * scale for size in re.findall(r"(?:font-size|font): ?([\d.]+)px", written)) >= 16
    drawn = re.findall(r"stroke-width=\"([\d.]+)\"|svg \.(?:box|arrow|mark) {[^}]*stroke-width: ([\d.]+)", written)
    assert min(float(one or other) * scale for one, other in drawn) >= 2
    assert figure.stat().st_size < 150_000


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
        for target in re.findall(r"\]\((?!https:)([^)#]+)\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"
