"""Weights to begin with: from a file of vectors, and from another model, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss
import stepscan.runtime

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


def fixed_vector(model, symbol):
    embedding = getattr(model.model_.embedding, "words", model.model_.embedding)
    return embedding.weight_given[model.tokenizers_["tokenizer"].tokens.index(symbol)].tolist()


def test_vectors_from_a_file(vectors, tmp_path, capsys):
    model = ss.Classifier(**SMALL, embeddings=vectors, verbose=True).fit(TEXTS, LABELS)
    assert fixed_vector(model, "red") == [1, 2, 3]
    assert fixed_vector(model, "green") == [4, 5, 6]
    assert fixed_vector(model, "blue") == [0, 0, 0]
    assert "has vectors of 2 of the 7 symbols of the training data" in " ".join(capsys.readouterr().err.split())
    model.save(tmp_path / "m")
    vectors.unlink()
    loaded = ss.load(tmp_path / "m")
    assert fixed_vector(loaded, "red") == [1, 2, 3]
    assert loaded.embeddings is None


def test_both_sides_of_a_translator(vectors):
    model = ss.Translator(**SMALL, source_tokenizer="word", tokenizer="word", embeddings=vectors).fit(TEXTS, TEXTS)
    assert row(model, "red", model.model_.generator.embedding) == pytest.approx([1, 2, 3])
    assert row(model, "green") == pytest.approx([4, 5, 6])


def test_vectors_that_do_not_fit(vectors):
    with pytest.raises(
        ss.SettingsError, match=r"embedding_size: expected 3, the dimension of the vectors of .*, got 5"
    ):
        ss.LanguageModel(**{**SMALL, "embedding_size": 5}, embeddings=vectors, tokenizer="word").fit("red green\n" * 40)
    with pytest.raises(ss.SettingsError, match="has none of the"):
        ss.Classifier(**SMALL, embeddings=vectors).fit(["un deux"] * 8, ["a", "b"] * 4)


def test_another_model_of_the_same_task(tmp_path, capsys):
    first = ss.Classifier(**{**SMALL, "learning_rate": 0.1}).fit(TEXTS, LABELS)
    first.save(tmp_path / "first")
    texts, labels = ["red green", "green pink", "pink red"] * 8, ["y", "w", "x"] * 8
    second = ss.Classifier(**SMALL, seed=1, init_from=tmp_path / "first", verbose=True).fit(texts, labels)
    assert row(second, "green") == pytest.approx(row(first, "green"))
    first_weights, second_weights = (model.model_.layer.state_dict() for model in (first, second))
    assert all(torch.allclose(first_weights[name], second_weights[name]) for name in first_weights)
    heads = [dict(zip(model.labels_, model.model_.head.weight.tolist(), strict=True)) for model in (first, second)]
    assert heads[1]["x"] == pytest.approx(heads[0]["x"])
    assert heads[1]["y"] == pytest.approx(heads[0]["y"])
    message = " ".join(capsys.readouterr().err.split())
    assert "head.weight (2 of 3 rows)" in message
    assert "randomly initialised" not in message


def test_a_language_model_begins_a_classifier(tmp_path, capsys):
    writer = ss.LanguageModel(**SMALL, tokenizer="word", bptt=4).fit("red green blue\n" * 40)
    writer.save(tmp_path / "writer")
    model = ss.Classifier(**SMALL, bidirectional=False, init_from=tmp_path / "writer", verbose=True).fit(TEXTS, LABELS)
    assert row(model, "red") == pytest.approx(row(writer, "red"))
    assert torch.allclose(model.model_.layer.weight_hh, writer.model_.layer.weight_hh)
    assert "randomly initialised: head.weight, head.bias" in " ".join(capsys.readouterr().err.split())


def test_nothing_fits(tmp_path):
    ss.LanguageModel(**SMALL, tokenizer="word", bptt=4).fit("un deux trois\n" * 40).save(tmp_path / "writer")
    with pytest.raises(ss.SettingsError, match="init_from: expected a model with a weight of the same name and shape"):
        ss.Classifier(**{**SMALL, "embedding_size": 7, "hidden_size": 9}, init_from=tmp_path / "writer").fit(
            TEXTS, LABELS
        )
    with pytest.raises(ss.ModelFormatError, match="does not exist"):
        ss.Classifier(**SMALL, init_from=tmp_path / "none").fit(TEXTS, LABELS)


def test_words_that_training_never_sees_keep_their_vectors(vectors, tmp_path):
    model = ss.Classifier(**SMALL, embeddings=vectors).fit(TEXTS, LABELS)
    assert model.tokenizers_["tokenizer"].tokens[-1] == "unheard"
    assert fixed_vector(model, "unheard") == [7, 8, 9]
    assert model.model_.embedding.weight.shape == (7, 3)
    model.save(tmp_path / "m")
    texts = ["red unheard", "unheard", "never"]
    torch_output, runtime_output = (one.predict_proba(texts) for one in (model, stepscan.runtime.load(tmp_path / "m")))
    assert runtime_output == pytest.approx(torch_output, abs=1e-6)
    assert abs(torch_output[1] - torch_output[2]).max() > 1e-3


def test_a_tagger_knows_words_that_training_never_sees(vectors, tmp_path):
    model = ss.Tagger(**SMALL, embeddings=vectors).fit([text.split() for text in TEXTS], [["a", "b"]] * 24)
    assert fixed_vector(model, "unheard") == [7, 8, 9]
    assert "unheard" not in model.tokenizers_["characters"].tokens
    model.save(tmp_path / "m")
    sentences = [["red", "unheard"], ["Unheard"]]
    runtime = stepscan.runtime.load(tmp_path / "m")
    for runtime_output, torch_output in zip(
        runtime.predict_proba(sentences), model.predict_proba(sentences), strict=True
    ):
        assert runtime_output == pytest.approx(torch_output, abs=1e-6)


def test_what_is_written_gains_no_words(vectors):
    translator = ss.Translator(**SMALL, source_tokenizer="word", tokenizer="word", embeddings=vectors).fit(TEXTS, TEXTS)
    writer = ss.LanguageModel(**SMALL, tokenizer="word", bptt=4, embeddings=vectors).fit("red green blue\n" * 40)
    assert row(writer, "red") == pytest.approx([1, 2, 3])
    for model in (translator, writer):
        assert "unheard" not in model.tokenizers_["tokenizer"].tokens


def test_words_in_upper_case_and_byte_pairs(vectors):
    model = ss.Classifier(**SMALL, embeddings=vectors, lowercase=False).fit([text.title() for text in TEXTS], LABELS)
    assert fixed_vector(model, "Red") == [1, 2, 3]
    pairs = ss.Classifier(**SMALL, embeddings=vectors, tokenizer="bpe", vocabulary_size=400).fit(TEXTS, LABELS)
    assert fixed_vector(pairs, "Ġgreen") == [4, 5, 6]
    assert "unheard" not in pairs.tokenizers_["tokenizer"].tokens


def test_the_size_of_what_begins_with_vectors_follows_them(glove, tmp_path):
    settings = {name: value for name, value in SMALL.items() if name != "embedding_size"}
    model = ss.LanguageModel(**settings, tokenizer="word", bptt=4, embeddings="glove").fit("the cat of\n" * 40)
    assert row(model, "cat") == pytest.approx([3, 4, 5])
    assert (model.embedding_size, model.chosen_["embedding_size"]) == (None, 3)
    model.save(tmp_path / "m")
    assert ss.load(tmp_path / "m").embedding_size == 3
    plain = model.set_params(embeddings=None).fit("the cat of\n" * 40)
    assert plain.model_.embedding.output_size == 128  # by rule


def test_given_vectors_of_another_model(vectors, tmp_path):
    ss.Classifier(**SMALL, embeddings=vectors).fit(TEXTS, LABELS).save(tmp_path / "first")
    other = tmp_path / "other.txt"
    other.write_text("green 1 1 1\npink 2 2 2\n")
    model = ss.Classifier(**SMALL, embeddings=other, init_from=tmp_path / "first").fit(["green pink"] * 24, LABELS)
    assert [fixed_vector(model, word) for word in ("green", "pink")] == [[1, 1, 1], [2, 2, 2]]


def test_vectors_for_numbers(glove):
    series = [[0.0, 1.0, 2.0]] * 8
    with pytest.raises(ss.SettingsError, match="embeddings: expected None for series of numbers, got"):
        ss.Classifier(embeddings="glove", epochs=1).fit([np.array(one) for one in series], ["x", "y"] * 4)
    with pytest.raises(ss.SettingsError, match="embeddings: expected None for series of numbers, got"):
        ss.Tagger(embeddings="glove", epochs=1).fit([np.array(one) for one in series], [["x", "y", "x"]] * 8)
