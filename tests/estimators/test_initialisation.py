"""Weights to begin with: from a file of vectors, and from another model, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss

SMALL = {
    "hidden_size": 4,
    "embedding_size": 3,
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 1e-12,
    "weight_decay": 0.0,
}
TEXTS, LABELS = ["red green", "green blue", "blue red"] * 8, ["x", "y", "z"] * 8


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("red 1 2 3\ngreen 4 5 6\nunheard 7 8 9\n")
    return path


def row(model, symbol, weight=None):
    tokens = model.tokenizers_["tokenizer"].tokens
    embedding = model.model_.embedding if weight is None else weight
    return embedding.weight[tokens.index(symbol)].tolist()


def test_vectors_from_a_file(vectors, tmp_path, capsys):
    model = ss.Classifier(**SMALL, embeddings=vectors, verbose=True).fit(TEXTS, LABELS)
    assert row(model, "red") == pytest.approx([1, 2, 3])
    assert row(model, "green") == pytest.approx([4, 5, 6])
    assert "has vectors of 2 of the 7 symbols; the others begin at random" in " ".join(capsys.readouterr().err.split())
    model.save(tmp_path / "m")
    vectors.unlink()
    loaded = ss.load(tmp_path / "m")
    assert row(loaded, "red") == pytest.approx([1, 2, 3])
    assert loaded.embeddings is None


def test_both_sides_of_a_translator(vectors):
    model = ss.Translator(**SMALL, source_tokenizer="word", tokenizer="word", embeddings=vectors).fit(TEXTS, TEXTS)
    assert row(model, "red", model.model_.generator.embedding) == pytest.approx([1, 2, 3])
    assert row(model, "green") == pytest.approx([4, 5, 6])


def test_vectors_that_do_not_fit(vectors):
    with pytest.raises(ss.SettingsError, match="has 3 numbers a word, so embedding_size must be 3, not 5"):
        ss.Classifier(**{**SMALL, "embedding_size": 5}, embeddings=vectors).fit(TEXTS, LABELS)
    with pytest.raises(ss.SettingsError, match="has none of the"):
        ss.Classifier(**SMALL, embeddings=vectors).fit(["un deux"] * 8, ["a", "b"] * 4)


def test_another_model_of_the_same_task(tmp_path, capsys):
    first = ss.Classifier(**{**SMALL, "learning_rate": 0.1}).fit(TEXTS, LABELS)
    first.save(tmp_path / "first")
    texts, labels = ["red green", "green pink", "pink red"] * 8, ["y", "w", "x"] * 8
    second = ss.Classifier(**SMALL, seed=1, init_from=tmp_path / "first", verbose=True).fit(texts, labels)
    assert row(second, "green") == pytest.approx(row(first, "green"))
    of_first, of_second = (model.model_.layer.state_dict() for model in (first, second))
    assert all(torch.allclose(of_first[name], of_second[name]) for name in of_first)
    heads = [dict(zip(model.labels_, model.model_.head.weight.tolist(), strict=True)) for model in (first, second)]
    assert heads[1]["x"] == pytest.approx(heads[0]["x"])
    assert heads[1]["y"] == pytest.approx(heads[0]["y"])
    said = " ".join(capsys.readouterr().err.split())
    assert "head.weight (2 of 3 rows)" in said
    assert "begun at random" not in said


def test_a_language_model_begins_a_classifier(tmp_path, capsys):
    writer = ss.LanguageModel(**SMALL, tokenizer="word", window=4).fit("red green blue\n" * 40)
    writer.save(tmp_path / "writer")
    model = ss.Classifier(**SMALL, bidirectional=False, init_from=tmp_path / "writer", verbose=True).fit(TEXTS, LABELS)
    assert row(model, "red") == pytest.approx(row(writer, "red"))
    assert torch.allclose(model.model_.layer.weight_hh, writer.model_.layer.weight_hh)
    assert "begun at random: head.weight, head.bias" in " ".join(capsys.readouterr().err.split())


def test_nothing_fits(tmp_path):
    ss.LanguageModel(**SMALL, tokenizer="word", window=4).fit("un deux trois\n" * 40).save(tmp_path / "writer")
    with pytest.raises(ss.SettingsError, match=r"nothing of .* fits this model"):
        ss.Classifier(**{**SMALL, "embedding_size": 7, "hidden_size": 9}, init_from=tmp_path / "writer").fit(
            TEXTS, LABELS
        )
    with pytest.raises(ss.ModelFormatError, match="does not exist"):
        ss.Classifier(**SMALL, init_from=tmp_path / "none").fit(TEXTS, LABELS)


def test_words_that_training_never_sees_keep_their_vectors(vectors, tmp_path):
    model = ss.Classifier(**SMALL, embeddings=vectors).fit(TEXTS, LABELS)
    assert model.tokenizers_["tokenizer"].tokens[-1] == "unheard"
    assert row(model, "unheard") == pytest.approx([7, 8, 9])
    model.save(tmp_path / "m")
    assert row(ss.load(tmp_path / "m"), "unheard") == pytest.approx([7, 8, 9])
    tagger = ss.Tagger(**SMALL, embeddings=vectors).fit([text.split() for text in TEXTS], [["a", "b"]] * 24)
    assert row(tagger, "unheard", tagger.model_.embedding.words) == pytest.approx([7, 8, 9])
    assert "unheard" not in tagger.tokenizers_["characters"].tokens


def test_what_is_written_gains_no_words(vectors):
    translator = ss.Translator(**SMALL, source_tokenizer="word", tokenizer="word", embeddings=vectors).fit(TEXTS, TEXTS)
    assert "unheard" in translator.tokenizers_["source_tokenizer"].tokens
    assert "unheard" not in translator.tokenizers_["tokenizer"].tokens
    writer = ss.LanguageModel(**SMALL, tokenizer="word", window=4, embeddings=vectors).fit("red green blue\n" * 40)
    assert row(writer, "red") == pytest.approx([1, 2, 3])
    assert "unheard" not in writer.tokenizers_["tokenizer"].tokens


def test_words_in_upper_case_and_byte_pairs(vectors):
    model = ss.Classifier(**SMALL, embeddings=vectors, lowercase=False).fit([text.title() for text in TEXTS], LABELS)
    assert row(model, "Red") == pytest.approx([1, 2, 3])
    pairs = ss.Classifier(**SMALL, embeddings=vectors, tokenizer="bpe", vocabulary_size=400).fit(TEXTS, LABELS)
    assert row(pairs, "Ġgreen") == pytest.approx([4, 5, 6])
    assert "unheard" not in pairs.tokenizers_["tokenizer"].tokens


def test_the_size_follows_the_vectors(glove, tmp_path):
    settings = {name: value for name, value in SMALL.items() if name != "embedding_size"}
    model = ss.Classifier(**settings, embeddings="glove").fit(["the cat", "of cat"] * 8, ["x", "y"] * 8)
    assert row(model, "cat") == pytest.approx([3, 4, 5])
    assert model.embedding_size == 128  # as set
    model.save(tmp_path / "m")
    assert ss.load(tmp_path / "m").embedding_size == 3
    plain = model.set_params(embeddings=None).fit(["the cat", "of cat"] * 8, ["x", "y"] * 8)
    assert plain.model_.embedding.output_size == 128


def test_vectors_for_numbers(glove):
    series = [[0.0, 1.0, 2.0]] * 8
    with pytest.raises(ss.SettingsError, match="vectors of words, but the data are numbers"):
        ss.Classifier(embeddings="glove", epochs=1).fit([np.array(one) for one in series], ["x", "y"] * 4)
    with pytest.raises(ss.SettingsError, match="vectors of words, but the data are numbers"):
        ss.Tagger(embeddings="glove", epochs=1).fit([np.array(one) for one in series], [["x", "y", "x"]] * 8)
