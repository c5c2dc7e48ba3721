"""Several labels, and numbers, in place of one class."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer
from toy_tasks import NETWORK

import stepscan as ss
from stepscan.data.batching import pad
from stepscan.data.task_data import ReadOptions, read_examples
from stepscan.estimators.data_split import hold_out, same_input
from stepscan.estimators.files import train
from stepscan.evaluation.problem_types import PROBLEM_TYPES
from stepscan.models.files import predict

SMALL = {**NETWORK, "hidden_size": 16, "embedding_size": 8, "batch_size": 8, "epochs": 12, "word_dropout": 0.0}

QUICK = "--hidden-size 16 --embedding-size 8 --batch-size 8 --epochs 12 --learning-rate 0.02 --dropout 0 --quiet"


def topics(count: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Texts of letters; the labels are the vowels in it, and there may be none."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(list("aeoxyzw"), size=draw.integers(1, 6))) for _ in range(count)]
    return texts, [sorted(set(text.split()) & set("aeo")) for text in texts]


def counts(count: int, seed: int) -> tuple[list[str], list[float]]:
    """Texts of letters; the number is 1000 and ten for each `a`."""
    texts, _ = topics(count, seed)
    return texts, [1000 + 10.0 * text.split().count("a") for text in texts]


@pytest.fixture(scope="module")
def multilabel_model() -> ss.Classifier:
    return ss.Classifier(problem_type="multilabel", **SMALL).fit(*topics(160, 0))


@pytest.fixture(scope="module")
def regression_model() -> ss.Classifier:
    return ss.Classifier(problem_type="regression", pooling="last", **{**SMALL, "epochs": 30}).fit(*counts(160, 0))


def test_labels(multilabel_model):
    texts, labels = topics(60, 1)
    assert multilabel_model.predict(texts) == labels
    assert multilabel_model.score(texts, labels) == 1
    assert multilabel_model.metrics(texts, labels) == {"micro_f1": 1.0, "macro_f1": 1.0, "exact": 1.0, "texts": 60}
    assert multilabel_model.classes_.tolist() == ["a", "e", "o"]
    np.testing.assert_allclose(
        multilabel_model.predict_proba(["a x"]),
        multilabel_model.model_(pad(multilabel_model.network_inputs(["a x"]))).sigmoid().detach(),
        rtol=1e-5,
    )
    assert multilabel_model.history_[-1].keys() >= {"valid_nats", "valid_micro_f1", "valid_exact"}


def test_label_figures_by_hand():
    problem, labels = PROBLEM_TYPES["multilabel"], ["a", "b"]
    true, result = [["a"], ["a", "b"], []], [["a", "b"], ["a"], []]
    figures = problem.metrics(true, result)  # a: 2 of 2; b: none right, one missed, one too many
    assert figures == {
        "micro_f1": pytest.approx(2 * 2 / (2 * 2 + 1 + 1)),
        "macro_f1": 0.5,
        "exact": pytest.approx(1 / 3),
    }
    scores = np.array([2.0, -1.0])
    by_hand = math.log(1 / (1 + math.exp(-2))) + math.log(1 - 1 / (1 + math.exp(1)))
    assert problem.nats(np.stack([scores] * 2), [["a"], ["a", "c"]], labels).tolist() == [
        pytest.approx(-by_hand),
        math.inf,
    ]
    assert problem.records(scores[None], labels)[0]["labels"] == {"a": pytest.approx(1 / (1 + math.exp(-2)))}


def test_numbers(regression_model):
    texts, numbers = counts(60, 1)
    figures = regression_model.metrics(texts, numbers)
    assert figures["r2"] > 0.95
    assert figures["r2"] == pytest.approx(regression_model.score(texts, numbers))
    errors = regression_model.predict(texts) - numbers
    assert figures["mae"] == pytest.approx(np.abs(errors).mean())
    assert figures["rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert not hasattr(regression_model, "classes_")
    assert regression_model.labels_ is None


def test_a_number_is_learned_in_units_of_its_spread(regression_model):
    examples = [*zip(*counts(160, 0), strict=True)]
    train, _ = hold_out(examples, None, verbose=False, stratified=lambda example: example[1], groups=same_input)
    held_in = torch.tensor([number for _, number in train])
    torch.testing.assert_close(regression_model.model_.mean, held_in.mean())
    torch.testing.assert_close(regression_model.model_.deviation, held_in.std(correction=0))


@pytest.mark.parametrize("kind", ["multilabel_model", "regression_model"])
def test_folder(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "m")
    again = ss.load(tmp_path / "m")
    assert again.problem_type == model.problem_type
    assert list(again.predict(["a e", "x"])) == list(model.predict(["a e", "x"]))
    assert (tmp_path / "m" / "labels.json").exists() == (kind == "multilabel_model")


def test_cross_validation():
    """scikit-learn must not take the answers for classes, which it would keep in proportion."""
    texts, numbers = counts(60, 1)
    assert cross_val_score(
        ss.Classifier(problem_type="regression", **{**SMALL, "epochs": 1}), texts, numbers, cv=3
    ).shape == (3,)
    texts, labels = topics(60, 1)
    assert cross_val_score(
        ss.Classifier(problem_type="multilabel", **{**SMALL, "epochs": 1}), texts, labels, cv=3
    ).shape == (3,)


@pytest.mark.parametrize(
    ("problem_type", "y", "reason"),
    [
        ("multilabel", ["a", "b"], r"target 1: expected a list of labels .problem_type 'multilabel'., got 'a'"),
        ("multilabel", MultiLabelBinarizer().fit_transform([["a"], ["b"]]), "MultiLabelBinarizer.inverse_transform"),
        ("multilabel", [["a"], ["b", 3]], "label 3: expected all strings or all whole numbers, got 3"),
        ("multilabel", [[], []], "expected labels, got training texts without any"),
        ("multilabel", [["a"], ["b"]], "none of the 2 examples can be held out for validation"),
        ("regression", [1.0, "two"], "target 2: expected a finite number .problem_type 'regression'., got 'two'"),
        ("regression", [1.0, math.nan], "target 2: expected a finite number .problem_type 'regression'., got nan"),
        ("classes", ["a", "b"], "problem_type: expected 'classification', 'multilabel' or 'regression', got 'classes'"),
    ],
)
def test_refused(problem_type, y, reason):
    with pytest.raises(ss.SettingsError, match=reason):
        ss.Classifier(problem_type=problem_type).fit(["x", "y"], y)


def test_refused_of_numbers(regression_model):
    with pytest.raises(ss.SettingsError, match="label_smoothing: expected 0 for regression, got"):
        ss.Classifier(problem_type="regression", label_smoothing=0.1).fit(["x", "y"], [1, 2])
    with pytest.raises(ss.SettingsError, match="a regression model has no probabilities"):
        regression_model.predict_proba(["a"])
    with pytest.raises(ss.SettingsError, match="evaluate without --per-line"):
        regression_model.log_probabilities(["a"], [1000])


FILES = {
    "a.csv": ('text,labels\nred car,"b, a"\nblue,\n', [["a", "b"], []]),
    "a.tsv": ("text\tlabel\nred car\ta,b\nblue\t\n", [["a", "b"], []]),
    "a.jsonl": ('{"text": "red car", "labels": ["b", "a"]}\n{"text": "blue", "labels": []}\n', [["a", "b"], []]),
    "a.txt": ("b,a red car\na blue\n", [["a", "b"], ["a"]]),
    "b.txt": ("__label__b __label__a red car\n__label__a blue\n", [["a", "b"], ["a"]]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_labels(name, tmp_path):
    text, expected = FILES[name]
    (tmp_path / name).write_text(text)
    assert read_examples("classify", [tmp_path / name], ReadOptions(problem_type="multilabel")) == (
        ["red car", "blue"],
        expected,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text,score\nred car,1.5\nblue,-2\n"),
        ("a.jsonl", '{"text": "red car", "score": 1.5}\n{"text": "blue", "score": "-2"}\n'),
        ("a.txt", "1.5 red car\n-2 blue\n"),
    ],
)
def test_files_of_numbers(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_examples("classify", [tmp_path / name], ReadOptions(problem_type="regression")) == (
        ["red car", "blue"],
        [1.5, -2.0],
    )


def test_series_of_numbers(tmp_path):
    (tmp_path / "a.ts").write_text("@targetlabel true\n@data\n1,2:3.5\n3,4:x\n")
    with pytest.raises(ss.DataError, match=r"a.ts: series 2: expected a finite number to predict, got 'x'"):
        read_examples("classify", [tmp_path / "a.ts"], ReadOptions(problem_type="regression"))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "text,score\nred,much\n", "a.csv, line 2: expected a finite number to predict, got 'much'"),
        ("a.csv", "text,score\nred,inf\n", "a.csv, line 2: expected a finite number"),
        ("a.csv", "text,score\nred,1_0\n", "a.csv, line 2: expected a finite number to predict, got '1_0'"),
        ("a.jsonl", '{"text": "red", "score": true}\n', "a.jsonl, line 1: .*got true or false"),
    ],
)
def test_files_refused(name, text, reason, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ss.DataError, match=reason):
        read_examples("classify", [tmp_path / name], ReadOptions(problem_type="regression"))


def test_labels_that_are_missing_are_not_labels(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "red", "labels": null}\n')
    with pytest.raises(ss.DataError, match="as the label, got null"):
        read_examples("classify", [tmp_path / "a.jsonl"], ReadOptions(problem_type="multilabel"))


def test_weights_to_begin_with(regression_model, tmp_path):
    regression_model.save(tmp_path / "m")
    again = ss.Classifier(
        problem_type="regression", init_from=tmp_path / "m", **{**SMALL, "epochs": 1, "pooling": "last"}
    )
    assert again.fit(*counts(40, 0)).score(*counts(40, 1)) > 0.5


def test_command_line(run, tmp_path):
    texts, labels = topics(80, 0)
    (tmp_path / "a.tsv").write_text(
        "text\tlabels\n" + "".join(f"{t}\t{','.join(y)}\n" for t, y in zip(texts, labels, strict=True))
    )
    texts, numbers = counts(80, 0)
    (tmp_path / "n.tsv").write_text(
        "text\tscore\n" + "".join(f"{t}\t{y}\n" for t, y in zip(texts, numbers, strict=True))
    )
    for file, problem_type in (("a.tsv", "multilabel"), ("n.tsv", "regression")):
        result = run(
            "train",
            "classify",
            "--train",
            tmp_path / file,
            "--out",
            tmp_path / problem_type,
            "--problem-type",
            problem_type,
            *QUICK.split(),
        )
        assert result.code == 0, result.err
    assert json.loads(run("evaluate", tmp_path / "multilabel", tmp_path / "a.tsv", "--json").out)["exact"] > 0.9
    assert "rmse " in run("evaluate", tmp_path / "regression", tmp_path / "n.tsv").out
    predicted, probabilities, text = run("predict", tmp_path / "multilabel", "x e a").out.rstrip("\n").split("\t")
    assert ({*predicted.split(",")}, len(probabilities.split(",")), text) == ({"a", "e"}, 2, "x e a")
    number, text = run("predict", tmp_path / "regression", "a a").out.rstrip("\n").split("\t")
    assert (float(number), text) == (pytest.approx(1020, abs=5), "a a")


def test_texts_are_read_as_they_are_needed(monkeypatch, tmp_path):
    """Of any number of texts, as many are read ahead as are decided together."""
    monkeypatch.setattr("stepscan.models.files.PORTION", 16)
    texts, labels = topics(40, 0)
    (tmp_path / "a.txt").write_text("".join(f"{','.join(y)} {t}\n" for t, y in zip(texts, labels, strict=True) if y))
    train(
        "classify", [tmp_path / "a.txt"], tmp_path / "m", settings={**SMALL, "epochs": 1, "problem_type": "multilabel"}
    )
    read = []

    def endless():
        while True:
            read.append(None)
            yield "a x"

    portions = predict(ss.load(tmp_path / "m"), endless())
    assert [len(next(portions)) for _ in range(3)] == [16, 16, 16]
    assert len(read) == 48


def test_f1_of_labels_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(0)
    true, result = ([sorted(set(draw.choice(list("abcdefg"), 3).tolist())) for _ in range(50)] for _ in range(2))
    binary = MultiLabelBinarizer().fit([list("abcdefg")])
    matrices = binary.transform(true), binary.transform(result)
    figures = PROBLEM_TYPES["multilabel"].metrics(true, result)
    assert figures["micro_f1"] == pytest.approx(f1_score(*matrices, average="micro"))
    assert figures["macro_f1"] == pytest.approx(f1_score(*matrices, average="macro"))
    assert PROBLEM_TYPES["multilabel"].metrics([["a"], []], [["a"], ["a"]])["micro_f1"] == pytest.approx(2 / 3)
    assert PROBLEM_TYPES["multilabel"].metrics([[], []], [[], []]) == {"micro_f1": 1.0, "macro_f1": 1.0, "exact": 1.0}


def test_targets_of_many_labels():
    labels = [f"l{i:06}" for i in range(100_000)]
    targets = PROBLEM_TYPES["multilabel"].targets([["l000002", "l099999"], [], ["unknown"]], labels)
    assert [row.nonzero()[0].tolist() for row in targets] == [[2, 99_999], [], []]


@pytest.mark.parametrize("problem_type", ["classification", "multilabel"])
def test_scores_of_all_texts_are_never_kept_together(problem_type, monkeypatch):
    """A thousand classes and texts: a batch's scores at a time, in training's evaluations too."""
    from stepscan.definitions.encoder import Encoder

    texts = [f"w{i % 50} v{i % 20}" for i in range(1000)]
    y = [f"c{i:04}" for i in range(1000)]
    answers = y if problem_type == "classification" else [[one] for one in y]
    sizes = []
    scores = Encoder.scores
    monkeypatch.setattr(Encoder, "scores", lambda self, rows: (sizes.append(len(rows)), scores(self, rows))[1])
    model = ss.Classifier(problem_type=problem_type, **{**SMALL, "epochs": 1, "batch_size": 100})
    model.fit(texts, answers, validation=(texts, answers))
    # Each text once for the figures; then so many for the network's share that their scores are 500,000.
    assert sizes == [128] * 7 + [104] + [128] * 3 + [116]
    result, logs = model.predict_proba(texts), model.log_probabilities(texts, answers)
    monkeypatch.undo()
    whole = model.model_(pad(model.network_inputs(texts))).detach()
    expected = whole.softmax(1) if problem_type == "classification" else whole.sigmoid()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-7)
    if problem_type == "classification":
        assert model.predict(texts).tolist() == [model.classes_[i] for i in result.argmax(axis=1)]
        assert model.history_[-1]["valid_nats"] == pytest.approx(-np.mean([nats for nats, _ in logs]), rel=1e-5)
        np.testing.assert_allclose([nats for nats, _ in logs], np.log(result.diagonal()), rtol=1e-5)
    else:
        assert model.predict(texts) == [[y[j] for j in np.flatnonzero(row > 0.5)] for row in result]
        assert {count for _, count in logs} == {1000}
    assert (
        model.log_probabilities(texts[:1], ["new"] if problem_type == "classification" else [["new"]])[0][0]
        == -math.inf
    )
