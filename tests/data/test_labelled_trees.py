"""Trees of labelled spans, as the Stanford Sentiment Treebank writes them."""

from __future__ import annotations

import gzip

import pytest

from stepscan.data.bad_lines import BadLines
from stepscan.data.read_options import ReadOptions, options_for
from stepscan.data.readers import read_labelled, read_texts
from stepscan.data.task_data import read_examples
from stepscan.errors import DataError, SettingsError

TEXT = "(3 (2 a) (4 (2 good) (2 film)))\n(1 (2 a) (0 mess))\n\n"


@pytest.fixture
def trees(tmp_path):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    return path


def test_whole_texts_are_recognised(trees):
    assert read_labelled(trees) == [("a good film", "3"), ("a mess", "1")]
    assert read_labelled(trees, problem_type="regression") == [("a good film", 3.0), ("a mess", 1.0)]
    assert read_texts(trees) == ["a good film", "a mess"]


def test_every_span_once(trees):
    assert read_labelled(trees, format="subtrees") == [
        ("a", "2"),
        ("good", "2"),
        ("film", "2"),
        ("good film", "4"),
        ("a good film", "3"),
        ("mess", "0"),
        ("a mess", "1"),
    ]


def test_brackets_with_several_words(tmp_path):
    """As the treebank has one: `8 1\\/2`."""
    path = tmp_path / "a.txt"
    path.write_text("(3 (2 Fellini) (2 (2 8 1\\\\/2) (2 !)))\n")
    assert read_labelled(path) == [("Fellini 8 1\\\\/2 !", "3")]


def test_other_files_of_the_same_data_are_whole(trees):
    assert options_for([trees], ReadOptions(format="subtrees")).format == "trees"


def test_spans_need_validation_data(trees):
    """A sentence's spans would lie on both sides of a split."""
    from stepscan.estimators.files import train

    with pytest.raises(SettingsError, match=r"format subtrees: expected validation data, got none; .* --valid"):
        train("classify", [trees], trees.parent / "out", settings={}, reading=ReadOptions(format="subtrees"))


@pytest.mark.parametrize(
    "line", ["(very funny)", "(see Smith) and laugh", "3 (2 a) film", "( a b c )", "text", "(see (a 2) for it)"]
)
def test_what_is_no_tree_is_a_line(tmp_path, line):
    path = tmp_path / "a.txt"
    path.write_text(f"{line}\n")
    assert read_texts(path) == [line]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("(3 (2 a) (2 b)", "as many closing brackets as opening ones, got 1 fewer"),
        ("(3 (2 a)) (2 b)", r"one pair of brackets, got '\(' outside"),
        ("(3 (2 a)))", r"one pair of brackets, got '\)' outside"),
        ("3 text", "one pair of brackets, got '3' outside"),
        ("(3 (2 a) film)", r"words or further brackets in each pair, got \(3 a film\)"),
        ("(3 (2 a) (2))", r"words or further brackets in each pair, got \(2\)"),
        ("(3 ((2 a)))", r"got \( a\)"),
    ],
)
def test_bad_lines(tmp_path, line, words):
    path = tmp_path / "a.txt"
    path.write_text(f"(3 (2 a) (4 b))\n{line}\n")
    with pytest.raises(DataError, match=rf"line 2: .*{words}"):
        read_labelled(path)
    skipped = BadLines()
    assert read_labelled(path, bad_lines=skipped) == [("a b", "3")]
    assert skipped.counts[str(path)] == 1


def test_no_label_is_a_number(tmp_path):
    """All lines skipped is an error, as of other formats."""
    path = tmp_path / "a.txt"
    path.write_text("(good (x a) (y film))\n")
    with pytest.raises(DataError, match="no example is left"):
        read_labelled(path, problem_type="regression", bad_lines=BadLines())


def test_columns_have_no_place_in_trees(trees):
    with pytest.raises(SettingsError, match="a file of trees has no columns"):
        read_labelled(trees, format="trees", text_column="text")


def test_as_examples_of_a_task(trees):
    texts, labels = read_examples("classify", [trees])
    assert (texts, labels) == (["a good film", "a mess"], ["3", "1"])
