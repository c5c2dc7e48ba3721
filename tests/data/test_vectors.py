"""Word vectors in text."""

from __future__ import annotations

import gzip

import pytest

from stepscan.data.vectors import read_vectors
from stepscan.errors import DataError


@pytest.mark.parametrize("head", ["", "3 2\n"])
def test_glove_and_word2vec(tmp_path, head):
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(f"{head}the 1 2\ncat -0.5 1e-1\n. . 3 4\nthe 9 9\n".encode()))
    found, size = read_vectors(path, {"the", "cat", ". .", "dog"})
    assert size == 2
    assert {word: vector.round(3).tolist() for word, vector in found.items()} == {
        "the": [1.0, 2.0],
        "cat": [-0.5, pytest.approx(0.1)],
        ". .": [3.0, 4.0],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the 1 2\ncat 1\n", "line 2: expected a word and 2 numbers with a space between, got 'cat 1'"),
        ("the 1 2\ncat 1 x\n", "line 2: expected 2 numbers after the word"),
        ("the 1 nan\n", "line 1: a vector has a number that is not finite"),
        ("word\n", "line 1: expected a word and 1 numbers"),
        ("\n", "line 1: expected a word"),
    ],
)
def test_what_is_no_vector(tmp_path, text, words):
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_vectors(path, {"the", "cat"})
