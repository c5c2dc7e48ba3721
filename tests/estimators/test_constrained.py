"""What a language model may say, and what every model thinks of what it is given, line by line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import stepscan as ss


@pytest.fixture(scope="module")
def writer():
    return ss.LanguageModel(hidden_size=16, bptt=16, batch_size=4, epochs=8, learning_rate=0.02).fit("abc abd\n" * 80)


def test_allowed_and_forbidden(writer):
    assert set(writer.generate("", length=60, seed=0, allowed=["a", "b"])) == {"a", "b"}
    assert "a" not in writer.generate("", length=60, seed=0, forbidden=["a"])
    assert set(writer.generate("", length=60, seed=0, allowed=["a", "b"], forbidden=["a"])) == {"b"}


def test_stop(writer):
    whole = writer.generate("ab", length=60, seed=0)
    assert "\n" in whole
    assert writer.generate("ab", length=60, seed=0, stop=["\n"]) == whole[: whole.index("\n")]
    assert writer.generate("ab", length=60, seed=0, stop=["zzz"]) == whole


def test_repetition_penalty(writer):
    plain, other = (writer.generate("a", length=5, temperature=0, repetition_penalty=p) for p in (1.0, 1e6))
    assert len(set(other)) == 6
    assert len(set(plain)) < 6


def test_wrong_symbols(writer):
    with pytest.raises(ss.SettingsError, match="expected a symbol of the model, got 'x'"):
        writer.generate("", forbidden=["x"])
    with pytest.raises(ss.SettingsError, match="forbidden: expected at least one symbol that is not, got all"):
        writer.generate("", allowed=["a"], forbidden=["a"])


def test_log_probability_of_a_text(writer):
    (result, count), nothing = writer.log_probabilities(["abc", ""])
    product, so_far = 0.0, ""
    tokens = writer.tokenizers_["tokenizer"].tokens
    for symbol in "abc":
        product += float(np.log(writer.predict_proba([so_far])[0][tokens.index(symbol)]))
        so_far += symbol
    assert (result, count) == (pytest.approx(product, rel=1e-4), 3)
    assert result / count == pytest.approx(writer.score("abc"), rel=1e-4)
    assert nothing == (0.0, 0)


@pytest.mark.parametrize("task", ["classify", "tag", "translate"])
def test_per_line(run, models, corpora, task):
    rows = [
        json.loads(line)
        for line in run("evaluate", models[task], corpora[task], "--per-line", "--json").out.splitlines()
    ]
    assert [row["line"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["log_probability"] < 0 for row in rows if row["symbols"])
    assert len(rows) == 40


def test_per_line_is_the_probability_of_the_right_class(run, models, corpora):
    model = ss.load(models["classify"])
    (result, one), unknown = model.log_probabilities(["a good film , x"] * 2, ["pos", "never"])
    expected = model.predict_proba(["a good film , x"])[0][model.classes_.tolist().index("pos")]
    assert (result, one) == (pytest.approx(float(np.log(expected)), rel=1e-4), 1)
    assert unknown == (-np.inf, 1)


def test_log_probability_of_tags_together():
    sentences, tags = [["a", "b"], ["b", "a", "a"]] * 8, [["B-x", "I-x"], ["O", "B-x", "O"]] * 8
    model = ss.Tagger(crf=True, hidden_size=4, embedding_size=4, epochs=1, char_embedding_size=0).fit(sentences, tags)
    from itertools import product

    several = [list(path) for path in product(model.classes_.tolist(), repeat=2)]
    allowed = [path for path in several if path[0] != "I-x" and path != ["O", "I-x"]]
    log_probabilities = [value for value, _ in model.log_probabilities([["a", "b"]] * len(allowed), allowed)]
    assert np.exp(log_probabilities).sum() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(torch.tensor(log_probabilities)).all()


def test_on_the_command_line(run, models):
    output = run("generate", models["generate"], "--length", "30", "--seed", "1", "--allow", "a", "--allow", "b").out
    assert set(output.strip()) <= {"a", "b"}
    wrong = run("generate", models["generate"], "--forbid", "x")
    assert wrong.code == 1
    assert "expected a symbol of the model, got 'x'" in wrong.words


def test_lengths_of_translations(run, models):
    model = ss.load(models["translate"])
    for minimum, maximum in ((5, None), (0, 2), (3, 3)):
        predictions = model.translate(["abc", "cab"], minimum_length=minimum, maximum_length=maximum)
        sizes = [len(one[0].text) for one in predictions]
        assert all(minimum <= size <= (maximum or 1000) for size in sizes)
    with pytest.raises(ss.SettingsError, match="maximum_length: expected at least the minimum, 3, got 2"):
        model.translate(["abc"], minimum_length=3, maximum_length=2)
    assert len(run("predict", models["translate"], "abc", "--minimum-length", "6").out.strip()) >= 6
    wrong = run("predict", models["classify"], "abc", "--minimum-length", "6")
    assert "minimum_length: only for translate, not for classify" in wrong.words
