"""Labels come back as they were given, from training, predicting, scoring, saving, loading; or are refused at once."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.data.example_checks import checked_labels, label_array
from stepscan.evaluation.problem_types import PROBLEM_TYPES
from stepscan.kernels import native

SMALL = {"hidden_size": 8, "embedding_size": 8, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0, "batch_size": 8}
KEPT = [
    ["a", "a\0"],
    ["a\0", "a\0\0"],
    ["", " "],
    ["é" * 1000, "b"],
    [-1, 2**63],
    [2**63 - 1, 2**63],
    [-(2**100), 2**64],
    [0, 1],
    [False, True],
    [np.str_("a"), np.str_("b")],
    [np.int8(-3), np.int8(4)],
    [np.bool_(True), np.bool_(False)],
    [1.0, 2.0],
    [np.float32(1), 2],
    [-0.0, 1.0],
]
REFUSED = [
    (["a", None], "label 2: expected all strings or all whole numbers, got None"),
    (["a", 1], "label 2: expected all strings or all whole numbers, got 1"),
    ([1, "a"], "label 2: expected all strings or all whole numbers, got 'a'"),
    ([True, 1], "label 2: expected all strings or all whole numbers, got 1"),
    ([0, False], "label 2: expected all strings or all whole numbers, got False"),
    ([np.int64(0), np.bool_(False)], "label 2: expected all strings or all whole numbers, got False"),
    (["a", float("nan")], "label 2: expected all strings or all whole numbers, got nan"),
    ([1, float("nan")], "label 2: expected all strings or all whole numbers, got nan; to predict continuous numbers"),
    ([1, float("inf")], "label 2: expected all strings or all whole numbers, got inf"),
    ([1.5, 2], "label 1: expected all strings or all whole numbers, got 1.5; to predict continuous numbers"),
    (["a", "\ud800"], r"label 2 is not valid Unicode \(half a surrogate pair\): '\\ud800'"),
    ([1, 10**400], "label 2 has more than 128 bits: 1000000"),
    ([1, 1e300], "label 2 has more than 128 bits: 1000000"),
    ([b"a", b"b"], "label 1: expected all strings or all whole numbers, got b'a'"),
    ([("a",), ("b",)], r"label 1: expected all strings or all whole numbers, got \('a',\)"),
]


@pytest.mark.parametrize("labels", KEPT, ids=lambda labels: repr(labels)[:40])
def test_labels_are_kept(labels, tmp_path):
    texts, y = ["a good film", "a bad film"] * 8, labels * 8
    model = ss.Classifier(**SMALL).fit(texts, y, validation=(texts, y))
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    model.save(tmp_path / "model")
    sides = [model, ss.load(tmp_path / "model"), *([runtime.load(tmp_path / "model")] if native.library else [])]
    for side in sides:
        assert side.classes_.tolist() == sorted(plain)
        assert side.labels_ == sorted(plain)
        said = side.predict(texts[:2])
        assert said.tolist() == plain
        assert [type(label) for label in side.labels_] == [type(label) for label in model.labels_]
        assert side.score(texts, y) == 1
        assert side.score(texts, y[1:] + y[:1]) == 0
        assert side.metrics(texts, y)["macro_f1"] == 1
        assert side.metrics(texts, y[1:] + y[:1])["macro_f1"] == 0


@pytest.mark.parametrize(("labels", "reason"), REFUSED, ids=lambda value: repr(value)[:40])
def test_labels_that_cannot_be_kept_are_refused_before_training(labels, reason):
    with pytest.raises(ss.SettingsError, match=reason) as caught:
        ss.Classifier(**SMALL).fit(["a good film", "a bad film"] * 8, labels * 8)
    assert len(str(caught.value)) < 300
    with pytest.raises(ss.SettingsError, match=reason):
        ss.Classifier(**SMALL, problem_type="multilabel").fit(["a good film", "a bad film"], [[labels[0]], [labels[1]]])


def test_tags_are_kept(tmp_path):
    sentences, tags = [["ab", "cd"], ["cd"]] * 8, [["a", "a\0"], ["a\0"]] * 8
    model = ss.Tagger(**SMALL, char_embedding_size=0, patience=30).fit(sentences, tags, validation=(sentences, tags))
    model.save(tmp_path / "model")
    for side in (model, ss.load(tmp_path / "model")):
        assert side.classes_.tolist() == ["a", "a\0"]
        assert side.predict(sentences[:2]) == tags[:2]
        assert side.score(sentences, tags) == 1
    with pytest.raises(ss.SettingsError, match="expected valid Unicode"):
        ss.Tagger(**SMALL).fit(sentences, [["a", "\udfff"], ["a"]] * 8)


def test_one_long_label_takes_no_memory_for_the_others():
    labels = [f"{number:04}" for number in range(1999)] + ["x" * 100_000]
    problem = PROBLEM_TYPES["classification"]
    tracemalloc.start()
    try:
        assert label_array(labels)[-1] == labels[-1]
        scores = np.eye(2000, dtype=np.float32)
        assert problem.predictions(scores, labels).tolist() == labels
        assert problem.score(labels, label_array(labels), None) == 1
        assert problem.metrics(labels, label_array(labels))["macro_f1"] == 1
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_whole_numbers_stay_numbers():
    assert label_array([1, 2]).dtype == np.int64
    assert label_array([-1, 2**63]).tolist() == [-1, 2**63]
    assert label_array([False, True]).dtype == bool
    assert label_array(["a"]).dtype == object
    assert checked_labels([2.0, np.float64(3)], "label") == [2, 3]


@pytest.mark.parametrize("value", [1e300, 10**400, float("nan"), -float("inf"), True, "1", None])
def test_numbers_that_are_too_large(value):
    with pytest.raises(ss.SettingsError, match="target 2: expected a finite number "):
        PROBLEM_TYPES["regression"].validated([1.0, value])
    with pytest.raises(ss.SettingsError, match=r"got 1e\+300; float32 holds at most 3.4e\+38"):
        PROBLEM_TYPES["regression"].validated([1e300])


LABELS = {
    '["a", true]': "all strings or all whole numbers",
    "[true, 1]": "all strings or all whole numbers",
    "[0, false]": "all strings or all whole numbers",
    "[1, 2.0]": "all strings or all whole numbers",
    "[null, 1]": "all strings or all whole numbers",
    '["a", "a"]': "expected distinct labels, got 'a' twice",
    "[1, 1" + "0" * 400 + "]": "has more than 128 bits",
    r'["a", "\udc00"]': "is not valid Unicode",
}


@pytest.mark.parametrize("content", LABELS)
@pytest.mark.parametrize("load", [ss.load, runtime.load], ids=["estimators", "runtime"])
def test_labels_of_a_folder(models, tmp_path, load, content):
    ss.load(models["classify"]).save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["files"]["labels.json"]  # as who changes the file on purpose does
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "labels.json").write_text(content)
    with pytest.raises(ss.ModelFormatError, match=LABELS[content]) as caught:
        load(tmp_path / "model")
    assert len(str(caught.value)) < 400
    for whole in (["a\0", "a"], [2**63, -1], [True, False]):
        (tmp_path / "model" / "labels.json").write_text(json.dumps(whole))
        assert load(tmp_path / "model").classes_.tolist() == whole
