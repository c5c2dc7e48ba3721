"""TF-IDF of words and letters: values by hand, scikit-learn's, and that a text has the same bits in any company."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from stepscan.wide.ngrams import NGramFeatures
from stepscan.wide.sparse import CSRMatrix

TEXTS = [
    "The film is good, the film is long.",
    "Not a good film at all!",
    "",
    "a",
    "ÉTÉ à Zürich: STRASSE straße",
    "映画はとても良かった",
    "  spaces   between\tand\nlines  ",
    "ha " * 300,
    "हिन्दी में लिखा हुआ",
    "film",
]


def dense(rows: CSRMatrix, size: int) -> np.ndarray:
    return csr_matrix((rows.values, rows.columns, rows.indptr), (len(rows.indptr) - 1, size)).toarray()


def test_values_of_a_tiny_corpus():
    """Two texts, "ab" and "ab b": the word ab; letters a, b, the space and what they make within a word."""
    features = NGramFeatures.fit(["ab", "ab b"])
    assert features.description() == {"name": "ngrams", "words": 1, "letters": 11}
    matrix = dense(features.transform(["ab", "ab b", "zz"]), features.size)
    one, both = (math.log(3 / (1 + texts)) + 1 for texts in (1, 2))
    # " ab ": space twice, a, b, " a", "ab", "b ", " ab", "ab ", " ab "; " b ": space twice, b, " b", "b ", " b "
    first = np.array([1 + math.log(2), *[1] * 8]) * both
    second = np.array([1 + math.log(4), 1, *[1 + math.log(2)] * 2, *[1] * 5]) * both
    lengths = np.linalg.norm(first), math.hypot(np.linalg.norm(second), one * math.sqrt(2))
    assert len(second) == len(first) == 9
    share = 1 / math.hypot(1, 0.5)
    assert matrix[0, 0] == pytest.approx(0.5 * share)  # the word
    assert sorted(matrix[0, 1:][matrix[0, 1:] > 0]) == pytest.approx(sorted(first / lengths[0] * share))
    known = np.array([*second, one, one])
    assert sorted(matrix[1, 1:][matrix[1, 1:] > 0]) == pytest.approx(sorted(known / lengths[1] * share))
    assert np.linalg.norm(matrix[:2], axis=1) == pytest.approx([1, 1])
    assert sorted(matrix[2])[-2:] == [0, 1]  # the space around it


def test_what_scikit_learn_says():
    """Each block is its TF-IDF; products of texts do not depend on the order of the features."""
    texts = [
        "The film is good, the film is long.",
        "Not a good film at all!",
        "lines and words",
        "a 2nd film_x",
        "éa É",
    ]
    features = NGramFeatures.fit(texts)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True).fit_transform(texts)
    assert features.description() == {"name": "ngrams", "words": words.shape[1], "letters": letters.shape[1]}
    matrix = dense(features.transform(texts), features.size)
    expected = (0.25 * words @ words.T + letters @ letters.T).toarray() / 1.25
    assert np.abs(matrix @ matrix.T - expected).max() < 1e-6


def test_the_same_bits_in_any_company():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(list("abcdé映 "), 8)) * int(random.integers(1, 40)) for _ in range(300)] + TEXTS
    features = NGramFeatures.fit(texts)
    weight = random.standard_normal((features.size, 3)).astype(np.float32)
    together = features.transform(texts).matmul(weight)
    alone = np.concatenate([features.transform([text]).matmul(weight) for text in texts])
    assert together.tobytes() == alone.tobytes()
    backwards = features.transform(texts[::-1]).matmul(weight)[::-1]
    assert backwards.tobytes() == together.tobytes()


def test_portions_are_joined(monkeypatch):
    whole = NGramFeatures.fit(TEXTS)
    expected = whole.transform(TEXTS)
    monkeypatch.setattr("stepscan.wide.ngrams._CHARACTERS", 20)
    monkeypatch.setattr("stepscan.wide.ngrams._PENDING", 50)
    monkeypatch.setattr("stepscan.wide.sparse._MAX_PRODUCTS", 7)
    parts = NGramFeatures.fit(TEXTS)
    assert {name: one.tobytes() for name, one in parts.tensors().items()} == {
        name: one.tobytes() for name, one in whole.tensors().items()
    }
    assert all(np.array_equal(a, b) for a, b in zip(parts.transform(TEXTS), expected, strict=True))
    weight = np.arange(whole.size * 2, dtype=np.float32).reshape(-1, 2)
    assert np.allclose(expected.matmul(weight), dense(expected, whole.size) @ weight, rtol=1e-5)


def test_case_and_composition_do_not_matter():
    features = NGramFeatures.fit(TEXTS)
    same = features.transform(["straße ÉTÉ", "STRASSE e\u0301te\u0301"])
    assert np.array_equal(*np.split(same.columns, 2))
    assert np.array_equal(*np.split(same.values, 2))


def test_the_most_frequent_are_kept():
    features = NGramFeatures.fit(["aa bb", "aa cc", "aa"], max_features=6)
    assert features.size == 6  # the word and five of the letters of " aa "
    assert features.description()["words"] == 1
    assert not features.transform(["bb"]).values.size or features.transform(["bb"]).values.max() == 1
    frequent = NGramFeatures.fit(["aa bb", "aa cc", "aa"], min_df=2)
    assert frequent.description() == {"name": "ngrams", "words": 1, "letters": 8}


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_nothing(texts):
    features = NGramFeatures.fit(texts)
    assert features.size == 0
    assert features.transform(["a", ""]).matmul(np.zeros((0, 2), np.float32)).tolist() == [[0, 0], [0, 0]]


def test_tensors_and_back():
    features = NGramFeatures.fit(TEXTS)
    again = NGramFeatures.from_tensors(features.description(), features.tensors())
    assert all(np.array_equal(a, b) for a, b in zip(again.transform(TEXTS), features.transform(TEXTS), strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d, t: d.pop("words"), "expected ngrams with words and letters, got letters, name"),
        (lambda d, t: t.pop("words.idf"), "expected the tensors letters.idf, letters.keys, words.idf, words.keys, got"),
        (lambda d, t: d.update(words=3), r"words.keys: expected int64 \[3\], got int64 \["),
        (lambda d, t: d.update(words=True), r"words.keys: expected int64 \[True\]"),
        (lambda d, t: t.update({"words.keys": t["words.keys"].astype(np.int32)}), r"got int32 \["),
        (lambda d, t: t.update({"letters.keys": t["letters.keys"][::-1]}), "letters.keys: expected hashes of 47 bits"),
        (lambda d, t: t.update({"letters.keys": t["letters.keys"] + 2**47}), "letters.keys: expected hashes"),
        (lambda d, t: t.update({"letters.idf": t["letters.idf"] * 0}), "letters.idf: expected weights of 1 or more"),
    ],
)
def test_hostile_tensors(change, said):
    features = NGramFeatures.fit(TEXTS)
    description, tensors = features.description(), features.tensors()
    change(description, tensors)
    with pytest.raises(ValueError, match=said):
        NGramFeatures.from_tensors(description, tensors)
