"""The rules that choose settings by the size of the data, as values; how much work a training is."""

from __future__ import annotations

import pytest

from stepscan.cells.lstm import LSTM
from stepscan.cells.rglru import RGLRU
from stepscan.data.vocabulary import WordFacts
from stepscan.estimators.base import ESTIMATORS
from stepscan.estimators.files import train  # noqa: F401  # which brings all of them in
from stepscan.options import SERIES_TASKS, TASKS
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.training.defaults import DataFacts, default_settings, is_cross_validated, listed_settings, most_updates
from stepscan.training.flops import training_flops


@pytest.mark.parametrize(
    ("task", "kind", "examples", "expected"),
    [
        ("classify", "text", 50, {"batch_size": 16, "word_dropout": 0.1, "hidden_size": 128, "dropout": 0.5}),
        ("classify", "text", 999, {"batch_size": 16, "word_dropout": 0.1}),
        ("classify", "text", 1000, {"batch_size": 32, "word_dropout": 0.1}),
        ("classify", "text", 10_000, {"batch_size": 64, "word_dropout": 0.02}),
        ("classify", "series", 50, {"batch_size": 16, "hidden_size": 64, "input_noise": 0.1}),
        ("tag", "text", 50, {"batch_size": 8, "word_dropout": 0.2, "char_hidden_size": 48}),
        ("tag", "text", 5000, {"batch_size": 32, "word_dropout": 0.1}),
        ("generate", "text", 10_000, {"layers": 1, "hidden_size": 256, "batch_size": 8, "bptt": 64, "forget_bias": -1}),
        ("generate", "text", 300_000, {"layers": 2, "hidden_size": 512, "batch_size": 32, "bptt": 100}),
        ("forecast", "series", 300_000, {"layers": 1, "hidden_size": 64, "batch_size": 32, "bptt": 64}),
        ("translate", "text", 100, {"batch_size": 32, "hidden_size": 256, "vocabulary_size": 4000, "forget_bias": 0}),
        ("translate", "text", 10_000, {"batch_size": 64}),
    ],
)
def test_rules(task, kind, examples, expected):
    result = default_settings(DataFacts(task, kind, examples, 10.0), None)
    assert {name: result[name] for name in expected} == expected
    assert (result["ema_decay"], result["decay_ratio"]) == (0.999, 1.0 if task == "translate" else 0.25)


@pytest.mark.parametrize(("size", "factor"), [("small", 0.5), ("medium", 1), ("large", 2)])
def test_the_dial(size, factor):
    """It changes sizes, and nothing else."""
    facts = DataFacts("tag", "text", 500, 10.0)
    result, medium = default_settings(facts, size), default_settings(facts, None)
    sizes = ("hidden_size", "embedding_size", "char_embedding_size", "char_hidden_size")
    assert [result[name] for name in sizes] == [128 * factor, 100 * factor, 32 * factor, 48 * factor]
    assert {n: v for n, v in result.items() if n not in sizes} == {n: v for n, v in medium.items() if n not in sizes}


@pytest.mark.parametrize(
    ("task", "kind"),
    [*((task, "text") for task in TASKS if task != "forecast"), *((n, "series") for n in SERIES_TASKS)],
)
@pytest.mark.parametrize("examples", [1, 10**4, 10**7])
def test_what_may_be_open_is_chosen(task, kind, examples):
    """Every setting that is None until it is chosen has a value afterwards, for each kind of data that the task has."""
    stay = {"embeddings", "init_from", "t_max", "forget_bias", "size", "epochs", "max_updates", "time_budget", "refit"}
    stay |= {"max_grad_value", "patience", "checkpoints", "tensorboard", "source_tokenizer", "wide", "cache_dir"}
    stay |= {"vocabulary_size"} if task == "generate" else set()
    of_text = {"char_embedding_size", "char_hidden_size", "tie_weights", "softmax_samples", "tokenizer"}
    stay |= of_text if kind == "series" else set()
    params = ESTIMATORS[task]().get_params()
    result = default_settings(DataFacts(task, kind, examples, 10.0), None)
    assert {name for name, value in params.items() if value is None} - stay <= set(result)


@pytest.mark.parametrize(
    ("examples", "unknown", "length", "expected"),
    [
        (5000, 0.51, 6.0, "character"),
        (5000, 0.5, 6.0, "word"),  # half of the words of new texts would be known
        (4999, 0.9, 6.0, "word"),  # too few names to learn their letters
        (100, 0.9, 12.1, "character"),  # not words
        (100, 0.4, 60.0, "word"),  # identifiers that come again
    ],
)
def test_texts_of_unknown_words_are_characters(examples, unknown, length, expected):
    facts = DataFacts("classify", "text", examples, 10.0, words=WordFacts(unknown, length))
    assert default_settings(facts, None)["tokenizer"] == expected
    assert default_settings(facts._replace(words=None), None)["tokenizer"] == "word"


def test_pairs_of_unknown_words_are_characters():
    facts = DataFacts("translate", "text", 100, 10.0)
    for words, expected in ((None, "bpe"), (WordFacts(0.5, 30.0), "bpe"), (WordFacts(0.51, 3.0), "character")):
        assert default_settings(facts._replace(words=words), None)["tokenizer"] == expected


def test_updates():
    """At most 15e12 operations, 8,000 updates and 100 passes (but 1,000 updates), but a few passes at least; less in a
    fold."""
    assert most_updates("classify", 10, 1e9, are_folds=False) == 1000
    assert most_updates("classify", 20, 1e9, are_folds=False) == 2000
    assert most_updates("classify", 100, 1e9, are_folds=False) == 8000
    assert most_updates("classify", 100, 1e10, are_folds=False) == 1500
    assert most_updates("classify", 1000, 1e12, are_folds=False) == 4000
    assert most_updates("translate", 1000, 1e12, are_folds=False) == 10_000
    assert most_updates("classify", 10, 1e9, are_folds=True) == 200
    assert most_updates("classify", 15, 1e9, are_folds=True) == 300
    assert most_updates("classify", 100, 1e9, are_folds=True) == 400
    assert most_updates("classify", 10, 1e11, are_folds=True) == 20
    assert most_updates("classify", 10, 1e14, are_folds=True) == 1


def test_folds():
    """Of fewer than 400 examples; to classify of fewer than 5,000, unless these are long."""
    assert is_cross_validated("tag", 399, 10**9)
    assert not is_cross_validated("tag", 400, 400)
    assert is_cross_validated("classify", 4999, 400_000)
    assert not is_cross_validated("classify", 5000, 5000)
    assert not is_cross_validated("classify", 400, 400_001)
    assert is_cross_validated("classify", 399, 10**9)


def test_operations_by_hand():
    """Six for each weight of a matrix and item; rows of an embedding are looked up, biases are added."""
    model = Generator(Embedding(5, 3), LSTM(3, 4))
    assert training_flops(model, 10) == 6 * 10 * (4 * 4 * 3 + 4 * 4 * 4 + 4 * 5)
    tied = Generator(Embedding(5, 4), LSTM(4, 4), tie_weights=True)
    assert training_flops(tied, 10) == 6 * 10 * (4 * 4 * 4 + 4 * 4 * 4 + 4 * 5)
    heads = Generator(Embedding(5, 3), RGLRU(3, 4, heads=2))
    assert training_flops(heads, 10) == 6 * 10 * (4 * 3 + 2 * 2 * 2 * 2 + 4 * 5)


def test_a_line():
    assert listed_settings({"dropout": 0.5, "batch_size": 16}) == "dropout 0.5, batch_size 16"
