"""Python source to tag: labels as by hand, and windows that are the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepscan.data import builtin
from stepscan.data.builtin import python_lexemes
from stepscan.data.builtin.split import Split
from stepscan.data.example_types import TaggedSentence
from stepscan.errors import SettingsError

SNIPPET = """\
class A(B): # a class
    'The A.\\n'
    x = 1.5 if not y else f"{y!r} é"
"""
LABELLED = [
    *[("class", "keyword"), (" ", "space"), ("A", "definition"), ("(", "operator"), ("B", "name"), (")", "operator")],
    *[(":", "operator"), (" ", "space")],
    *[(lexeme, "comment") for lexeme in ("#", " ", "a", " ", "class")],
    *[("\n", "space"), ("    ", "space")],
    *[(lexeme, "string") for lexeme in ("'", "The", " ", "A", ".", "\\", "n", "'")],
    *[("\n", "space"), ("    ", "space")],
    *[("x", "name"), (" ", "space"), ("=", "operator"), (" ", "space")],
    *[("1", "number"), (".", "number"), ("5", "number"), (" ", "space"), ("if", "keyword"), (" ", "space")],
    *[("not", "keyword"), (" ", "space"), ("y", "name"), (" ", "space"), ("else", "keyword"), (" ", "space")],
    *[(lexeme, "string") for lexeme in ("f", '"', "{", "y", "!", "r", "}", " ", "é", '"')],
    ("\n", "space"),
]


@pytest.fixture(scope="module")
def python_source():
    return builtin.python_source()


def test_a_snippet_is_labelled_as_by_hand():
    assert builtin.label_source(SNIPPET) == LABELLED


def test_labelling_needs_no_last_line_end_and_keeps_carriage_returns_and_form_feeds():
    assert builtin.label_source("") == []
    assert builtin.label_source("x") == [("x", "name")]
    assert builtin.label_source("\x0cx\r\n") == [("\x0c", "space"), ("x", "name"), ("\r", "space"), ("\n", "space")]


def test_f_strings_within_f_strings_are_one_string():
    text = "g(f'{a:>{w}}{f\"{b}\"}', c)"
    tags = [tag for _, tag in builtin.label_source(text)]
    assert tags == ["name", "operator", *["string"] * 19, "operator", "space", "name", "operator"]


def test_lexemes_joined_are_the_source():
    text = Path(python_lexemes.__file__).read_text(encoding="utf-8")
    labelled = builtin.label_source(text)
    assert "".join(lexeme for lexeme, _ in labelled) == text
    windows = list(python_lexemes._windows(labelled))
    assert "".join("".join(tokens) for tokens, _ in windows) == text
    assert all(tokens[-1] == "\n" for tokens, _ in windows)
    assert max(len(tokens) for tokens, _ in windows) <= 80


def test_every_part_has_its_size_and_every_tag(python_source):
    assert [len(part) for part in python_source] == [2500, 300, 300]
    tags = {"keyword", "definition", "name", "string", "comment", "number", "operator", "space"}
    for part in python_source:
        assert {tag for sentence in part for tag in sentence.tags} == tags
        assert all(len(sentence.tokens) == len(sentence.tags) for sentence in part)


def test_a_dictionary_of_tags_is_far_from_perfect(python_source):
    assert 0.45 < builtin.most_frequent_tag_accuracy(python_source) < 0.85


def test_most_frequent_tag_of_two_sentences():
    seen = TaggedSentence(["a", "a", "a", "b", "d"], ["name", "name", "string", "string", "name"])
    unseen = TaggedSentence(["a", "b", "c", "c"], ["name", "name", "name", "string"])
    assert builtin.most_frequent_tag_accuracy(Split([seen], [], [unseen])) == 0.5


def test_too_many_windows_are_an_error_with_both_numbers(monkeypatch):
    monkeypatch.setattr(python_lexemes, "MODULES", "code copy csv getopt graphlib queue quopri string")
    with pytest.raises(SettingsError, match=r"expected at most \d+ windows for valid, got 9999"):
        builtin.python_source(train=5, valid=9999, test=5)
