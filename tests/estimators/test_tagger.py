from __future__ import annotations

import numpy as np
import pytest
from toy_tasks import ALONE, FAST, equal_to_the_bit, history_is_whole, neighbours, weights_of

import stepscan as ss
from stepscan.estimators.data_split import hold_out, same_input

TINY = {
    "hidden_size": 4,
    "embedding_size": 4,
    "epochs": 1,
    "batch_size": 8,
    "word_dropout": 0.1,
    **FAST,
    **ALONE,
}
SPELLED = {"char_embedding_size": 4, "char_hidden_size": 3}
SENTENCES, TAGS = neighbours(40, 3)


def test_learns_spelling_and_neighbour(tagger):
    """A word's tag is its last letter and the next word's first; most words were never seen."""
    sentences, tags = neighbours(100, 2)
    known = set(tagger.tokenizers_["tokenizer"].tokens)
    assert np.mean([word in known for sentence in sentences for word in sentence]) < 0.3
    assert tagger.score(sentences, tags) >= 0.95
    assert tagger.metrics(sentences, tags)["tokens"] == sum(map(len, sentences))
    assert history_is_whole(tagger.history_, 6, ["valid_accuracy"])
    assert tagger.classes_.tolist() == ["y.", "ya", "yb", "z.", "za", "zb"]


def test_what_it_says_agrees(tagger):
    sentences, tags = neighbours(30, 4)
    result, probabilities = tagger.predict(sentences), tagger.predict_proba(sentences)
    for sentence, row, predicted in zip(sentences, probabilities, result, strict=True):
        assert row.shape == (len(sentence), 6)
        np.testing.assert_allclose(row.sum(axis=1), 1, rtol=1e-5)
        assert tagger.classes_[row.argmax(axis=1)].tolist() == predicted
    tags[0][0] = "never"
    right = [a == b for pair in zip(result, tags, strict=True) for a, b in zip(*pair, strict=True)]
    assert tagger.score(sentences, tags) == np.mean(right) < 1


def test_a_sentence_alone_is_a_sentence_in_a_batch(tagger):
    sentences, _ = neighbours(90, 6)
    together = tagger.predict_proba(sentences)
    for sentence, row in list(zip(sentences, together, strict=True))[:15]:
        np.testing.assert_allclose(tagger.predict_proba([sentence])[0], row, atol=1e-5)


def test_saved_and_loaded(tagger, tmp_path):
    sentences, _ = neighbours(50, 7)
    tagger.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert type(again) is ss.Tagger
    assert (again.get_params(), again.labels_, again.history_) == (
        tagger.get_params(),
        tagger.labels_,
        tagger.history_,
    )
    for left, right in zip(again.predict_proba(sentences), tagger.predict_proba(sentences), strict=True):
        assert (left == right).all()


@pytest.mark.parametrize("spelling", [SPELLED, {"char_embedding_size": 0}], ids=["spelled", "words-only"])
def test_sentences_without_a_word(spelling):
    model = ss.Tagger(**TINY, **spelling).fit([[], *SENTENCES, []], [[], *TAGS, []])
    assert model.predict([[], ["amny"], []])[::2] == [[], []]
    assert model.predict([[]]) == [[]]
    assert model.predict([]) == []
    np.testing.assert_allclose(model.predict_proba([[], ["amny"]])[1], model.predict_proba([["amny"]])[0], atol=1e-6)


def test_words_and_letters_never_seen():
    model = ss.Tagger(**TINY, **SPELLED).fit(SENTENCES, TAGS)
    result = model.predict_proba([["Ω", "amny", ""]])[0]
    assert np.isfinite(result).all()
    assert result.shape == (3, len(model.classes_))


def test_words_only_and_elman():
    """Without the spelling, and in one direction: a tag that is the word's own."""
    sentences, _ = neighbours(100, 5)
    words = [[word[0] for word in sentence] for sentence in sentences]
    tags = [[word.upper() for word in sentence] for sentence in words]
    settings = {
        "cell": "elman",
        "word_dropout": 0.1,
        "char_embedding_size": 0,
        "bidirectional": False,
        "hidden_size": 8,
        "embedding_size": 8,
    }
    model = ss.Tagger(**settings, **FAST, epochs=4, batch_size=8).fit(words, tags)
    assert model.predict([["a", "b", "b"]]) == [["A", "B", "B"]]
    assert list(model.tokenizers_) == ["tokenizer"]


def test_case_is_dropped_in_words_but_not_in_spelling():
    sentences = [["aa", "AA"], ["AA", "aa"]] * 20
    tags = [["low", "high"], ["high", "low"]] * 20
    settings = {**TINY, **SPELLED, "epochs": 10, "bidirectional": False}
    model = ss.Tagger(**settings, lowercase=True).fit(sentences, tags)
    assert model.predict([["AA", "aa", "aa"]]) == [["high", "low", "low"]]


def test_a_tag_that_only_validation_data_has_is_never_right():
    """It costs accuracy and nothing else: in published corpora a rare tag may be missing from the training part."""
    model = ss.Tagger(**TINY, **SPELLED).fit(SENTENCES, TAGS, validation=([["amny", "bopz"]], [["new", "new"]]))
    assert model.history_[0]["valid_accuracy"] == 0.0
    assert "new" not in model.classes_
    assert model.score([["amny"]], [["new"]]) == 0.0
    with pytest.raises(ss.SettingsError, match="labels: expected those of the model"):
        model.metrics([["amny"]], [["new"]])


def test_one_tag_is_said(caplog):
    model = ss.Tagger(hidden_size=2, embedding_size=2, char_embedding_size=0, epochs=1, verbose=False)
    model.fit([["a", "b"], ["b"]] * 4, [["-", "-"], ["-"]] * 4)
    [record] = [one for one in caplog.records if one.levelname == "WARNING" and "tagger" in one.name]
    assert record.getMessage().startswith("every token of the training data has the same tag, '-': there is nothing to")
    assert model.predict([["a"]]) == [["-"]]


def test_wrong_examples(tagger):
    with pytest.raises(ss.SettingsError, match="sentence 2: expected a tag for each of 2 tokens, got 1: 'a b'"):
        ss.Tagger(**TINY).fit([["a"], ["a", "b"]], [["x"], ["x"]])
    for call in (tagger.predict, tagger.predict_proba):
        with pytest.raises(ss.SettingsError, match="expected a list of tokens, got the text 'a b'; split it"):
            call(["a b"])
        with pytest.raises(ss.SettingsError, match="expected a list, got one text, 'a b'"):
            call("a b")
    with pytest.raises(ss.SettingsError, match="expected a list of tokens, got the text 'ab'"):
        ss.Tagger(**TINY).fit(["ab"], ["XY"])
    with pytest.raises(ss.SettingsError, match="expected as many sentences as tag sequences, got 40 and 39"):
        ss.Tagger(**TINY).fit(SENTENCES, TAGS[1:])


def test_seeds_and_held_out_tenth():
    fits = [ss.Tagger(**TINY, **SPELLED, seed=seed).fit(SENTENCES, TAGS) for seed in (1, 1, 2)]
    pairs = [*zip(SENTENCES, TAGS, strict=True)]
    train, held_out = hold_out(pairs, None, verbose=False, labels=lambda pair: pair[1], groups=same_input)
    model = ss.Tagger(**TINY, **SPELLED, seed=1).fit(
        *zip(*train, strict=True), validation=[*zip(*held_out, strict=True)]
    )
    one, same, other, split = map(weights_of, [*fits, model])
    assert equal_to_the_bit(one, same)
    assert not equal_to_the_bit(one, other)
    assert equal_to_the_bit(one, split)
