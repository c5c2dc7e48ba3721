"""What is written for programs is JSON, and what is shown to people obeys them alone."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

import stepscan
from stepscan.json_text import json_text
from stepscan.terminal import printable

OWN = {  # json.dumps by itself: where what is written goes to nobody else, or is written to be looked at
    "data/labels.py": "a label as JSON writes it",
    "data/json_lines.py": "whether a record is text",
    "data/tokenizer_file.py": "two values compared",
    "estimators/folder.py": "whether a description can be saved",
    "json_text.py": "itself",
    "processes/group.py": "among the processes of a training, infinities too",
    "storage/lock.py": "who writes, for who waits",
    "models/model.py": "a fingerprint",
    "storage/tensor_file.py": "the header of safetensors: names and sizes",
    "training/checkpoints.py": "our own, exact, infinities too",
}


def test_everything_for_programs_is_written_in_one_way():
    source = Path(stepscan.__file__).parent
    by_hand = {str(path.relative_to(source)) for path in source.rglob("*.py") if "json.dump" in path.read_text()}
    assert by_hand == set(OWN)


def test_what_is_not_finite_is_null():
    value = {"a": -math.inf, "b": [1.5, math.nan, (math.inf, None, True)], "é": {"1": "NaN"}}
    assert json_text(value) == '{"a": null, "b": [1.5, null, [null, null, true]], "é": {"1": "NaN"}}'
    assert json_text([1.0, "a"], indent=1) == '[\n 1.0,\n "a"\n]'
    assert json_text({"path": Path("a")}, default=os.fspath) == '{"path": "a"}'


def test_names_that_are_not_utf8_are_escaped():
    name = os.fsdecode(b"m\xff")
    assert json_text({"folder": name, "a": "é"}) == '{"folder": "m\\udcff", "a": "\\u00e9"}'
    assert json.loads(json_text(name)) == name
    assert printable(name) == r"m\udcff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m\x7f\r\x00", r"\x9b31m\x7f\r\x00"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("שלום\u200f, Ünïcödé 😀 \u2028", "שלום\u200f, Ünïcödé 😀 \u2028"),
        (r"\x1b as text", r"\x1b as text"),
    ],
)
def test_controls_are_shown_not_obeyed(text, shown):
    assert printable(text) == shown
