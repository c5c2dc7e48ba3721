"""A yardstick in every run: what trivial models of the training data score, and where it is said."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from toy_tasks import FAST, RHYME, ordered, reversals

import stepscan as ss
from stepscan.estimators.yardsticks import frequent_tags, naive_forecast, report_yardstick, symbol_frequencies
from stepscan.evaluation.schemes import recognise

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "batch_size": 8, **FAST}


def test_the_most_frequent_tag_of_each_word():
    train = [(["run", "walking", "the"], ["V", "V", "D"]), (["run", "run", "king"], ["N", "N", "N"])]
    held_out = [(["run", "the", "singing", "king", "x"], ["N", "D", "V", "N", "V"])]
    yardstick = frequent_tags([(train, held_out)], None)
    # run: N twice of three; singing ends in -king? no: -ing is V and N alike, of equals the first by name, N; x: N
    assert yardstick.scores == {"accuracy": 3 / 5}
    assert yardstick.error == pytest.approx(math.sqrt(0.6 * 0.4 / 5))
    assert (yardstick.name, yardstick.answer) == ("most frequent tag of each word", None)


def test_of_a_word_unknown_the_longest_suffix_counts():
    train = [(["aXking", "bXking", "ring", "sing", "wing"], ["A", "A", "B", "B", "B"])]
    assert frequent_tags([(train, [(["cXking"], ["A"])])], None).scores == {"accuracy": 1.0}
    assert frequent_tags([(train, [(["ding"], ["B"])])], None).scores == {"accuracy": 1.0}
    assert frequent_tags([(train, [(["?"], ["B"])])], None).scores == {"accuracy": 1.0}  # the most frequent of all


def test_of_spans_f1_is_compared():
    train = [(["Ann", "lives", "in", "Bonn"], ["B-PER", "O", "O", "B-LOC"])] * 3
    held_out = [(["Ann", "sees", "Bonn", "Tim"], ["B-PER", "O", "B-LOC", "B-PER"])]
    scheme, _ = recognise([tags for _, tags in train + held_out])
    yardstick = frequent_tags([(train, held_out)], scheme)
    assert list(yardstick.scores) == ["f1", "accuracy"]
    assert yardstick.scores["f1"] == pytest.approx(2 * 2 / (2 + 3))
    assert yardstick.error == pytest.approx(math.sqrt(0.8 * 0.2 / 3))


def test_of_series_the_most_frequent_tag():
    series = np.zeros((4, 1))
    yardstick = frequent_tags([([(series, ["a", "b", "b", "b"])], [(series, ["b", "a", "a", "a"])])], None)
    assert (yardstick.answer, yardstick.scores) == ("b", {"accuracy": 0.25})


def test_the_frequency_of_each_symbol():
    result = symbol_frequencies(np.array([0, 0, 1]), np.array([0, 2]), 3)
    assert result.scores["nats"] == pytest.approx(-(math.log(3 / 6) + math.log(1 / 6)) / 2)
    assert result.error == pytest.approx(math.log(3) / 2 / math.sqrt(2))


def test_the_naive_forecast():
    series = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    assert naive_forecast([(series, 0)], 0).scores == {"mae": (1 + 2 + 4 + 8) / 4}
    assert naive_forecast([(series, 3)], 0).scores == {"mae": (4 + 8) / 2}
    yardstick = naive_forecast([(series, 0), (series, 4)], 2)
    assert (yardstick.name, yardstick.scores) == ("value one season before", {"mae": (6 + 12 + 12) / 3})
    assert naive_forecast([(series, 0)], 1).name == "last value"


def test_forecasts_are_compared_with_what_they_are_judged_on():
    series = np.sin(np.arange(60.0))[:, None] + 2
    model = ss.Forecaster(seasonal_period=5, **{**TINY, "bptt": 16}).fit(series)
    mae = model.history_[0]["valid_mae"]
    ahead = model._one_step_ahead(series).median[-6:]
    assert mae == pytest.approx(np.abs(ahead - series[-6:]).mean())
    assert model.yardstick_["scores"]["mae"] == pytest.approx(np.abs(series[-6:] - series[-11:-5]).mean())


SENTENCES = [[*draw] for draw in (random.Random(n).choices("abcdefg", k=4) for n in range(60))]
MODELS = {
    "class": (lambda: ss.Classifier(**TINY), ordered(60, 1), "majority class"),
    "labels": (
        lambda: ss.Classifier(problem_type="multilabel", **TINY),
        (ordered(60, 1)[0], [["a"], []] * 30),
        "most frequent labels",
    ),
    "number": (
        lambda: ss.Classifier(problem_type="regression", **TINY),
        (ordered(60, 1)[0], [*range(60)]),
        "mean of the training data",
    ),
    "tag": (lambda: ss.Tagger(**TINY), (SENTENCES, SENTENCES), "most frequent tag of each word"),
    "generate": (lambda: ss.LanguageModel(**TINY), (RHYME,), "frequency of each symbol"),
    "numbers": (lambda: ss.Forecaster(**TINY), (np.arange(50.0),), "last value"),
    "translate": (lambda: ss.Translator(tokenizer="character", **TINY), reversals(60, 1), "frequency of each symbol"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_estimator_has_one_and_its_folder_keeps_it(kind, tmp_path):
    make, data, name = MODELS[kind]
    model = make().fit(*data)
    assert model.yardstick_["name"] == name
    judged = {key.removeprefix("valid_") for key in model.history_[0]}
    assert next(iter(model.yardstick_["scores"])) in judged
    model.save(tmp_path / "model")
    assert ss.load(tmp_path / "model").yardstick_ == model.yardstick_
    if kind != "numbers":
        assert ss.runtime.load(tmp_path / "model").yardstick_ == model.yardstick_
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"For comparison, the {name}: " in card


def test_a_model_no_better_than_guessing_is_told_so(tmp_path, run):
    """On standard error, in the summary, in the card and where the model is evaluated."""
    draw = random.Random(0)
    rows = [f"{' '.join(draw.choices('abcdefgh', k=6))},{draw.choice('xy')}\n" for _ in range(200)]
    (tmp_path / "noise.csv").write_text("text,label\n" + "".join(rows))
    size = ("--hidden-size", 4, "--embedding-size", 4, "--epochs", 1, "--learning-rate", 1e-6)
    trained = run("train", "classify", "--train", tmp_path / "noise.csv", "--out", tmp_path / "m", *size, "--json")
    summary = json.loads(trained.out)
    scores = summary["yardstick"]["scores"]
    assert summary["yardstick"]["name"] == "majority class"
    assert 0.4 < scores["accuracy"] < 0.6
    assert f"for comparison, the majority class: accuracy {scores['accuracy']:.4f} · macro_f1" in trained.words
    assert "better than always answering '" in trained.words
    assert "what would help: more updates (--max-updates)" in trained.words
    assert "better than always answering '" in (tmp_path / "m" / "README.md").read_text()
    answer = json.loads((tmp_path / "m" / "config.json").read_text())["yardstick"]["answer"]
    evaluated = run("evaluate", tmp_path / "m", tmp_path / "noise.csv", "--json")
    share = sum(row.endswith(f",{answer}\n") for row in rows) / 200
    assert json.loads(evaluated.out)["yardstick"]["scores"]["accuracy"] == pytest.approx(share)
    assert f"better than always answering {answer!r}, the majority class (accuracy " in evaluated.words
    shown = run("evaluate", tmp_path / "m", tmp_path / "noise.csv").out
    assert f"yardstick        majority class: accuracy {share:.4f} · macro_f1 " in shown


def test_a_model_that_learned_is_told_nothing(classifier, caplog):
    scores = {"accuracy": classifier.history_[-1]["valid_accuracy"]}
    report_yardstick(classifier.yardstick_, scores, verbose=False)
    assert not caplog.records
    report_yardstick(None, scores, verbose=True)


def test_translations_are_compared_with_copies(translator):
    sources, targets = ["ab", "aa"], ["ba", "aa"]
    result = translator.yardstick(sources, targets)
    assert (result.name, result.scores["error_rate"]) == ("copy of the source", 50.0)
