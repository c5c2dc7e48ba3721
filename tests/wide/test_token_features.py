"""Features of the tokens of a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from stepscan.wide.token_features import TokenFeatures

SENTENCES = [["The", "dog", "barked", "."], ["A", "Dog-2", "barks"], [], ["barking"]]


def rows_of(features: TokenFeatures, sentences: list[list[str]]) -> list[set[int]]:
    found = features.transform(sentences)
    return [set(found.columns[a:b].tolist()) for a, b in zip(found.indptr, found.indptr[1:], strict=False)]


def test_a_row_for_each_token():
    features = TokenFeatures.fit(SENTENCES)
    rows = features.transform(SENTENCES)
    assert len(rows.indptr) == 9
    assert (rows.values == 1).all()
    assert set(rows.columns.tolist()) == set(range(features.size))
    assert all(len(set(row)) == len(row) for row in np.split(rows.columns, rows.indptr[1:-1]))


def test_the_same_alone_and_together():
    features = TokenFeatures.fit(SENTENCES)
    together = features.transform(SENTENCES)
    alone = [features.transform([sentence]) for sentence in SENTENCES]
    assert together.columns.tobytes() == np.concatenate([one.columns for one in alone]).tobytes()
    assert rows_of(features, []) == []


def test_what_tokens_share():
    """A word has its endings in common with another, and nothing more than its kind with one that is unlike it."""
    features = TokenFeatures.fit([["walking"], ["talking"], ["be"]])
    walking, talking, other = rows_of(features, [["walking"], ["talking"], ["be"]])
    nothing_around = walking & other
    endings = {place for place in walking & talking if place not in nothing_around}
    assert len(endings) == 6  # g, ng, ing, king, lking less one, and the shape `xxxxxxx`
    assert walking != talking


@pytest.mark.parametrize(
    ("one", "other", "differ"), [("dog", "Dog", True), ("dog", "cat", True), ("2", "3", True), ("dog", "dog", False)]
)
def test_case_and_spelling_tell_words_apart(one, other, differ):
    features = TokenFeatures.fit([[one], [other]])
    first, second = rows_of(features, [[one], [other]])
    assert (first != second) is differ


def test_what_stands_around_counts():
    sentences = [["a", "x", "b"], ["c", "x", "b"], ["a", "x", "d"], ["x"]]
    features = TokenFeatures.fit(sentences)
    found = [rows_of(features, [sentence])[sentence.index("x")] for sentence in sentences]
    assert len({frozenset(one) for one in found}) == 4
    assert len(found[0] & found[1]) > len(found[1] & found[2])  # b follows in both


def test_the_order_of_sentences_does_not_matter():
    one, other = TokenFeatures.fit(SENTENCES), TokenFeatures.fit(SENTENCES[::-1])
    assert one.tensors()["keys"].tolist() == other.tensors()["keys"].tolist()


def test_rare_and_many_features_are_dropped():
    sentences = [["seen", "twice"], ["seen", "twice"], ["once"]]
    features = TokenFeatures.fit(sentences, min_count=2)
    assert rows_of(features, [["seen", "twice"]])[0]
    assert features.size < TokenFeatures.fit(sentences).size
    few = TokenFeatures.fit(sentences, max_features=3)
    assert few.size == 3
    assert TokenFeatures.fit([["a"]], min_count=2).transform([["a", "b"]]).indptr.tolist() == [0, 0, 0]


def test_strange_tokens():
    strange = [["", "\ud800", "İ", "𝔘", "a" * 1000, "٣", "ﬁ", "\0"], ["", ""]]
    features = TokenFeatures.fit(strange)
    assert len(features.transform(strange).indptr) == 11
    assert rows_of(features, [["", ""]]) == rows_of(features, [strange[1]])


def test_what_is_stored_comes_back():
    features = TokenFeatures.fit(SENTENCES)
    again = TokenFeatures.from_tensors(features.description(), features.tensors())
    assert again.transform(SENTENCES).columns.tolist() == features.transform(SENTENCES).columns.tolist()


@pytest.mark.parametrize(
    ("description", "keys", "said"),
    [
        ({"name": "token_features"}, [1], "with features"),
        ({"name": "token_features", "features": True}, [1], "expected a whole number from 0"),
        ({"name": "token_features", "features": 2**40}, [1], "expected a whole number from 0"),
        ({"name": "token_features", "features": 2}, [1], r"keys: expected int64 \[2\], got int64 \[1\]"),
        ({"name": "token_features", "features": 1}, [1.0], r"keys: expected int64 \[1\], got float64 \[1\]"),
        ({"name": "token_features", "features": 2}, [2, 1], "in ascending order"),
        ({"name": "token_features", "features": 2}, [0, 1], "hashes above 0"),
    ],
)
def test_what_was_never_stored_is_refused(description, keys, said):
    with pytest.raises(ValueError, match=said):
        TokenFeatures.from_tensors(description, {"keys": np.array(keys)})
    with pytest.raises(ValueError, match="expected the tensor keys, got none"):
        TokenFeatures.from_tensors({"name": "token_features", "features": 0}, {})
