"""What all built-in data sets owe: the seed alone decides, no example is in two parts, and none needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stepscan.data import builtin
from stepscan.data.builtin import python_lexemes


@pytest.fixture(autouse=True)
def few_modules(monkeypatch):
    """Every eighth module is as good as all of them here, and much quicker."""
    monkeypatch.setattr(python_lexemes, "MODULES", " ".join(python_lexemes.MODULES.split()[::8]))


def some_python_source(seed):
    return builtin.python_source(seed, train=200, valid=40, test=40)


@pytest.mark.parametrize("make", [builtin.reviews, builtin.documentation, some_python_source, builtin.dates])
def test_the_seed_alone_decides(make):
    first = make(3)
    assert make(3) == first
    assert make(4) != first


@pytest.mark.parametrize("make", [builtin.reviews, some_python_source, builtin.dates])
def test_no_example_is_in_two_parts(make):
    train, valid, test = ({source(example) for example in part} for part in make(0))
    assert not train & valid
    assert not train & test
    assert not valid & test


def source(example):
    """The input of an example, whatever its kind."""
    return "".join(example[0])


def test_no_long_paragraph_of_the_documentation_is_in_two_parts():
    train, valid, test = (
        {" ".join(paragraph.split()) for paragraph in part.split("\n\n") if len(paragraph) > 200}
        for part in builtin.documentation()
    )
    assert not train & valid
    assert not train & test
    assert not valid & test


def test_no_built_in_data_needs_torch():
    program = (
        "import sys, stepscan.data.builtin as b; b.reviews(train=9); b.dates(train=9); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"
