"""What is said of sentences and tags that cannot be taken; and of empty ones, which can."""

from __future__ import annotations

import numpy as np
import pytest
from toy_tasks import TAGGER, equal_to_the_bit, weights_of

import stepscan as ss

MISSING = "a missing value; remove or replace it"
NUMBER = "pass the text that the number stands for, or str(number)"
SENTENCES = [["the", "dog", "runs"], ["a", "cat"]] * 10
TAGS = [["D", "N", "V"], ["D", "N"]] * 10


class Frame:
    """As pandas has it: an array of columns with names."""

    columns = ("words", "tags")
    dtypes = (np.dtype(object), np.dtype(object))

    def __array__(self, dtype=None, copy=None):
        return np.array([["a", "X"]], dtype=object)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (["a", 3], "sentence 20, token 2: expected a string, got 3 (int); " + NUMBER),
        (["a", None], "sentence 20, token 2: expected a string, got None, " + MISSING),
        (
            ["a", float("nan")],
            "sentence 20, token 2: expected a string, got nan (float), a missing value; remove or replace it",
        ),
        ([b"a", "b"], "sentence 20, token 1: expected a string, got b'a' (bytes); decode it first"),
        ([["a"], "b"], "sentence 20, token 1: expected a string, got ['a'] (list)"),
        (["a", "\ud800"], "sentence 20, token 2: expected valid Unicode, got half a surrogate pair: '\\ud800'"),
        ("a b", "sentence 20: expected a list of tokens, got the text 'a b'; split it first"),
        (b"a b", "sentence 20: tokens: expected a list, got b'a b' (bytes)"),
        (None, "sentence 20: tokens: expected a list, got None"),
        (7, "sentence 20: tokens: expected a list, got 7 (int)"),
        ({"a": "X"}, "sentence 20: tokens: expected a list, got {'a': 'X'} (dict)"),
        ({"a"}, "sentence 20: tokens: expected a list, got {'a'} (set)"),
        (["a", "b", "c"], "sentence 20: expected a tag for each of 3 tokens, got 2: 'a b c'"),
    ],
)
def test_wrong_sentences(sentence, words):
    """In `fit`, in validation data and where there are no tags, the same words."""
    with pytest.raises(ss.SettingsError) as caught:
        ss.Tagger(**TAGGER).fit([*SENTENCES[:-1], sentence], TAGS)
    assert str(caught.value) == words
    with pytest.raises(ss.SettingsError) as caught:
        ss.Tagger(**TAGGER).fit(SENTENCES, TAGS, validation=([["a"], sentence], [["D"], ["D", "N"]]))
    assert str(caught.value) == "validation " + words.replace("20", "2", 1)
    if " tag " not in words:
        with pytest.raises(ss.SettingsError) as caught:
            ss.Tagger(**TAGGER).fit(SENTENCES, TAGS).predict([["a"], sentence])
        assert str(caught.value) == words.replace("20", "2", 1)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([0, 1], "sentence 20, tag 1: expected a string, got 0 (int); " + NUMBER),
        (
            np.array([0, 1]),
            "sentence 20, tag 1: expected a string, got 0 (int64); " + NUMBER,
        ),
        (["D", None], "sentence 20, tag 2: expected a string, got None, " + MISSING),
        ("DN", "sentence 20: expected a list of tags, one per token, got the text 'DN'; split it first"),
        (None, "sentence 20: tags: expected a list, got None"),
    ],
)
def test_wrong_tags(tags, words):
    with pytest.raises(ss.SettingsError) as caught:
        ss.Tagger(**TAGGER).fit(SENTENCES, [*TAGS[:-1], tags])
    assert str(caught.value) == words


def test_wrong_collections():
    model = ss.Tagger(**TAGGER)
    words = (
        r"expected a list of lists, one per sentence, got a Frame with the columns words, tags; give .* df\['words'\]"
    )
    with pytest.raises(ss.SettingsError, match=words):
        model.fit(Frame(), TAGS)
    with pytest.raises(ss.SettingsError, match=words):
        model.fit(SENTENCES, Frame())
    with pytest.raises(ss.SettingsError, match=r"expected a list, got 3 \(int\)"):
        model.fit(3, TAGS)
    with pytest.raises(ss.SettingsError, match="sentence 1: expected a list of tokens, got the text 'the'"):
        model.fit(["the", "dog"], ["D", "N"])


def test_tuples_arrays_and_generators_are_lists():
    expected = ss.Tagger(**TAGGER).fit(SENTENCES, TAGS)
    arrays = np.empty(20, dtype=object)
    arrays[:] = [np.array(sentence) for sentence in SENTENCES]
    for X, y in [
        (tuple(map(tuple, SENTENCES)), tuple(map(tuple, TAGS))),
        (arrays, [np.array(tags) for tags in TAGS]),
        ((iter(one) for one in SENTENCES), (iter(one) for one in TAGS)),
    ]:
        model = ss.Tagger(**TAGGER).fit(X, y)
        assert equal_to_the_bit(weights_of(model), weights_of(expected))
        assert model.labels_ == ["D", "N", "V"]
    figures = expected.metrics(SENTENCES, TAGS)
    assert figures["tokens"] == 50
    assert expected.metrics((iter(one) for one in SENTENCES), (iter(one) for one in TAGS)) == figures
    assert expected.predict_records(iter(one) for one in SENTENCES) == expected.predict_records(SENTENCES)


@pytest.mark.parametrize("crf", [False, True])
def test_empty_sentences_are_no_hindrance(crf):
    """The last tenth of these is empty, but what is held out has tokens; nothing else changes."""
    model = ss.Tagger(**TAGGER, crf=crf).fit([[], *SENTENCES, [], [], [], []], [[], *TAGS, [], [], [], []])
    assert equal_to_the_bit(weights_of(model), weights_of(ss.Tagger(**TAGGER, crf=crf).fit(SENTENCES, TAGS)))
    assert [len(tags) for tags in model.predict([[], ["the"], []])] == [0, 1, 0]
    assert model.metrics([[], ["the"]], [[], ["D"]])["sentences"] == 2
    with pytest.raises(ss.SettingsError, match="sentences: expected tokens, got only empty ones"):
        model.fit([[], []], [[], []])
    with pytest.raises(ss.SettingsError, match="validation sentences: expected tokens, got only empty ones"):
        model.fit(SENTENCES, TAGS, validation=([[]], [[]]))
