"""What is said of sentences and tags that cannot be taken; and of empty ones, which can."""

from __future__ import annotations

import numpy as np
import pytest
from toy_tasks import TAGGER, equal_to_the_bit, weights_of

import stepscan as ss

MISSING = "a missing value; remove or replace it"
NUMBER = "give what the number stands for, or str of it"
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
        (["a", 3], "sentence 20, token 2 is 3, not a string (int); " + NUMBER),
        (["a", None], "sentence 20, token 2 is None, not a string: " + MISSING),
        (
            ["a", float("nan")],
            "sentence 20, token 2 is nan, not a string (float): a missing value; remove or replace it",
        ),
        ([b"a", "b"], "sentence 20, token 1 is b'a', not a string (bytes); decode it first"),
        ([["a"], "b"], "sentence 20, token 1 is ['a'], not a string (list)"),
        (["a", "\ud800"], "sentence 20, token 2 is not valid Unicode (half a surrogate pair): '\\ud800'"),
        ("a b", "sentence 20: a sentence is a list of tokens, got the text 'a b'; split it first"),
        (b"a b", "sentence 20: tokens: a list is needed, got b'a b' (bytes)"),
        (None, "sentence 20: tokens: a list is needed, got None"),
        (7, "sentence 20: tokens: a list is needed, got 7 (int)"),
        ({"a": "X"}, "sentence 20: tokens: a list is needed, got {'a': 'X'} (dict)"),
        ({"a"}, "sentence 20: tokens: a list is needed, got {'a'} (set)"),
        (["a", "b", "c"], "sentence 20 has 3 tokens but 2 tags: 'a b c'"),
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
    if "tags" not in words:
        with pytest.raises(ss.SettingsError) as caught:
            ss.Tagger(**TAGGER).fit(SENTENCES, TAGS).predict([["a"], sentence])
        assert str(caught.value) == words.replace("20", "2", 1)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([0, 1], "sentence 20, tag 1 is 0, not a string (int); " + NUMBER),
        (
            np.array([0, 1]),
            "sentence 20, tag 1 is 0, not a string (int64); give what the number stands for, or str of it",
        ),
        (["D", None], "sentence 20, tag 2 is None, not a string: " + MISSING),
        ("DN", "sentence 20: expected a list of tags, one a token, got the text 'DN'; split it first"),
        (None, "sentence 20: tags: a list is needed, got None"),
    ],
)
def test_wrong_tags(tags, words):
    with pytest.raises(ss.SettingsError) as caught:
        ss.Tagger(**TAGGER).fit(SENTENCES, [*TAGS[:-1], tags])
    assert str(caught.value) == words


def test_wrong_collections():
    model = ss.Tagger(**TAGGER)
    words = (
        r"a list of lists is needed, one a sentence, got a Frame with the columns words, tags; give .* df\['words'\]"
    )
    with pytest.raises(ss.SettingsError, match=words):
        model.fit(Frame(), TAGS)
    with pytest.raises(ss.SettingsError, match=words):
        model.fit(SENTENCES, Frame())
    with pytest.raises(ss.SettingsError, match=r"a list is needed, got 3 \(int\)"):
        model.fit(3, TAGS)
    with pytest.raises(ss.SettingsError, match="sentence 1: a sentence is a list of tokens, got the text 'the'"):
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
    assert expected.answers(iter(one) for one in SENTENCES) == expected.answers(SENTENCES)


@pytest.mark.parametrize("crf", [False, True])
def test_empty_sentences_are_no_hindrance(crf):
    """The last tenth of these is empty, but what is held out has tokens; nothing else changes."""
    model = ss.Tagger(**TAGGER, crf=crf).fit([[], *SENTENCES, [], [], [], []], [[], *TAGS, [], [], [], []])
    assert equal_to_the_bit(weights_of(model), weights_of(ss.Tagger(**TAGGER, crf=crf).fit(SENTENCES, TAGS)))
    assert [len(tags) for tags in model.predict([[], ["the"], []])] == [0, 1, 0]
    assert model.metrics([[], ["the"]], [[], ["D"]])["sentences"] == 2
    with pytest.raises(ss.SettingsError, match="there are no tokens: all sentences are empty"):
        model.fit([[], []], [[], []])
    with pytest.raises(ss.SettingsError, match="there are no tokens: all validation sentences are empty"):
        model.fit(SENTENCES, TAGS, validation=([[]], [[]]))
